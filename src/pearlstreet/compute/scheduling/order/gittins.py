"""The Gittins index on the service distribution learnt so far: who most likely ends soon for the device time it takes.

J. Gittins, "Bandit processes and dynamic allocation indices" (J. R. Stat. Soc. B 41, 1979); for clusters of gangs in
J. Gu et al., "Tiresias" (NSDI 2019). For a job that had service a, the index is the largest over d of
P(S ≤ a + d | S > a) / E[min(S, a + d) − a | S > a], with S the whole device time of jobs that ended lately
(`Snapshot.services`). What runs counts a quarter more, so that two equals do not take turns at the price of restarts.
It minimises the mean and starves the largest: bound that with `wait_max_s`.
"""

from __future__ import annotations

import numpy as np

from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import F64, I64, Snapshot
from pearlstreet.compute.scheduling.order.measures import running_service
from pearlstreet.compute.scheduling.order.protocol import Keys

_GRID = 96
_STEP = 0.15
_KEEP = 1.25
_LEAST_US = 60_000_000


def worth(services: I64, had: I64) -> F64:
    """Device time spent for each job that ends, at best: the inverse of the index, for jobs that had `had`."""
    ended = np.maximum(services[services > 0], 1).astype(np.float64)
    had_f = np.maximum(had.astype(np.float64), _LEAST_US)
    if not len(ended):
        return had_f
    top = max(float(ended.max()), float(had_f.max(initial=1.0))) * 4
    edges = np.geomspace(_LEAST_US, top, _GRID)
    # one job in a hundred is thought to last longer than any seen, so that no index is ever 0
    survive = 0.99 * (1 - np.searchsorted(ended, edges, side="right") / len(ended)) + 0.01 * _LEAST_US / edges
    area = np.r_[0.0, np.cumsum((survive[1:] + survive[:-1]) / 2 * np.diff(edges))]
    alive, spent = np.interp(had_f, edges, survive), np.interp(had_f, edges, area)
    ends = alive[:, None] - survive[None, :]
    takes = area[None, :] - spent[:, None]
    later = edges[None, :] > had_f[:, None] * 1.0001
    index = np.where(later, ends / np.maximum(takes, 1.0), 0.0).max(axis=1)
    return np.asarray(1.0 / np.maximum(index, 1e-18))


class Gittins:
    """By priority, then index, then submit time."""

    def keys(self, snapshot: Snapshot, config: PlannerConfig) -> Keys:
        waiting, running = snapshot.waiting, snapshot.running
        waits = worth(snapshot.services, waiting.served_device_us)
        runs = worth(snapshot.services, running_service(snapshot)) / _KEEP
        return Keys(
            (-waiting.priority, waits, waiting.submitted_us), (-running.priority, runs, running.submitted_us)
        )

    def changes_us(self, snapshot: Snapshot, config: PlannerConfig) -> int:
        """After each running job has had some more; the index moves slowly on a logarithmic scale."""
        running = snapshot.running
        if not running.count:
            return 0
        ran = np.maximum(snapshot.now_us - running.started_us, _LEAST_US)
        return snapshot.now_us + int(_LEAST_US + _STEP * float(ran.min()))
