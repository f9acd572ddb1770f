"""First fit: the first node that fits, in the order in which nodes were opened (D. S. Johnson, "Near-optimal bin packing
algorithms", 1973).

Names and listing order say nothing about that, so a node counts as opened when the oldest of what runs on it started.
"""

from __future__ import annotations

import numpy as np

from pearlstreet.compute.scheduling.capacity import FreeCapacity, Need, Rows
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import F64, I64, Snapshot
from pearlstreet.compute.scheduling.topology_cache import PlannerCache


class FirstFit:
    """Knows when each node was opened; those opened in this cycle follow in the order of their first task."""

    joint = False

    def __init__(self, snapshot: Snapshot, config: PlannerConfig, cache: PlannerCache) -> None:
        nodes, running = snapshot.nodes, snapshot.running
        never = np.iinfo(np.int64).max
        started = np.full(nodes.count, never, dtype=np.int64)
        np.minimum.at(started, running.task_node, running.started_us[running.task_attempt])
        _, place = np.unique(started, return_inverse=True)
        self._place = place.astype(np.int64)
        self._closed = started == never
        self._next = nodes.count + 1
        self._place[self._closed] = 2 * self._next
        self._seen: dict[int, int] = {}

    def score(
        self, capacity: FreeCapacity, need: Need, rows: Rows, fit: I64, lasting: bool
    ) -> tuple[F64, I64]:
        """Return the position among nodes in use; all unused nodes share one position behind them."""
        seen = self._seen.get(id(capacity), 0)
        for node in capacity.touched[seen:]:
            if self._closed[node]:
                self._closed[node] = False
                self._place[node] = self._next
                self._next += 1
        self._seen[id(capacity)] = len(capacity.touched)
        return self._place[rows].astype(np.float64), fit

    def device(self, capacity: FreeCapacity, need: Need, node: int, lasting: bool) -> int | None:
        return None
