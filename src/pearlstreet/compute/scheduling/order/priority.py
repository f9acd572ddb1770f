"""Strict priority, then submit time: the order of Slurm's priority/basic and of most queues."""

from __future__ import annotations

import numpy as np

from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import I64, Snapshot
from pearlstreet.compute.scheduling.order.ties import by_submit


def order(snapshot: Snapshot, config: PlannerConfig) -> I64:
    """Numbers of the waiting jobs by priority, the larger first, then submit time."""
    return np.lexsort((by_submit(snapshot), -snapshot.waiting.priority)).astype(np.int64)
