"""Protocol of preemption policies: which attempts may be stopped for a claim, and the cost of each."""

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
    """Whether it is within its account's guarantee, so that it may stop borrowers of any priority."""
    rank: int = 0
    """Its rank among all jobs, waiting and running; lower is earlier."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Attempts that may be stopped for a claim."""

    able: Bools
    tier: I64
    """Lower goes first whatever it costs."""
    cost: F64
    """Cost of stopping each candidate."""


class Preemption(Protocol):
    """Whom a blocked job may displace."""

    @property
    def ranks(self) -> bool:
        """Whether it needs the place of every running attempt among all jobs."""
        ...

    def candidates(
        self, snapshot: Snapshot, config: PlannerConfig, quotas: QuotaState, claim: Claim, ranks: I64 | None
    ) -> Candidates:
        """Return the attempts that may be stopped. `ranks`: ranks of the running attempts."""
        ...

    def still(
        self, snapshot: Snapshot, quotas: QuotaState, claim: Claim, attempt: int, used: list[int]
    ) -> bool:
        """Return whether it may still be stopped once others were, with `used` left on each limit."""
        ...

    def why(self, snapshot: Snapshot, claim: Claim, attempt: int) -> Text:
        """Why this one is stopped."""
        ...
