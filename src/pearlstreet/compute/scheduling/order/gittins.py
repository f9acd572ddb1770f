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

_EDGES = np.geomspace(30e6, 3e14, 97)
"""Device time in µs: from half a minute to ten device-years, evenly on a logarithmic scale."""
_PRIOR = np.histogram(np.geomspace(480e6, 2e13, 24), _EDGES)[0] * 0.25
"""Six pretended jobs, evenly spread: what is thought of service before anything is known."""
_STEP = 0.15
_KEEP = 1.25
_LEAST_US = 60_000_000


def survival(ended: I64, alive: I64) -> F64:
    """Share of jobs that get more service than each edge, from those that ended and those that are still alive.

    E. Kaplan, P. Meier, "Nonparametric estimation from incomplete observations" (J. Am. Stat. Assoc. 53, 1958), in bins:
    a job that lives says only that it needs more than it had. Without it, long jobs would seem rare until the first ends.
    """
    done = _PRIOR + np.histogram(np.maximum(ended, 30_000_001), _EDGES)[0]
    cut = np.histogram(np.maximum(alive[alive > 0], 30_000_001), _EDGES)[0]
    risk = (done + cut)[::-1].cumsum()[::-1]
    hazard = np.clip(done / np.maximum(risk - 0.5 * cut, 1e-12), 0.0, 1.0)
    return np.asarray(np.r_[1.0, np.cumprod(1 - hazard)])


def worth(survive: F64, had: I64) -> F64:
    """Device time spent for each job that ends, at best: the inverse of the index, for jobs that had `had`."""
    area = np.r_[0.0, np.cumsum((survive[1:] + survive[:-1]) / 2 * np.diff(_EDGES))]
    had_f = np.clip(had.astype(np.float64), _EDGES[0], _EDGES[-2])
    alive, spent = np.interp(np.log(had_f), np.log(_EDGES), survive), np.interp(had_f, _EDGES, area)
    ends = alive[:, None] - survive[None, 1:]
    takes = area[None, 1:] - spent[:, None]
    later = _EDGES[None, 1:] > had_f[:, None] * 1.0001
    index = np.where(later, ends / np.maximum(takes, 1.0), 0.0).max(axis=1, initial=0.0)
    return np.asarray(1.0 / np.maximum(index, 1e-24))


class Gittins:
    """By priority, then index, then submit time."""

    def keys(self, snapshot: Snapshot, config: PlannerConfig) -> Keys:
        waiting, running = snapshot.waiting, snapshot.running
        mine, theirs = waiting.served_device_us, running_service(snapshot)
        survive = survival(snapshot.services, np.r_[mine, theirs])
        waits, runs = worth(survive, mine), worth(survive, theirs) / _KEEP
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
