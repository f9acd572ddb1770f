"""The Gittins index on what is learnt of run times: who most likely ends soon for the device time it takes.

J. Gittins, "Bandit processes and dynamic allocation indices" (J. R. Stat. Soc. B 41, 1979); for clusters of gangs in
J. Gu et al., "Tiresias" (NSDI 2019). For a job that ran a, the index is the largest over d of
P(S ≤ a + d | S > a) / E[min(S, a + d) − a | S > a], divided by its devices. The distribution of S is a job's own: its batch
(one user, one size, submitted within an hour of each other, most of them runs of one thing) counts in full, what is known of its
size as a few jobs, and so all jobs (`Snapshot.services` and what lives). So one job of a batch tells of the others.
What runs counts a quarter more, so that two equals do not take turns, and what was stopped pays its restart.
It minimises the mean and starves the largest: bound that with `wait_max_s`, or choose `las`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import F64, I64, Bools, Snapshot
from pearlstreet.compute.scheduling.order.measures import running_devices, running_service, waiting_devices
from pearlstreet.compute.scheduling.order.protocol import Keys
from pearlstreet.compute.scheduling.topology_cache import PlannerCache

_EDGES = np.geomspace(20e6, 2e13, 73)
"""Run time in µs: from 20 seconds to 230 days, evenly on a logarithmic scale."""
_BINS = len(_EDGES) - 1
_BATCH_US = 3_600_000_000
"""Jobs of one user and size belong together when each came so soon after the one before."""
_OF_SIZE, _OF_ALL = 4.0, 4.0
"""Maximum weights, in jobs of the batch, of all jobs of the same size and of all jobs."""
_PRIOR = 1.0 / _BINS
"""Prior of the distribution: one job spread evenly over the bins."""
_STEP = 0.5
_KEEP = 1.25
_LEAST_US = 60_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Jobs that ended and jobs that live, one row each."""

    user: I64
    devices: I64
    submitted_us: I64
    run_us: I64
    """Run time so far, in µs."""
    lives: Bools


class Index:
    """Distributions of run times by batch, and from them the Gittins index of a job by its run time so far."""

    def __init__(self, seen: Seen) -> None:
        lives = seen.lives
        size = np.unique(seen.devices, return_inverse=True)[1].astype(np.int64)
        batches, batch = np.unique(_batches(seen)[lives], return_inverse=True)
        own = np.full(len(lives), len(batches), dtype=np.int64)
        own[lives] = batch
        others = np.searchsorted(batches, _batches(seen)[~lives])
        others = np.minimum(others, max(len(batches) - 1, 0))
        if len(batches):
            own[~lives] = np.where(batches[others] == _batches(seen)[~lives], others, len(batches))
        size_of = np.zeros(len(batches), dtype=np.int64)
        size_of[batch] = size[lives]
        bins = np.clip(np.searchsorted(_EDGES, seen.run_us, side="right") - 1, 0, _BINS - 1)
        done, cut = ~lives, lives & (seen.run_us > 0)
        total = _counts(size, bins, done | cut).sum(axis=1)
        ends, stays = (
            _blend(_counts(own, bins, some, len(batches) + 1)[:-1], _counts(size, bins, some), size_of, total)
            for some in (done, cut)
        )
        self.batch = batch
        self.alive = survival(ends + _PRIOR, stays)
        lengths = np.diff(_EDGES)
        steps = np.cumsum((self.alive[:, 1:] + self.alive[:, :-1]) / 2 * lengths, axis=1)
        self.area = np.concatenate([np.zeros((len(batches), 1)), steps], axis=1)

    def price(self, run_us: I64) -> F64:
        """Return the inverse Gittins index of the given jobs: the least run time to spend for one job to end."""
        had = np.clip(run_us.astype(np.float64), _EDGES[0], _EDGES[-2])
        at = np.minimum(np.searchsorted(_EDGES, had, side="right") - 1, _BINS - 1)
        alive, area, row = self.alive, self.area, self.batch
        within = np.log(had / _EDGES[at]) / np.log(_EDGES[1] / _EDGES[0])
        lives = alive[row, at] * (1 - within) + alive[row, at + 1] * within
        share = (had - _EDGES[at]) / np.diff(_EDGES)[at]
        spent = area[row, at] * (1 - share) + area[row, at + 1] * share
        ends = np.maximum(lives, 1e-12)[:, None] - alive[row, 1:]
        takes = np.maximum(area[row, 1:] - spent[:, None], 1e-3)
        later = _EDGES[None, 1:] > had[:, None] * 1.0001
        index = np.where(later, ends / takes, 0.0).max(axis=1, initial=0.0)
        return np.asarray(1.0 / np.maximum(index, 1e-18))


def _batches(seen: Seen) -> I64:
    """Return the number of each job's batch."""
    order = np.lexsort((seen.submitted_us, seen.devices, seen.user))
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = np.diff(seen.submitted_us[order]) > _BATCH_US
    for column in (seen.user, seen.devices):
        first[1:] |= np.diff(column[order]) != 0
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.cumsum(first) - 1
    return number


def _counts(group: I64, bins: I64, some: Bools, groups: int | None = None) -> F64:
    """Return [groups, bins] how many of the rows fall where."""
    groups = int(group.max(initial=-1)) + 1 if groups is None else groups
    flat = np.bincount(group[some] * _BINS + bins[some], minlength=groups * _BINS)
    return flat.reshape(groups, _BINS).astype(np.float64)


def _blend(own: F64, sizes: F64, size_of: I64, known: F64) -> F64:
    """Return each batch's own counts and, lighter, those of its size and of all. `known`: jobs of each size."""
    of_size = np.minimum(_OF_SIZE / np.maximum(known, 1.0), 1.0)
    of_all = min(_OF_ALL / max(float(known.sum()), 1.0), 1.0)
    return np.asarray(own + (sizes * of_size[:, None])[size_of] + sizes.sum(axis=0) * of_all)


def survival(ends: F64, stays: F64) -> F64:
    """[…, edges] share of jobs that run longer than each edge, from those that ended and those that live, by bins.

    E. Kaplan, P. Meier, "Nonparametric estimation from incomplete observations" (J. Am. Stat. Assoc. 53, 1958): a job
    that lives says only that it needs more than it had. Without it, long jobs would seem rare until the first ends.
    """
    risk = (ends + stays)[..., ::-1].cumsum(axis=-1)[..., ::-1]
    hazard = np.clip(ends / np.maximum(risk - 0.5 * stays, 1e-12), 0.0, 1.0)
    left = np.cumprod(1 - hazard, axis=-1)
    left[..., -1] = 0.0
    return np.concatenate([np.ones((*left.shape[:-1], 1)), left], axis=-1)


class Gittins:
    """Ranks by priority, then Gittins index, then submit time."""

    def keys(self, snapshot: Snapshot, config: PlannerConfig, cache: PlannerCache) -> Keys:
        waiting, running, ended = snapshot.waiting, snapshot.running, snapshot.services
        wide, held = waiting_devices(snapshot, cache), running_devices(snapshot)
        mine, theirs = waiting.served_device_us // wide, running_service(snapshot) // held
        seen = Seen(
            np.r_[ended.user, waiting.user, running.user].astype(np.int64),
            np.r_[ended.devices, wide, held],
            np.r_[ended.submitted_us, waiting.submitted_us, running.submitted_us],
            np.r_[ended.device_us // np.maximum(ended.devices, 1), mine, theirs],
            np.r_[np.zeros(ended.count, np.bool_), np.ones(waiting.count + running.count, np.bool_)],
        )
        price = Index(seen).price(np.r_[mine, theirs])
        cost = np.where(waiting.tasks > 1, config.restart_gang_s, config.restart_s) * 1e6
        waits = (price[: waiting.count] + np.where(mine > 0, cost, 0.0)) * wide
        runs = price[waiting.count :] * held / _KEEP
        return Keys(
            (-waiting.priority, waits, waiting.submitted_us), (-running.priority, runs, running.submitted_us)
        )

    def changes_us(self, snapshot: Snapshot, config: PlannerConfig) -> int:
        """Return the time after which run times have grown enough to change the index, which depends on their logarithm."""
        running = snapshot.running
        if not running.count:
            return 0
        ran = running_service(snapshot) // running_devices(snapshot)
        return snapshot.now_us + int(_LEAST_US + _STEP * float(ran.min()))
