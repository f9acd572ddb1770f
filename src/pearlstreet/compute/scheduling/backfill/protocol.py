"""Protocol of backfill policies."""

from __future__ import annotations

from dataclasses import dataclass

from pearlstreet.compute.scheduling.config import PlannerConfig


@dataclass(frozen=True, slots=True)
class Backfill:
    """Backfill policy: whether jobs may pass a blocked one, and how many blocked jobs get reservations that those must respect.

    A reservation is a promise only as far as limits go: a job that starts now counts as gone before it only by its
    enforced limit, never by a prediction.
    """

    passing: bool
    reservations: int

    def depth(self, config: PlannerConfig) -> int:
        """Return reservations of one cycle; -1 in the policy stands for the configured depth."""
        return config.reserve_depth if self.reservations < 0 else self.reservations
