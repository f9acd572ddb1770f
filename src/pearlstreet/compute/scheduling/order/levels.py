"""Which levels of service there are: those of the settings that hold nobody up too long, and one behind all for the few largest.

A job that has passed a level waits for all work that has not. If that work is the share p of all, the largest wait about 1 / (1 - p)
times as long as first come, first served would have it (the last queue of multilevel processor sharing: L. Kleinrock,
"Queueing Systems", vol. 2, 1976, 4.7). So a level after the first counts only while what is done below it is at most a quarter
of all work. Where device times vary much, most work is that of very few jobs: one in a hundred may wait for all others, if together they are at
least three times as much of the work. Both are learnt from jobs that ended and from those that live (E. Kaplan, P. Meier,
J. Am. Stat. Assoc. 53, 1958), beginning with the thought that every order of magnitude from a minute to a thousand device hours is as likely as another.
"""

from __future__ import annotations

import numpy as np

from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import F64, I64, Snapshot
from pearlstreet.compute.scheduling.order.gittins import survival
from pearlstreet.compute.scheduling.order.measures import running_service

_HOUR_US = 3_600_000_000
_EDGES = np.geomspace(60e6, 1e15, 73)
"""Device time in µs: from a minute to 32 device years, evenly on a logarithmic scale."""
_BINS = len(_EDGES) - 1
_PRIOR = 30.0 * np.diff(np.clip(np.log(_EDGES / 60e6) / np.log(1000 * _HOUR_US / 60e6), 0.0, 1.0))
"""Weight of the prior: thirty pretended jobs."""
_BELOW = 0.25
"""Share of all work that may be done below a level after the first."""
_LAST = 1 / 100
"""Share of the jobs that may stand behind all others."""
_WORTH = 3.0
"""Smallest ratio of their share of the work to their share of the jobs."""
_KNOWN = 300
"""Known jobs needed before the last level is used: with fewer, one in a hundred is chance."""


def levels(snapshot: Snapshot, config: PlannerConfig) -> I64:
    """Return device time (µs) at which a job falls to the next level, ascending."""
    ended, living = snapshot.services.device_us, snapshot.waiting.served_device_us
    return chosen(config.las_levels_h, ended, np.concatenate([living, running_service(snapshot)]))


def chosen(wanted_h: tuple[float, ...], ended_us: I64, living_us: I64) -> I64:
    """Return the levels, from device times of jobs that ended and of jobs that live."""
    wanted = [round(hours * _HOUR_US) for hours in wanted_h]
    left, below = learnt(ended_us, living_us)
    edges = _EDGES[: len(left)]
    kept = [at for n, at in enumerate(wanted) if n == 0 or np.interp(at, edges, below) <= _BELOW]
    few = int((left <= _LAST).argmax())
    if len(ended_us) + len(living_us) >= _KNOWN and left[few] > 0 and left[few] * _WORTH <= 1 - below[few]:
        last = round(float(edges[few]))
        if not kept or last > kept[-1]:
            kept.append(last)
    return np.array(kept, dtype=np.int64)


def learnt(ended_us: I64, living_us: I64) -> tuple[F64, F64]:
    """Return, for each edge up to the largest known, the share of jobs that take more and the share of all work below it."""
    ends = _counts(ended_us) + _PRIOR
    stays = _counts(living_us[living_us > 0])
    top = int((ends + stays).nonzero()[0][-1]) + 1
    left = survival(ends[:top], stays[:top])
    work = np.cumsum((left[1:] + left[:-1]) / 2 * np.diff(_EDGES[: top + 1]))
    work = _EDGES[0] + np.concatenate([[0.0], work])
    return left, work / work[-1]


def _counts(device_us: I64) -> F64:
    bins = np.clip(np.searchsorted(_EDGES, device_us, side="right") - 1, 0, _BINS - 1)
    return np.bincount(bins, minlength=_BINS).astype(np.float64)
