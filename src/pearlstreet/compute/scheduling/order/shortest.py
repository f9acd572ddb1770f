"""Strict priority, then shortest remaining work: what is told or predicted to be left × a power of the size.

Shortest job first minimises mean wait on one machine (W. E. Smith, "Various optimizers for single-stage production",
Naval Research Logistics Quarterly 3, 1956); times the size it is the two-dimensional form for gangs (SRSF in Tiresias,
NSDI 2019). The size counts with a power below 1: a gang that fills whole nodes leaves no holes, and weighing it fully makes
the widest jobs wait for all others. A job that ran before pays its restart.
"""

from __future__ import annotations

import numpy as np

from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import Snapshot
from pearlstreet.compute.scheduling.order.fair_share import demands, holdings
from pearlstreet.compute.scheduling.order.protocol import Keys, Still
from pearlstreet.compute.scheduling.topology_cache import PlannerCache

_POWER = 0.8
_LEAST_US = 1_000_000


class Shortest(Still):
    """Ranks by priority, then remaining work; jobs with neither prediction nor limit count with an assumed length."""

    def keys(self, snapshot: Snapshot, config: PlannerConfig, cache: PlannerCache) -> Keys:
        waiting, running, now = snapshot.waiting, snapshot.running, snapshot.now_us
        assumed = round(config.assumed_run_s * 1e6)
        left = np.where(waiting.predicted_us > 0, waiting.predicted_us, waiting.limit_us)
        left = np.where(left > 0, left, assumed)
        left = left + np.where(waiting.served_device_us > 0, round(config.restart_s * 1e6), 0)
        work = left * _size(demands(snapshot, cache).max(axis=1, initial=0.0))
        end = np.where(running.predicted_end_us > 0, running.predicted_end_us, running.expected_end_us)
        end = np.where(end > 0, end, running.started_us + assumed)
        held = np.maximum(end - now, _LEAST_US) * _size(holdings(snapshot, cache).max(axis=1, initial=0.0))
        return Keys(
            (-waiting.priority, work, waiting.submitted_us),
            (-running.priority, held, running.submitted_us),
        )


def _size(
    share: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.asarray(np.round(np.maximum(share, 1e-9) ** _POWER, 12))
