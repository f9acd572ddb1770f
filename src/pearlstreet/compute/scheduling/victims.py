"""Preemption: the cheapest attempts whose end makes room for a job, and no more than needed.

A strictly higher priority may stop preemptible attempts that ran their minimum; a job within its account's guarantee
may also stop attempts that borrow. A gang goes whole or not at all. The cost of a victim is the normalised work since
it started, lowest priority first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import F64, I64, Bools, Running, Snapshot
from pearlstreet.compute.scheduling.quota import QuotaState
from pearlstreet.compute.scheduling.room import ALL, Need
from pearlstreet.compute.scheduling.timeline import Timeline, fits

_US = 1_000_000
_PRUNE_LIMIT = 256
"""Victims looked at again; bounds one search to a fraction of a second on 5,000 nodes."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The job that needs room."""

    org: int
    priority: int
    tasks: int
    reclaims: bool
    """It is within a guarantee of its account, so it may stop borrowers whatever their priority."""


def candidates(
    snapshot: Snapshot, config: PlannerConfig, quotas: QuotaState, claim: Claim, leaving: Bools
) -> Bools:
    """Attempts that may be stopped for the claim at all."""
    running = snapshot.running
    ran_us = snapshot.now_us - running.started_us
    able = running.preemptible & ~running.ending & ~leaving & (ran_us >= round(config.min_run_s * _US))
    lower = running.priority < claim.priority
    if not quotas.any_guarantee:
        return np.asarray(able & lower)
    borrows = np.array(
        [
            bool(able[a]) and quotas.borrows(a, bool(running.gflops[a]), quotas.used)
            for a in range(running.count)
        ],
        dtype=np.bool_,
    )
    own = running.org == claim.org
    return np.asarray(able & ((lower & (own | borrows)) | (claim.reclaims & borrows & ~own)))


def find_victims(
    snapshot: Snapshot,
    config: PlannerConfig,
    quotas: QuotaState,
    timeline: Timeline,
    needs: Sequence[Need],
    claim: Claim,
    leaving: Bools,
) -> tuple[int, ...]:
    """Attempts to stop so that the claim fits, cheapest first; empty when no permitted set makes room."""
    able = candidates(snapshot, config, quotas, claim, leaving)
    if not able.any():
        return ()
    running = snapshot.running
    ran_s = (snapshot.now_us - running.started_us) / _US + 1
    work = np.asarray((running.gflops + running.cpu + 1) * ran_s, dtype=np.float64)
    rank = np.empty(running.count, dtype=np.int64)
    ids = np.empty(running.count, dtype=np.int64)
    ids[sorted(range(running.count), key=running.ids.__getitem__)] = np.arange(running.count)
    rank[np.lexsort((ids, work, running.priority))] = np.arange(running.count)
    gone = np.zeros(len(timeline.end), dtype=np.bool_)
    gone[: running.count] = running.ending | leaving
    for need in needs:
        chosen = _on_nodes(snapshot, quotas, timeline, need, claim, able, work, rank, gone)
        if chosen:
            return chosen
    return ()


def _on_nodes(
    snapshot: Snapshot,
    quotas: QuotaState,
    timeline: Timeline,
    need: Need,
    claim: Claim,
    able: Bools,
    work: F64,
    rank: I64,
    gone: Bools,
) -> tuple[int, ...]:
    """Clears node after node, the one with the cheapest victims a task first, until the gang fits."""
    running, tasks = snapshot.running, claim.tasks
    everyone = gone.copy()
    everyone[: running.count] |= able
    most = timeline.room_without(everyone).fit(need, ALL, False)
    before = timeline.room_without(gone)
    now = before.fit(need, ALL, False)
    if int(np.minimum(most, tasks).sum()) < tasks or int(np.minimum(now, tasks).sum()) >= tasks:
        return ()
    node = running.task_node.astype(np.int64)
    mine = able[running.task_attempt]
    chosen: list[int] = []
    used = list(quotas.used)
    got = int(np.minimum(now, tasks).sum())
    for n in _nodes_by_cost(running, node, mine, work, most - now):
        for a in sorted(set(running.task_attempt[mine & (node == n)].tolist()), key=rank.__getitem__):
            if not gone[a] and _still_allowed(snapshot, quotas, claim, a, used):
                gone = gone.copy()
                gone[a] = True
                quotas.released(a, used)
                chosen.append(a)
        got += int(min(most[n], tasks) - min(now[n], tasks))
        if got >= tasks and fits(timeline.room_without(gone), need, tasks):
            return _pruned(timeline, need, tasks, chosen, rank, gone)
    return ()


def _nodes_by_cost(running: Running, node: I64, mine: Bools, work: F64, gain: I64) -> list[int]:
    """Nodes where stopping attempts helps: lowest priority first, then least work lost for one task."""
    count = len(gain)
    attempt = running.task_attempt[mine]
    total = np.bincount(node[mine], weights=work[attempt], minlength=count)
    least, priority = np.full(count, np.inf), np.full(count, np.inf)
    np.minimum.at(least, node[mine], work[attempt])
    np.minimum.at(priority, node[mine], running.priority[attempt].astype(np.float64))
    useful = np.flatnonzero((gain > 0) & np.isfinite(least))
    cost = np.maximum(total[useful] / gain[useful], least[useful])
    return list(useful[np.lexsort((useful, cost, priority[useful]))].tolist())


def _still_allowed(
    snapshot: Snapshot, quotas: QuotaState, claim: Claim, attempt: int, used: list[int]
) -> bool:
    """A borrower is stopped only while its account is still beyond its guarantee."""
    running = snapshot.running
    own_lower = running.priority[attempt] < claim.priority and (
        not quotas.any_guarantee or running.org[attempt] == claim.org
    )
    return bool(own_lower) or quotas.borrows(attempt, bool(running.gflops[attempt]), used)


def _pruned(
    timeline: Timeline,
    need: Need,
    tasks: int,
    chosen: list[int],
    rank: I64,
    gone: Bools,
) -> tuple[int, ...]:
    """Spare every victim, the dearest first, whose end is not needed after all."""
    kept = list(chosen)
    for a in sorted(chosen, key=lambda a: -int(rank[a]))[:_PRUNE_LIMIT]:
        without = gone.copy()
        without[a] = False
        if fits(timeline.room_without(without), need, tasks):
            gone = without
            kept.remove(a)
    return tuple(sorted(kept, key=lambda a: int(rank[a])))
