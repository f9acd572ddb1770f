"""Least attained service in two dimensions: jobs that had little device time go first, whatever they may still need.

Discretized 2D-LAS of J. Gu et al., "Tiresias: A GPU cluster manager for distributed deep learning" (NSDI 2019): device
time (devices × time) sorts jobs into levels; inside a level first come, first served, so that two large jobs do not take
turns. Needs no durations. The last level bounds the wait of the largest: nobody who came later and had as much passes them.
"""

from __future__ import annotations

import numpy as np

from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import I64, Snapshot
from pearlstreet.compute.scheduling.order.measures import running_devices, running_service
from pearlstreet.compute.scheduling.order.protocol import Keys

_HOUR_US = 3_600_000_000


def bounds(config: PlannerConfig) -> I64:
    """Device time (µs) at which a job falls to the next level."""
    return np.array([round(hours * _HOUR_US) for hours in config.las_levels_h], dtype=np.int64)


class Las:
    """By priority, level of service, submit time."""

    def keys(self, snapshot: Snapshot, config: PlannerConfig) -> Keys:
        waiting, running, edges = snapshot.waiting, snapshot.running, bounds(config)
        return Keys(
            (
                -waiting.priority,
                np.searchsorted(edges, waiting.served_device_us, side="right"),
                waiting.submitted_us,
            ),
            (
                -running.priority,
                np.searchsorted(edges, running_service(snapshot), side="right"),
                running.submitted_us,
            ),
        )

    def changes_us(self, snapshot: Snapshot, config: PlannerConfig) -> int:
        """When the next running job falls a level."""
        edges, served = bounds(config), running_service(snapshot)
        level = np.searchsorted(edges, served, side="right")
        inside = level < len(edges)
        if not inside.any():
            return 0
        left = edges[level[inside]] - served[inside]
        return snapshot.now_us + int((-(-left // running_devices(snapshot)[inside])).min())
