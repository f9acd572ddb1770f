"""Preemption by rank: running jobs compete with waiting ones in the order policy's own ranking (time-slicing as in Tiresias).

J. Gu et al., "Tiresias" (NSDI 2019). Nobody is swapped for less than it costs: an attempt is spared until it ran its
minimum and as long as its last start took, and when it will be over sooner than a restart takes. Among those that may go, the
fewest devices × restart time go. Borrowers give way to guarantees as with `priority`.
"""

from __future__ import annotations

import numpy as np

from pearlstreet.base.text import Text, text
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import F64, I64, Bools, Snapshot
from pearlstreet.compute.scheduling.order.measures import running_devices
from pearlstreet.compute.scheduling.preemption.protocol import Candidates, Claim
from pearlstreet.compute.scheduling.quota import QuotaState

_US = 1_000_000


def restart_us(snapshot: Snapshot, config: PlannerConfig) -> I64:
    """Return what a stop and a new start cost each running attempt."""
    running = snapshot.running
    tasks = np.bincount(running.task_attempt, minlength=running.count)
    return np.where(tasks > 1, round(config.restart_gang_s * _US), round(config.restart_s * _US))


class ByRank:
    """Preempts jobs that rank behind the claim."""

    ranks = True

    def candidates(
        self, snapshot: Snapshot, config: PlannerConfig, quotas: QuotaState, claim: Claim, ranks: I64 | None
    ) -> Candidates:
        running = snapshot.running
        able, cost = self._worth(snapshot, config)
        behind = ranks > claim.rank if ranks is not None else np.zeros(running.count, dtype=np.bool_)
        if quotas.any_guarantee:
            borrows = quotas.borrowers(able)
            own = running.org == claim.org
            behind = (behind & (own | borrows)) | (claim.reclaims & borrows & ~own)
        return Candidates(np.asarray(able & behind), np.zeros(running.count, dtype=np.int64), cost)

    def _worth(self, snapshot: Snapshot, config: PlannerConfig) -> tuple[Bools, F64]:
        """Return which attempts may be stopped, for any claim, and the cost of each stop."""
        running, now = snapshot.running, snapshot.now_us
        restart = restart_us(snapshot, config)
        ran_us = now - running.started_us
        first = running.served_device_us == 0
        least = np.maximum(round(config.min_run_s * _US), np.where(first, 0, restart))
        able = running.preemptible & ~running.ending & (ran_us >= least)
        for end in (running.expected_end_us, running.predicted_end_us):
            able &= (end == 0) | (end - now > restart) | (end <= now)
        return able, (running_devices(snapshot) * restart).astype(np.float64)

    def still(
        self, snapshot: Snapshot, quotas: QuotaState, claim: Claim, attempt: int, used: list[int]
    ) -> bool:
        """A borrower of another account is stopped only while its account is beyond its guarantee."""
        running = snapshot.running
        if not quotas.any_guarantee or running.org[attempt] == claim.org:
            return True
        return quotas.borrows(attempt, bool(running.gflops[attempt]), used)

    def why(self, snapshot: Snapshot, claim: Claim, attempt: int) -> Text:
        return text("Stopped for a job that stands before it in the order; it goes back to the queue")
