"""Protocol of order policies: columns to sort by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import Snapshot
from pearlstreet.compute.scheduling.topology_cache import PlannerCache

Columns = tuple[NDArray[np.generic], ...]
"""Equally long columns, the most significant first; a lower value goes earlier."""


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """Ranking keys of waiting jobs and, where the policy can, of running jobs on the same scale."""

    waiting: Columns
    running: Columns | None = None
    """Ranking columns of running jobs, comparable with `waiting`; None: the policy cannot rank running jobs."""


class Order(Protocol):
    """Ranks jobs. What it leaves equal is decided by submit time, array, element and id (`ties.ranked`)."""

    def keys(self, snapshot: Snapshot, config: PlannerConfig, cache: PlannerCache) -> Keys:
        """Sort columns of the waiting and, unless the policy cannot, of the running jobs."""
        ...

    def changes_us(self, snapshot: Snapshot, config: PlannerConfig) -> int:
        """Return when the ranking next changes by the passing of time alone; 0: not before a job comes or goes."""
        ...


class Still:
    """Base of policies whose ranking changes only when jobs are submitted, start or end."""

    def changes_us(self, snapshot: Snapshot, config: PlannerConfig) -> int:
        return 0
