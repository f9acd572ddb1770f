"""Topology: whole link domains first, then whole nodes, racks and PODs.

Devices of one task share a link domain where one can hold them, the fullest that does; a task that needs no whole domain
does not break one. What stays free is then free in large contiguous pieces, in the spirit of HiveD (Zhao et al., "HiveD:
Sharing a GPU Cluster for Deep Learning with Guarantees", OSDI 2020), whose buddy cells split the smallest that fits. Tasks
of a gang go to one node, one rack or one POD, by every policy (selector.py).
"""

from __future__ import annotations

import numpy as np

from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.compute.scheduling.capacity import ALL, FreeCapacity, Need, Rows
from pearlstreet.compute.scheduling.model import F64, I32, I64, Bools
from pearlstreet.compute.scheduling.placement import pack

_STEP = 64.0
"""A value larger than the number of devices of a node; four levels fit exactly into a float."""


def score(capacity: FreeCapacity, need: Need, rows: Rows, fit: I64, lasting: bool) -> tuple[F64, I64]:
    """Lower: fewer link domains used, fewer devices left in them, in the node, the rack, the POD."""
    if need.model < 0 or not capacity.model.size:
        return pack.score(capacity, need, rows, fit, lasting)
    idle = capacity.whole(need.model, rows, lasting)
    count = max(need.count, 1)
    spanned, left = _domains(idle, capacity.link[rows], count)
    if need.is_share:  # a device that is shared already costs no link domain
        _, compute = capacity.free_devices(rows, lasting)
        cut = ((capacity.copies(need, rows, lasting) > 0) & (compute < FULL_BP)).any(axis=1)
        spanned, left = np.where(cut, 0, spanned), np.where(cut, 0, left)
    every = capacity.whole(-1, ALL, lasting).sum(axis=1)
    around = [_share(_around(group, every)[rows], capacity.count) for group in (capacity.rack, capacity.pod)]
    near = (spanned * _STEP + left) * _STEP + np.minimum(idle.sum(axis=1), _STEP - 1)
    return (near + around[0]) + around[1] / _STEP, np.minimum(fit, 1)


def _domains(idle: Bools, link: I32, count: int) -> tuple[F64, F64]:
    """Return, for each node, the smallest number of link domains that `count` idle devices span, and the idle devices left there."""
    numbers = np.unique(link)
    sizes = np.stack([(idle & (link == number)).sum(axis=1) for number in numbers], axis=1)
    large = np.where(sizes >= count, sizes, np.iinfo(np.int64).max).min(axis=1)
    falling = np.cumsum(-np.sort(-sizes, axis=1), axis=1)
    needed = (falling < count).sum(axis=1) + 1
    one = (sizes >= count).any(axis=1)
    over = np.take_along_axis(falling, np.minimum(needed, sizes.shape[1])[:, None] - 1, axis=1)[:, 0] - count
    return np.where(one, 1.0, needed), np.where(one, large - count, np.maximum(over, 0)).astype(np.float64)


def _around(group: I32, free: I64) -> F64:
    """Return the free devices in each node's group (rack or POD); the node's own if it has no group."""
    sums = np.bincount(np.maximum(group, 0), weights=np.where(group >= 0, free, 0))
    return np.asarray(np.where(group >= 0, sums[np.maximum(group, 0)], free))


def _share(amount: F64, count: int) -> F64:
    """Return the values scaled to below one half, in the same order."""
    return np.asarray(amount / (2.0 * _STEP * max(count, 1)))
