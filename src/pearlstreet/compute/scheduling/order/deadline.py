"""Strict priority, then earliest deadline, jobs without one last: a queue of work that has to be ready by a time.

On one machine earliest due date minimises the largest lateness (J. R. Jackson, "Scheduling a production line to minimize
maximum tardiness", UCLA Management Science Research Project 43, 1955). It trusts what jobs say: for one owner's queue.
"""

from __future__ import annotations

import numpy as np

from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import I64, Snapshot
from pearlstreet.compute.scheduling.order.protocol import Keys, Still
from pearlstreet.compute.scheduling.order.ties import NEVER
from pearlstreet.compute.scheduling.topology_cache import PlannerCache


def _due(deadline_us: I64) -> I64:
    return np.where(deadline_us > 0, deadline_us, NEVER)


class Deadline(Still):
    """Ranks by priority, then deadline, then submit time."""

    def keys(self, snapshot: Snapshot, config: PlannerConfig, cache: PlannerCache) -> Keys:
        waiting, running = snapshot.waiting, snapshot.running
        return Keys(
            (-waiting.priority, _due(waiting.deadline_us), waiting.submitted_us),
            (-running.priority, _due(running.deadline_us), running.submitted_us),
        )
