"""Strict priority, then submit time: the order of Slurm's priority/basic and of most queues.

With `config.age_s` a job's priority rises by one for each such time it has waited, as Slurm's multifactor plugin does
with its age factor: then no stream of urgent jobs keeps an old one waiting for ever.
"""

from __future__ import annotations

from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import Snapshot
from pearlstreet.compute.scheduling.order.protocol import Keys, Still
from pearlstreet.compute.scheduling.topology_cache import PlannerCache


class Priority(Still):
    """Ranks by priority plus age, the larger first, then submit time."""

    def keys(self, snapshot: Snapshot, config: PlannerConfig, cache: PlannerCache) -> Keys:
        waiting, running = snapshot.waiting, snapshot.running
        if config.age_s <= 0:
            return Keys((-waiting.priority, waiting.submitted_us), (-running.priority, running.submitted_us))
        step_us = max(round(config.age_s * 1e6), 1)
        old = (snapshot.now_us - waiting.submitted_us) // step_us
        older = (snapshot.now_us - running.submitted_us) // step_us
        return Keys(
            (-(waiting.priority + old), waiting.submitted_us),
            (-(running.priority + older), running.submitted_us),
        )
