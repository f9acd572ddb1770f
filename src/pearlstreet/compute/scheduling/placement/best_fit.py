"""Best fit: the node with the least left over of what the task takes (D. S. Johnson, 1973)."""

from __future__ import annotations

from pearlstreet.compute.scheduling.capacity import FreeCapacity, Need, Rows
from pearlstreet.compute.scheduling.model import F64, I64
from pearlstreet.compute.scheduling.placement.measures import left_over


def score(capacity: FreeCapacity, need: Need, rows: Rows, fit: I64, lasting: bool) -> tuple[F64, I64]:
    """Free devices (cards), or free cores for a task without a device."""
    return left_over(capacity, need, rows, lasting), fit
