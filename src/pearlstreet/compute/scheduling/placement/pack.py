"""Packing, our default: keep whole devices together, whole link groups and whole nodes free.

Best fit by whole free devices (D. S. Johnson, 1973), refined: a fraction goes to a device that is already cut before a
whole one is opened (as in the fragmentation argument of Weng et al., "Beware of Fragmentation", ATC 2023); a task
without a device goes to a node without devices; ties go to the node with the smallest free share of cores.
"""

from __future__ import annotations

import numpy as np

from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.compute.scheduling.capacity import PLENTY, FreeCapacity, Need, Rows
from pearlstreet.compute.scheduling.model import F64, I64

_OPENING = 1e6
_DEVICES = 1e3


def score(capacity: FreeCapacity, need: Need, rows: Rows, fit: I64, lasting: bool) -> tuple[F64, I64]:
    """Lower: fewer whole devices left, fewer cores left; opening a whole device for a fraction costs most."""
    cores = capacity.free_cpu(rows, lasting) / np.maximum(capacity.cpu_total[rows], 1)
    whole = capacity.whole(-1, rows, lasting).sum(axis=1)
    if need.model < 0:
        idle = np.where(capacity.has_device[rows], _DEVICES * (1 + whole), 0.0)
        return idle + cores, fit
    if not need.is_share:
        return whole * _DEVICES + cores, fit
    copies = capacity.copies(need, rows, lasting)
    memory, compute = capacity.free_devices(rows, lasting)
    cut = np.where(compute < FULL_BP, copies, 0)
    # the device that `choose.pick` would take: one already shared, with the least compute left, then the least memory
    tightest = np.where(cut > 0, compute * (1 << 24) + memory, PLENTY).argmin(axis=1)[:, None]
    on_it = np.minimum(np.take_along_axis(cut, tightest, axis=1)[:, 0], fit)
    left = np.take_along_axis(compute, tightest, axis=1)[:, 0] / FULL_BP
    opening = np.where(on_it > 0, left, _OPENING)
    return opening * _DEVICES + whole + cores, np.where(on_it > 0, on_it, fit)
