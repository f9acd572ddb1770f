"""First come, first served: submit time alone, as in every batch system since the first."""

from __future__ import annotations

import numpy as np

from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import I64, Snapshot
from pearlstreet.compute.scheduling.order.ties import by_submit


def order(snapshot: Snapshot, config: PlannerConfig) -> I64:
    """Numbers of the waiting jobs by submit time."""
    return np.argsort(by_submit(snapshot), kind="stable").astype(np.int64)
