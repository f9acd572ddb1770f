"""Least attained service in two dimensions: jobs that had little device time go first, whatever they may still need.

Discretized 2D-LAS of J. Gu et al., "Tiresias: A GPU cluster manager for distributed deep learning" (NSDI 2019): device
time (devices × time) sorts jobs into levels; inside a level first come, first served, so that two large jobs do not take
turns. Needs no durations. Which levels there are follows from what jobs took so far (`levels.py`).

Inside a level the widest gang stands as if it had come a twentieth of the level's age later, one device as it came, others between
on a logarithmic scale: a narrow job is over sooner for the devices it holds, and costs the wide one little.
"""

from __future__ import annotations

import numpy as np

from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import I64, Snapshot
from pearlstreet.compute.scheduling.order.levels import levels
from pearlstreet.compute.scheduling.order.measures import running_devices, running_service, waiting_devices
from pearlstreet.compute.scheduling.order.protocol import Keys
from pearlstreet.compute.scheduling.topology_cache import PlannerCache

_LAG = 0.05
"""Lag of the widest gang behind its submit time, as a share of the age of the oldest job of its level."""


class Las:
    """Ranks by priority, then level of service, then submit time with a lag for wide gangs."""

    def keys(self, snapshot: Snapshot, config: PlannerConfig, cache: PlannerCache) -> Keys:
        waiting, running, edges = snapshot.waiting, snapshot.running, levels(snapshot, config)
        served = np.concatenate([waiting.served_device_us, running_service(snapshot)])
        level = np.searchsorted(edges, served, side="right")
        submitted = np.concatenate([waiting.submitted_us, running.submitted_us])
        came = submitted + _lag_us(snapshot, level, submitted, cache)
        split = waiting.count
        return Keys(
            (-waiting.priority, level[:split], came[:split]), (-running.priority, level[split:], came[split:])
        )

    def changes_us(self, snapshot: Snapshot, config: PlannerConfig) -> int:
        """Return when the next running job falls a level."""
        edges, served = levels(snapshot, config), running_service(snapshot)
        level = np.searchsorted(edges, served, side="right")
        inside = level < len(edges)
        if not inside.any():
            return 0
        left = edges[level[inside]] - served[inside]
        return snapshot.now_us + int((-(-left // running_devices(snapshot)[inside])).min())


def _lag_us(snapshot: Snapshot, level: I64, submitted_us: I64, cache: PlannerCache) -> I64:
    """Return the lag (µs) added to the submit time of each waiting and of each running job."""
    if not len(level):
        return np.zeros(0, dtype=np.int64)
    devices = np.concatenate([waiting_devices(snapshot, cache), running_devices(snapshot)])
    widest = max(int(devices.max()), int(snapshot.services.devices.max(initial=1)))
    if widest < 2:
        return np.zeros(len(level), dtype=np.int64)
    oldest = np.zeros(int(level.max()) + 1, dtype=np.int64)
    np.maximum.at(oldest, level, snapshot.now_us - submitted_us)
    wide = np.log2(np.maximum(devices, 1)) / np.log2(widest)
    return np.asarray(_LAG * oldest[level] * wide, dtype=np.int64)
