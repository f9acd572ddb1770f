"""Measures of nodes that several placement policies share."""

from __future__ import annotations

import numpy as np

from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.compute.scheduling.capacity import FreeCapacity, Need, Rows
from pearlstreet.compute.scheduling.model import F64


def left_over(capacity: FreeCapacity, need: Need, rows: Rows, lasting: bool) -> F64:
    """Return the free cards of each node for a task with a device, the free cores for one without."""
    if need.model < 0:
        return np.asarray(capacity.free_cpu(rows, lasting) / 1000.0)
    _, compute = capacity.free_devices(rows, lasting)
    return np.asarray(np.where(capacity.usable[rows], compute, 0).sum(axis=1) / FULL_BP)
