"""Fair share: the account that has had least of its dominant resource, by weight, goes first.

Dominant share follows Ghodsi et al., "Dominant Resource Fairness" (NSDI 2011), with accelerators in normalised compute
so that a T4 never counts as an A100. Past use fades with a half-life (P. Kay, J. Lauder, "A fair share scheduler",
CACM 31(1), 1988). Jobs of one cycle are ordered by start tags as in start-time fair queuing (Goyal, Vin, Cheng,
SIGCOMM 1996): a job's tag is its account's share once all its earlier jobs run, so no account takes a whole cycle.
Organisations compete first, projects inside each organisation second. Priority orders the jobs of one project only: every
tenant chooses it freely, so it must not buy a place ahead of others. `priority-fair-share` is the same with priority above
all accounts, for centers of one owner.
"""

from __future__ import annotations

import math

import numpy as np

from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import F64, I64, Snapshot
from pearlstreet.compute.scheduling.order.protocol import Keys, Still
from pearlstreet.compute.scheduling.order.ties import by_deadline, ranked
from pearlstreet.compute.scheduling.rows import Usage
from pearlstreet.compute.scheduling.topology_cache import PlannerCache

_GFLOPS, _MILLI, _MIB = 1e6, 1e3, 1024.0


def pool_capacity(snapshot: Snapshot, cache: PlannerCache) -> F64:
    """Return normalised PFLOPS, cores and GiB of the whole center; never 0."""
    return cache.topology(snapshot).pool_capacity


def demands(snapshot: Snapshot, cache: PlannerCache) -> F64:
    """Return [W, 3] share of the center that each waiting job takes while it runs, by resource."""
    rows = cache.topology(snapshot).demands(snapshot.requests)
    waiting = snapshot.waiting
    return rows[waiting.request] * waiting.tasks[:, None] if waiting.count else np.zeros((0, 3))


def held(snapshot: Snapshot, half_life_s: float, cache: PlannerCache | None = None) -> F64:
    """Return [P, 3] share of the center by project: decayed use over the window's mean length, plus what runs now."""
    cache = cache or PlannerCache()
    window_h = half_life_s / math.log(2) / 3600
    total = pool_capacity(snapshot, cache)
    share = snapshot.accounts.usage / window_h / total
    holds = holdings(snapshot, cache)
    for resource in range(share.shape[1]):  # one by one and in order: the sums are the same on every path
        np.add.at(share[:, resource], snapshot.running.project, holds[:, resource])
    return np.asarray(share)


def holdings(snapshot: Snapshot, cache: PlannerCache) -> F64:
    """Return [R, 3] share of the center that each running attempt holds, by resource."""
    running = snapshot.running
    now = np.stack([running.gflops / _GFLOPS, running.cpu / _MILLI, running.memory / _MIB], axis=1)
    return np.asarray(now / pool_capacity(snapshot, cache))


def _tags(group: I64, sequence: I64, base: F64, weight: F64, demand: F64) -> F64:
    """Start tag of each job: dominant share of its group before it, in the order `sequence`, over the weight."""
    mine = group[sequence]
    if len(mine) == 0 or (mine == mine[0]).all():
        ordered = sequence
        before = np.cumsum(demand[ordered], axis=0) - demand[ordered] + base[group[ordered]]
    else:
        by_group = np.argsort(mine, kind="stable")
        ordered, mine = sequence[by_group], mine[by_group]
        sums = np.cumsum(demand[ordered], axis=0) - demand[ordered]
        start = np.arange(len(ordered))
        start[1:][mine[1:] == mine[:-1]] = 0
        before = sums - sums[np.maximum.accumulate(start)] + base[mine]
    tags = np.empty(len(ordered))
    tags[ordered] = before.max(axis=1, initial=0.0) / np.maximum(weight[group[ordered]], 1e-9)
    return np.round(tags, 9)  # equal accounts stay equal whatever the order of adding up


class FairShare(Still):
    """Ranks by the organisation's tag, then the project's, then within a project by priority, deadline and submit time.

    Priority and deadline move a job ahead of jobs of its own project and of equals only.
    `across_accounts`: priority comes before the tags, for jobs of all accounts.
    """

    def __init__(self, *, across_accounts: bool = False) -> None:
        self._across = across_accounts

    def keys(self, snapshot: Snapshot, config: PlannerConfig, cache: PlannerCache) -> Keys:
        waiting, accounts = snapshot.waiting, snapshot.accounts
        down, ties = -waiting.priority, by_deadline(snapshot)
        if not (waiting.project != waiting.project[:1]).any():
            return Keys((down, *ties))  # with one project fair share never changes this order
        demand = demands(snapshot, cache)
        project_share = held(snapshot, config.half_life_s, cache)
        org_share = np.zeros((len(accounts.orgs), 3))
        np.add.at(org_share, accounts.project_org, project_share)
        inside = ranked((down, *ties), waiting.ids)
        project_tag = _tags(
            waiting.project.astype(np.int64), inside, project_share, accounts.project_weight, demand
        )
        first = (down,) if self._across else ()
        inside = ranked((*first, project_tag, down, *ties), waiting.ids)
        org_tag = _tags(waiting.org.astype(np.int64), inside, org_share, accounts.org_weight, demand)
        return Keys((*first, org_tag, project_tag, down, *ties))


def decayed(usage: Usage, elapsed_s: float, half_life_s: float) -> Usage:
    """Return past use after `elapsed_s` more seconds: halved every half-life."""
    factor = 0.5 ** (elapsed_s / half_life_s)
    return Usage(usage.pflops_h * factor, usage.cpu_h * factor, usage.memory_gib_h * factor)


def accrued(usage: Usage, rate: Usage, elapsed_s: float, half_life_s: float) -> Usage:
    """Use after holding `rate` (PFLOPS, cores, GiB) for `elapsed_s`, each moment decayed to the end of it."""
    past = decayed(usage, elapsed_s, half_life_s)
    hours = half_life_s / math.log(2) * (1 - 0.5 ** (elapsed_s / half_life_s)) / 3600
    return Usage(
        past.pflops_h + rate.pflops_h * hours,
        past.cpu_h + rate.cpu_h * hours,
        past.memory_gib_h + rate.memory_gib_h * hours,
    )
