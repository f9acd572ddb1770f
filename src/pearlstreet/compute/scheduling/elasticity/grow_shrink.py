"""Grow and shrink: idle devices widen elastic jobs, a blocked job narrows them, what was grown first.

Both halves of Gandiva's grow-shrink (W. Xiao et al., OSDI 2018); see `grow` and `shrink`.
"""

from __future__ import annotations

from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.elasticity.grow import Grow
from pearlstreet.compute.scheduling.elasticity.protocol import Slack
from pearlstreet.compute.scheduling.elasticity.shrink import Shrink
from pearlstreet.compute.scheduling.model import Snapshot
from pearlstreet.compute.scheduling.preemption.protocol import Claim
from pearlstreet.compute.scheduling.quota import QuotaState


class GrowShrink:
    """Resizes jobs between their smallest and largest number of tasks."""

    grows = True

    def __init__(self) -> None:
        self._grow, self._shrink = Grow(), Shrink()

    def start_most(self, asked: int, most: int) -> int:
        return self._grow.start_most(asked, most)

    def slack(
        self, snapshot: Snapshot, config: PlannerConfig, quotas: QuotaState, claim: Claim
    ) -> Slack | None:
        return self._shrink.slack(snapshot, config, quotas, claim)
