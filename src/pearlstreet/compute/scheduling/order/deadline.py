"""Strict priority, then earliest deadline, jobs without one last: a queue of work that has to be ready by a time.

On one machine earliest due date minimises the largest lateness (J. R. Jackson, "Scheduling a production line to minimize
maximum tardiness", UCLA Management Science Research Project 43, 1955). It trusts what jobs say: for one owner's queue.
"""

from __future__ import annotations

import numpy as np

from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import I64, Snapshot
from pearlstreet.compute.scheduling.order.ties import by_deadline


def order(snapshot: Snapshot, config: PlannerConfig) -> I64:
    """Numbers of the waiting jobs by priority, then deadline, then submit time."""
    return np.lexsort((by_deadline(snapshot), -snapshot.waiting.priority)).astype(np.int64)
