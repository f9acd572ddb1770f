"""Worst fit: the emptiest node first, so that load and failures spread (kube-scheduler's LeastAllocated)."""

from __future__ import annotations

import numpy as np

from pearlstreet.compute.scheduling.capacity import FreeCapacity, Need, Rows
from pearlstreet.compute.scheduling.model import F64, I64
from pearlstreet.compute.scheduling.placement.measures import left_over


def score(capacity: FreeCapacity, need: Need, rows: Rows, fit: I64, lasting: bool) -> tuple[F64, I64]:
    """Return the opposite of best fit, one task a node before scoring again."""
    return -left_over(capacity, need, rows, lasting), np.minimum(fit, 1)
