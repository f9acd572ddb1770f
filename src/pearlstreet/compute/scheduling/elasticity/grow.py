"""Grow: devices that no waiting job could use go to elastic jobs, up to their most; what was grown is given back on demand.

The growing of Gandiva (W. Xiao et al., "Gandiva: introspective cluster scheduling for deep learning", OSDI 2018): jobs grow
while devices are idle and return when others come. As in Optimus (Y. Peng et al., "Optimus: an efficient dynamic resource
scheduler for deep learning clusters", EuroSys 2018), the job that gains most by one more task goes first, here the one
with the smallest share of the tasks it asked for. It does not thrash: a job grows only `grow_after_s` after its last start or resize, only when that
saves it twice what its restart costs, and never while a waiting job could use such a device.
"""

from __future__ import annotations

import numpy as np

from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.elasticity.measures import asked_tasks, resizable, resize_cost
from pearlstreet.compute.scheduling.elasticity.protocol import Slack
from pearlstreet.compute.scheduling.model import Snapshot
from pearlstreet.compute.scheduling.preemption.protocol import Claim
from pearlstreet.compute.scheduling.quota import QuotaState


class Grow:
    """Lets jobs grow to their largest number of tasks; cuts them back to the requested number on demand."""

    grows = True

    def start_most(self, asked: int, most: int) -> int:
        return max(asked, most)

    def slack(
        self, snapshot: Snapshot, config: PlannerConfig, quotas: QuotaState, claim: Claim
    ) -> Slack | None:
        able = resizable(snapshot, config.min_run_s)
        if not able.any():
            return None
        floor = np.maximum(asked_tasks(snapshot), np.maximum(snapshot.running.min_tasks, 1))
        return Slack(able, (floor,), resize_cost(snapshot, config))
