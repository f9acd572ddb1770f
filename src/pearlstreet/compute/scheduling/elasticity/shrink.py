"""Shrink: an elastic job starts with as few tasks as its fewest when that starts it now, and one that runs is cut when that,
and nothing less, lets a blocked job start.

Gandiva (W. Xiao et al., "Gandiva: introspective cluster scheduling for deep learning", OSDI 2018) shrinks jobs on demand;
ElasticFlow (D. Gu et al., "ElasticFlow: an elastic serverless training platform for distributed deep learning", ASPLOS 2023)
gives every job its least share before anybody gets more. Starting with fewer is the partial admission of Kueue. What a job
was given beyond what it asked for goes first, to any waiting job; below that it is cut only for a job of no lower priority,
and where there are guarantees only for its own organisation or as far as it borrows.
"""

from __future__ import annotations

import numpy as np

from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.elasticity.measures import asked_tasks, resizable, resize_cost
from pearlstreet.compute.scheduling.elasticity.protocol import Slack
from pearlstreet.compute.scheduling.model import I64, Bools, Snapshot
from pearlstreet.compute.scheduling.preemption.protocol import Claim
from pearlstreet.compute.scheduling.quota import QuotaState


class Shrink:
    """Cuts jobs down to their smallest number of tasks."""

    grows = False

    def start_most(self, asked: int, most: int) -> int:
        return asked

    def slack(
        self, snapshot: Snapshot, config: PlannerConfig, quotas: QuotaState, claim: Claim
    ) -> Slack | None:
        able = resizable(snapshot, config.min_run_s)
        if not able.any():
            return None
        asked, fewest = asked_tasks(snapshot), np.maximum(snapshot.running.min_tasks, 1)
        gives = _gives_way(snapshot, quotas, claim, able)
        floors: tuple[I64, ...] = (np.maximum(asked, fewest), np.where(gives, fewest, asked))
        return Slack(able, floors, resize_cost(snapshot, config))


def _gives_way(snapshot: Snapshot, quotas: QuotaState, claim: Claim, able: Bools) -> Bools:
    """Return the attempts that may be cut for the claim below the number of tasks they asked for."""
    running = snapshot.running
    gives = running.priority <= claim.priority
    if quotas.any_guarantee:
        own = running.org == claim.org
        gives = gives & claim.reclaims & (own | quotas.borrowers(able))
    return np.asarray(gives)
