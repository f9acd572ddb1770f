"""Preemption by priority: a job may stop preemptible attempts of lower priority in its project that ran their minimum; one within
its account's guarantee may also stop attempts that borrow.

Every tenant chooses priorities freely, so `priority` counts them inside a project only. `priority-across-accounts` lets a
job stop any job of a lower one, for centers whose owner sets the priorities.

The cost of a victim is the normalised work since it started, lowest priority first, as in Borg (A. Verma et al.,
"Large-scale cluster management at Google with Borg", EuroSys 2015) where production displaces batch, and in the reclaim of
Kueue's cohorts.
"""

from __future__ import annotations

import numpy as np

from pearlstreet.base.text import Text, text
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import I64, Snapshot
from pearlstreet.compute.scheduling.preemption.protocol import Candidates, Claim
from pearlstreet.compute.scheduling.quota import QuotaState

_US = 1_000_000


class ByPriority:
    """Strictly lower priority, of the same project or `across_accounts` of anybody; and borrowers."""

    ranks = False

    def __init__(self, *, across_accounts: bool = False) -> None:
        self._across = across_accounts

    def candidates(
        self, snapshot: Snapshot, config: PlannerConfig, quotas: QuotaState, claim: Claim, ranks: I64 | None
    ) -> Candidates:
        running = snapshot.running
        ran_us = snapshot.now_us - running.started_us
        able = running.preemptible & ~running.ending & (ran_us >= round(config.min_run_s * _US))
        lower = running.priority < claim.priority
        if not self._across:
            lower = lower & (running.project == claim.project)
        if quotas.any_guarantee:
            borrows = quotas.borrowers(able)
            own = running.org == claim.org
            lower = (lower & (own | borrows)) | (claim.reclaims & borrows & ~own)
        work = (running.gflops + running.cpu + 1) * (ran_us / _US + 1)
        return Candidates(np.asarray(able & lower), running.priority, np.asarray(work, dtype=np.float64))

    def still(
        self, snapshot: Snapshot, quotas: QuotaState, claim: Claim, attempt: int, used: list[int]
    ) -> bool:
        """A borrower is stopped only while its account is still beyond its guarantee."""
        running = snapshot.running
        mine = self._across or int(running.project[attempt]) == claim.project
        own_lower = (
            mine
            and running.priority[attempt] < claim.priority
            and (not quotas.any_guarantee or running.org[attempt] == claim.org)
        )
        return bool(own_lower) or quotas.borrows(attempt, bool(running.gflops[attempt]), used)

    def why(self, snapshot: Snapshot, claim: Claim, attempt: int) -> Text:
        own = self._across or int(snapshot.running.project[attempt]) == claim.project
        if own and int(snapshot.running.priority[attempt]) < claim.priority:
            return text("Stopped for a job of higher priority; it goes back to the queue")
        return text("Stopped to give back borrowed capacity; it goes back to the queue")
