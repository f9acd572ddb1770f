"""The values of this room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pearlstreet.base.money import Money


class Phase(StrEnum):
    """How far the end of a tenant has come. Each is done whole, and again after a crash, before the next begins."""

    STOPPING = "stopping"
    """Its jobs end."""
    SETTLING = "settling"
    """Its last use is charged and invoiced."""
    ARCHIVING = "archiving"
    """Everything of it is written into one file."""
    ERASING = "erasing"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Archive:
    """The file to hand over. It is deleted when it was kept long enough."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Closing:
    """The end of one tenant."""

    org_id: str
    slug: str
    phase: Phase
    asked_by: str
    asked_us: int
    reason: str
    cancel_jobs: bool
    invoices: Sequence[str]
    """Numbers of the last invoices."""
    balance: Money | None
    """What was left (or, negative, owed) after them."""
    archive: Archive | None
    closed_us: int | None
