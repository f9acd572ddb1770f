"""Fragmentation: of the cards that are free, the share that an average task of the trace could not use.

The measure of Weng et al., "Beware of fragmentation: scheduling GPU-sharing workloads with fragmentation gradient
descent" (ATC 2023), on whole tasks: free compute on nodes or devices too cut up, or short of CPU or memory, for the task.
"""

from __future__ import annotations

import numpy as np

from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.compute.replay.fitting import Fitting
from pearlstreet.compute.replay.state import State
from pearlstreet.compute.scheduling.capacity import Need
from pearlstreet.compute.scheduling.model import I64

_COVER = 0.95
"""The most frequent requests that make up so much of the trace stand for all."""
_REQUESTS_MAX = 24


class Fragments:
    """Fragmentation of one replay over time."""

    def __init__(self, state: State, fitting: Fitting) -> None:
        self._state, self._fitting = state, fitting
        trace = state.trace
        counts = np.bincount(trace.request, weights=trace.tasks, minlength=len(trace.requests))
        wanting = np.array([request.wants_device for request in trace.requests], dtype=np.bool_)
        counts = np.where(wanting, counts, 0.0)
        order = np.argsort(-counts, kind="stable")[:_REQUESTS_MAX]
        before = np.cumsum(counts[order]) - counts[order]
        kept = order[(before < _COVER * counts.sum()) & (counts[order] > 0)]
        total = counts[kept].sum()
        self._weights = [(int(request), float(counts[request] / total)) for request in kept]

    def share(self) -> float:
        """Return the fragmented share: from 0 (an average task can use all free capacity) to 1 (none of it)."""
        nodes = self._state.nodes
        ours = nodes.device_healthy & (nodes.device_model >= 0) & nodes.schedulable[:, None]
        free = int(np.where(ours, nodes.device_compute_free, 0).sum())
        if free == 0 or not self._weights:
            return 0.0
        whole: dict[int, I64] = {}
        used = sum(
            weight * min(sum(self._usable(need, whole) for need in self._fitting.needs(request)) / free, 1.0)
            for request, weight in self._weights
        )
        return max(1.0 - used, 0.0)

    def _usable(self, need: Need, whole: dict[int, I64]) -> int:
        """Compute that tasks of this kind could take. `whole`: free whole devices by node, of each model."""
        nodes = self._state.nodes
        if need.count:
            if need.model not in whole:
                whole[need.model] = self._fitting.whole(need.model).sum(axis=1)
            each = FULL_BP * need.count
            free = whole[need.model] // need.count * each
        else:
            each = max(need.share_compute, 1)
            free = np.where(self._fitting.copies(need, 1 << 20) > 0, nodes.device_compute_free, 0).sum(axis=1)
        for amount, wanted in ((nodes.cpu_free, need.cpu), (nodes.memory_free, need.memory)):
            if wanted:
                free = np.minimum(free, amount // wanted * each)
        return int(free[nodes.schedulable].sum())
