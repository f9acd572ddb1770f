"""The values of the package `offboarding`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pearlstreet.base.money import Money


class Phase(StrEnum):
    """Phase of offboarding a tenant. Each phase is completed, if necessary again after a crash, before the next starts."""

    STOPPING = "stopping"
    """The tenant's jobs are stopped."""
    SETTLING = "settling"
    """The tenant's last use is charged and invoiced."""
    ARCHIVING = "archiving"
    """All data of the tenant is written to the archive."""
    ERASING = "erasing"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Archive:
    """The archive file for the tenant, deleted when its retention ends."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Closing:
    """Offboarding of one tenant."""

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
    """Balance after the last invoices; negative: owed."""
    archive: Archive | None
    closed_us: int | None
