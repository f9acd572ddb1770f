"""Fragmentation gradient descent: the node whose fragments grow least.

Weng, Yang, Yu, Wang, Tang, Yang and Zhang, "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with
Fragmentation Gradient Descent" (USENIX ATC 2023). A node's fragments are what a task drawn from the workload could not
use of its free devices: all of it when the task does not fit there, else the devices with less than it needs. Nodes that are
equal in that, which the paper told apart by name, go by best fit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.compute.scheduling.capacity import FreeCapacity, Need, Rows
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import F64, I64, Snapshot
from pearlstreet.compute.scheduling.placement.fill.arrays import States, choices, states_of
from pearlstreet.compute.scheduling.placement.fill.demand import CPU, WHOLE, demand_of
from pearlstreet.compute.scheduling.placement.fill.state import free_of
from pearlstreet.compute.scheduling.placement.measures import left_over
from pearlstreet.compute.scheduling.topology_cache import PlannerCache

_POPULAR = 0.95
"""The shapes asked for most, that together make up so much of the workload, stand for all of it."""
_EXACT = 100
"""Growth is compared in hundredths of a basis point, which hides what floats round."""
_TIE = 1e-6


class _One(NamedTuple):
    cpu: int
    memory: int
    devices: int
    models: I64
    share_memory: I64
    share_compute: I64


class Fragmentation:
    """Scores with the workload of one snapshot."""

    joint = True

    def __init__(self, snapshot: Snapshot, config: PlannerConfig, cache: PlannerCache) -> None:
        demand = demand_of(snapshot, cache)
        order = np.argsort(-demand.chance, kind="stable")
        covered = np.cumsum(demand.chance[order])
        popular = order[: int(np.searchsorted(covered, _POPULAR)) + 1]
        self._tables, self._types = demand.tables, popular
        chance = demand.chance[popular]
        self._chance = chance / chance.sum() if len(popular) else chance

    def _fragments(self, s: States) -> F64:
        """Return basis points of each state that a task of the workload cannot use, on average."""
        tables, total = self._tables, np.zeros(len(s.cpu))
        free = np.where(s.usable, s.compute, 0)
        everything = free.sum(axis=1)
        for t, chance in zip(self._types.tolist(), self._chance.tolist(), strict=True):
            kind = int(tables.kind[t])
            if kind == CPU:
                total += chance * everything
                continue
            can = s.usable & tables.allowed[t][s.model]
            if kind == WHOLE:
                can &= (s.memory == s.total) & (s.compute == FULL_BP)
            else:
                can &= (s.memory >= tables.share_memory[t][s.model]) & (
                    s.compute >= tables.share_compute[t][s.model]
                )
            fits = (can.sum(axis=1) >= max(int(tables.devices[t]), 1)) & (s.cpu >= tables.cpu[t])
            fits &= s.host >= tables.memory[t]
            total += chance * np.where(fits, everything - (free * can).sum(axis=1), everything)
        return total

    def _best(self, capacity: FreeCapacity, need: Need, rows: Rows, lasting: bool) -> tuple[F64, I64]:
        """Return, for each row, the least growth of fragmentation and the device that is cut for it (-1: none)."""
        numbers = np.arange(capacity.count) if isinstance(rows, slice) else rows
        held = lasting and capacity.reserved
        free = free_of(capacity)
        one = _One(
            need.cpu, need.memory, need.count, np.array([need.model]),
            np.array([need.share_memory]), np.array([need.share_compute]),
        )  # fmt: skip
        ways = choices(numbers, free, free_of(capacity, True) if held else free, one)
        growth, device = np.full(len(numbers), np.inf), np.full(len(numbers), -1)
        if len(ways.row):
            used = np.unique(ways.row)
            before = np.zeros(len(numbers))
            before[used] = self._fragments(states_of(free, numbers[used]))
            change = np.round((self._fragments(ways.after) - before[ways.row]) * _EXACT) / _EXACT
            order = np.lexsort((ways.device, ways.memory, ways.compute, change, ways.row))
            best = order[np.r_[True, ways.row[order][1:] != ways.row[order][:-1]]]
            growth[ways.row[best]], device[ways.row[best]] = change[best], ways.device[best]
        return growth, device

    def score(
        self, capacity: FreeCapacity, need: Need, rows: Rows, fit: I64, lasting: bool
    ) -> tuple[F64, I64]:
        """Return how much the node's fragments grow; of equals the node with the least left, best fit."""
        growth = self._best(capacity, need, rows, lasting)[0]
        return growth + left_over(capacity, need, rows, lasting) * _TIE, np.minimum(fit, 1)

    def device(self, capacity: FreeCapacity, need: Need, node: int, lasting: bool) -> int | None:
        """Return the device whose cut leaves the fewest fragments."""
        device = int(self._best(capacity, need, np.array([node]), lasting)[1][0])
        return device if device >= 0 else None
