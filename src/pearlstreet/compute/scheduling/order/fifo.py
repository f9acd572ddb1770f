"""First come, first served: submit time alone, as in every batch system since the first."""

from __future__ import annotations

from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import Snapshot
from pearlstreet.compute.scheduling.order.protocol import Keys, Still
from pearlstreet.compute.scheduling.topology_cache import PlannerCache


class Fifo(Still):
    """Ranks by submit time."""

    def keys(self, snapshot: Snapshot, config: PlannerConfig, cache: PlannerCache) -> Keys:
        return Keys((snapshot.waiting.submitted_us,), (snapshot.running.submitted_us,))
