"""Worst fit: the emptiest node first, so that load and failures spread (kube-scheduler's LeastAllocated)."""

from __future__ import annotations

import numpy as np

from pearlstreet.compute.scheduling.capacity import Need, Room, Rows
from pearlstreet.compute.scheduling.model import F64, I64
from pearlstreet.compute.scheduling.placement.measures import left_over


def score(room: Room, need: Need, rows: Rows, fit: I64, lasting: bool) -> tuple[F64, I64]:
    """The opposite of best fit, one task a node before scoring again."""
    return -left_over(room, need, rows, lasting), np.minimum(fit, 1)
