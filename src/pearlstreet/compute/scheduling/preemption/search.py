"""Preemption: the cheapest attempts whose end lets a job fit, and no more than needed.

Who may be stopped is the policy's to say. A gang goes whole or not at all, and nobody is stopped unless the job then fits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pearlstreet.compute.scheduling.capacity import ALL, Need
from pearlstreet.compute.scheduling.model import I64, Bools, Running, Snapshot
from pearlstreet.compute.scheduling.order.ties import ranked
from pearlstreet.compute.scheduling.preemption.protocol import Candidates, Claim, Preemption
from pearlstreet.compute.scheduling.quota import QuotaState
from pearlstreet.compute.scheduling.timeline import Timeline, fits

_PRUNE_LIMIT = 256
"""Victims looked at again; bounds one search to a fraction of a second on 5,000 nodes."""


def find_victims(
    snapshot: Snapshot,
    policy: Preemption,
    quotas: QuotaState,
    timeline: Timeline,
    needs: Sequence[Need],
    claim: Claim,
    found: Candidates,
    leaving: Bools,
    ranks: I64 | None,
    soon: int,
) -> tuple[int, ...]:
    """Return the attempts of `found` to stop so that the claim fits, cheapest first; empty when no set of them suffices.

    Attempts that end on their own until `soon`, when the victims would be gone, count as free.
    """
    able = found.able & ~leaving
    running = snapshot.running
    order = _in_order(found, running, ranks)
    rank = np.empty(running.count, dtype=np.int64)
    rank[order] = np.arange(running.count)
    gone = timeline.over_by(soon)
    gone[: running.count] |= running.ending | leaving
    for need in needs:
        chosen = _on_nodes(
            snapshot,
            policy,
            quotas,
            timeline,
            need,
            needs,
            claim,
            Candidates(able, found.tier, found.cost),
            rank,
            gone,
        )
        if chosen:
            return chosen
    return ()


def _in_order(found: Candidates, running: Running, ranks: I64 | None) -> I64:
    """Return candidates by tier and cost, the last in the queue's order first among equals, then by id."""
    last = -ranks if ranks is not None else np.zeros(running.count, dtype=np.int64)
    return ranked((found.tier, found.cost, last), running.ids)


def _on_nodes(
    snapshot: Snapshot,
    policy: Preemption,
    quotas: QuotaState,
    timeline: Timeline,
    need: Need,
    needs: Sequence[Need],
    claim: Claim,
    found: Candidates,
    rank: I64,
    gone: Bools,
) -> tuple[int, ...]:
    """Clears node after node, the one with the cheapest victims a task first, until the gang fits."""
    running, tasks, able = snapshot.running, claim.tasks, found.able
    everyone = gone.copy()
    everyone[: running.count] |= able
    most = timeline.capacity_without(everyone).fit(need, ALL, False)
    before = timeline.capacity_without(gone)
    now = before.fit(need, ALL, False)
    if int(np.minimum(most, tasks).sum()) < tasks or int(np.minimum(now, tasks).sum()) >= tasks:
        return ()
    node = running.task_node.astype(np.int64)
    mine = able[running.task_attempt]
    chosen: list[int] = []
    used = list(quotas.used)
    got = int(np.minimum(now, tasks).sum())
    for n in _nodes_by_cost(running, found, node, mine, most - now, before.tie):
        for a in sorted(set(running.task_attempt[mine & (node == n)].tolist()), key=rank.__getitem__):
            if not gone[a] and policy.still(snapshot, quotas, claim, a, used):
                gone = gone.copy()
                gone[a] = True
                quotas.released(a, used)
                chosen.append(a)
        got += int(min(most[n], tasks) - min(now[n], tasks))
        if got >= tasks and fits(timeline.capacity_without(gone), need, tasks):
            return _pruned(timeline, needs, tasks, chosen, rank, gone)
    return ()


def _nodes_by_cost(
    running: Running, found: Candidates, node: I64, mine: Bools, gain: I64, tie: I64
) -> list[int]:
    """Return the nodes where stopping attempts helps: lowest tier first, then lowest cost for one task."""
    count = len(gain)
    attempt = running.task_attempt[mine]
    total = np.bincount(node[mine], weights=found.cost[attempt], minlength=count)
    least, tier = np.full(count, np.inf), np.full(count, np.inf)
    np.minimum.at(least, node[mine], found.cost[attempt])
    np.minimum.at(tier, node[mine], found.tier[attempt].astype(np.float64))
    useful = ((gain > 0) & np.isfinite(least)).nonzero()[0]
    cost = np.maximum(total[useful] / gain[useful], least[useful])
    return list(useful[np.lexsort((tie[useful], cost, tier[useful]))].tolist())


def _pruned(
    timeline: Timeline,
    needs: Sequence[Need],
    tasks: int,
    chosen: list[int],
    rank: I64,
    gone: Bools,
) -> tuple[int, ...]:
    """Spare every victim, most expensive first, without whose end the gang fits too, on devices of any model that suits it."""
    kept = list(chosen)
    for a in sorted(chosen, key=lambda a: -int(rank[a]))[:_PRUNE_LIMIT]:
        without = gone.copy()
        without[a] = False
        capacity = timeline.capacity_without(without)
        if any(fits(capacity, need, tasks) for need in needs):
            gone = without
            kept.remove(a)
    return tuple(sorted(kept, key=lambda a: int(rank[a])))
