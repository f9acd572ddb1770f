"""Protocol of elasticity policies: with how many tasks a job starts, how far running jobs may be cut, which may grow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import F64, I64, Bools, Snapshot
from pearlstreet.compute.scheduling.preemption.protocol import Claim
from pearlstreet.compute.scheduling.quota import QuotaState


@dataclass(frozen=True, slots=True, eq=False)
class Slack:
    """Tasks that running attempts could give up for a claim."""

    able: Bools
    floors: tuple[I64, ...]
    """Fewest tasks each may be cut to, one array a tier: what an earlier tier gives is taken first."""
    cost: F64
    """Cost of resizing each attempt: the device time of its restart."""


class Elasticity(Protocol):
    """Elasticity policy. Every policy lets elastic jobs start with fewer tasks than they asked for."""

    @property
    def grows(self) -> bool:
        """Whether jobs that run are ever given more tasks."""
        ...

    def start_most(self, asked: int, most: int) -> int:
        """Return the most tasks that a starting job may get from devices that no other job can use."""
        ...

    def slack(
        self, snapshot: Snapshot, config: PlannerConfig, quotas: QuotaState, claim: Claim
    ) -> Slack | None:
        """Who may be cut for a claim, and how far; None: nobody."""
        ...
