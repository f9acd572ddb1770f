"""Heterogeneity: the model that does the most work of the task for a yuan; on it, packing.

Narayanan, Santhanam, Kazhamiaka, Phanishayee and Zaharia, "Heterogeneity-Aware Cluster Scheduling Policies for Deep
Learning Workloads" (OSDI 2020), their cost policy. Work is what the request says of its speed on a model
(`Request.speeds`), else the model's normalised compute; the price is `Snapshot.model_price_micro`, without one every
model costs the same and the fastest wins.
"""

from __future__ import annotations

import numpy as np

from pearlstreet.compute.scheduling.capacity import FreeCapacity, Need, Rows
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import F64, I64, Snapshot
from pearlstreet.compute.scheduling.placement import pack
from pearlstreet.compute.scheduling.rows import match_models
from pearlstreet.compute.scheduling.topology_cache import PlannerCache

_PARTS = 100
"""Costs are compared in hundredths of the cheapest model's, beyond which packing decides."""
_MOST = 1e5
_LEVEL = 1e10
"""A value larger than any packing score."""


class PerYuan:
    """Knows what a unit of each request's work costs on each model."""

    joint = True

    def __init__(self, snapshot: Snapshot, config: PlannerConfig, cache: PlannerCache) -> None:
        self._snapshot = snapshot
        self._costs: dict[int, F64] = {}

    def _cost(self, need: Need) -> float:
        """Cost of the task's work on the need's model, by that on the cheapest."""
        request = need.key.request
        costs = self._costs.get(request)
        if costs is None:
            costs = self._costs[request] = self._table(request)
        return float(costs[need.model])

    def _table(self, request: int) -> F64:
        snapshot = self._snapshot
        price = np.array(snapshot.model_price_micro or [1] * len(snapshot.models), dtype=np.float64)
        speed = np.maximum(snapshot.model_gflops.astype(np.float64), 1.0)
        told = snapshot.requests[request].speeds if 0 <= request < len(snapshot.requests) else ()
        if told:
            speed = np.full(len(snapshot.models), np.nan)
            for pattern, value in told:
                for model in match_models((pattern,), snapshot.models):
                    speed[snapshot.models.index(model)] = value
        cost = np.nan_to_num(price / speed, nan=np.inf)
        least = cost.min(initial=np.inf)
        relative = cost / least if np.isfinite(least) and least > 0 else np.ones(len(cost))
        return np.asarray(np.round(np.minimum(relative, _MOST) * _PARTS) / _PARTS)

    def score(
        self, capacity: FreeCapacity, need: Need, rows: Rows, fit: I64, lasting: bool
    ) -> tuple[F64, I64]:
        """Cost first, then packing."""
        packed, batch = pack.score(capacity, need, rows, fit, lasting)
        return (packed if need.model < 0 else packed + self._cost(need) * _LEVEL), batch

    def device(self, capacity: FreeCapacity, need: Need, node: int, lasting: bool) -> int | None:
        return None
