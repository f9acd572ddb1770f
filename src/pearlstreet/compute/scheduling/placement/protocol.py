"""What a placement policy answers."""

from __future__ import annotations

from typing import Protocol

from pearlstreet.compute.scheduling.model import F64, I64
from pearlstreet.compute.scheduling.room import Need, Room, Rows


class Scorer(Protocol):
    """Scores nodes for one task; the planner takes the lowest, ties by canonical order."""

    def __call__(self, room: Room, need: Need, rows: Rows, fit: I64, lasting: bool) -> tuple[F64, I64]:
        """For each node of `rows`: its score, and how many equal tasks it may take before being scored again."""
        ...
