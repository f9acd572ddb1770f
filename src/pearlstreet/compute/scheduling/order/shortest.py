"""Strict priority, then shortest predicted work: prediction (else limit) × normalised compute.

Shortest job first minimises mean wait on one machine (W. E. Smith, "Various optimizers for single-stage production",
Naval Research Logistics Quarterly 3, 1956); the product with size is the two-dimensional form used for gangs.
"""

from __future__ import annotations

import numpy as np

from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import Snapshot
from pearlstreet.compute.scheduling.order.fair_share import demands
from pearlstreet.compute.scheduling.order.protocol import Keys


class Shortest:
    """By priority, then predicted work; jobs with neither prediction nor limit count as assumed."""

    def keys(self, snapshot: Snapshot, config: PlannerConfig) -> Keys:
        waiting = snapshot.waiting
        run_us = np.where(waiting.predicted_us > 0, waiting.predicted_us, waiting.limit_us)
        run_us = np.where(run_us > 0, run_us, round(config.assumed_run_s * 1e6))
        work = run_us * np.maximum(demands(snapshot).max(axis=1, initial=0.0), 1e-9)
        return Keys((-waiting.priority, work, waiting.submitted_us))
