"""What a preemption policy answers: who may be stopped for a claim, and what each costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pearlstreet.base.text import Text
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import F64, I64, Bools, Snapshot
from pearlstreet.compute.scheduling.quota import QuotaState


@dataclass(frozen=True, slots=True)
class Claim:
    """The job that needs resources."""

    org: int
    project: int
    priority: int
    tasks: int
    reclaims: bool
    """It is within a guarantee of its account, so it may stop borrowers whatever their priority."""
    rank: int = 0
    """Its place among all jobs, waiting and running; lower is earlier."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Attempts that may be stopped for a claim."""

    able: Bools
    tier: I64
    """Lower goes first whatever it costs."""
    cost: F64
    """What is lost by stopping it."""


class Preemption(Protocol):
    """Whom a blocked job may displace."""

    @property
    def ranks(self) -> bool:
        """Whether it needs the place of every running attempt among all jobs."""
        ...

    def candidates(
        self, snapshot: Snapshot, config: PlannerConfig, quotas: QuotaState, claim: Claim, ranks: I64 | None
    ) -> Candidates:
        """Who may be stopped at all. `ranks`: of the running attempts."""
        ...

    def still(
        self, snapshot: Snapshot, quotas: QuotaState, claim: Claim, attempt: int, used: list[int]
    ) -> bool:
        """Return whether it may still be stopped once others were, with `used` left on each limit."""
        ...

    def why(self, snapshot: Snapshot, claim: Claim, attempt: int) -> Text:
        """Why this one is stopped."""
        ...
