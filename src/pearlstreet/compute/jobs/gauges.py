"""Current counts of jobs, nodes and cards over all tenants, for monitoring systems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.compute.jobs.model import ENDED, JobState
from pearlstreet.compute.jobs.nodes import node_uses
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.compute.pool.inventory import STATES, all_nodes, states_of
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor

ALIVE = tuple(state.value for state in JobState if state not in ENDED)


@dataclass(frozen=True, slots=True)
class CenterGauges:
    """Current counts over all tenants, without any names."""

    jobs: Mapping[str, int]
    """Jobs that have not ended, by state; elements of arrays count, arrays do not."""
    waited_s: float
    """Seconds since the submission of the oldest queued job; 0 if none is queued."""
    nodes: Mapping[str, int]
    """Nodes by state (`healthy`, `drained`, `unhealthy`, `gone`); each counts once, under its worst state."""
    cards: Mapping[tuple[str, str], float]
    """Devices by (model, `given` | `free` | `unusable`); `given` is allocated, and shares count as fractions."""


def read_gauges(store: Store, actor: Actor) -> CenterGauges:
    """Return the current counts. Raises Forbidden without metrics:read."""
    actor.require("metrics:read")
    return store.read(_count)


def _count(tx: Tx) -> CenterGauges:
    alive = sa.and_(jobs.c.state.in_(ALIVE), jobs.c.array_size.is_(None))
    columns = (jobs.c.state, sa.func.count().label("count"), sa.func.min(jobs.c.submitted_us).label("first"))
    found = {row["state"]: row for row in tx.rows(sa.select(*columns).where(alive).group_by(jobs.c.state))}
    queued = found.get(JobState.QUEUED.value)
    machines: Counter[str] = Counter()
    cards: dict[tuple[str, str], float] = {}
    uses = node_uses(tx)
    for node in all_nodes(tx):
        usable = node.present and node.report.healthy and not node.drained
        machines[states_of(node)[0]] += 1
        use = uses.get(node.report.name)
        for device in node.report.devices:
            given = use.given.get(device.index, 0.0) if use else 0.0
            rest = "free" if usable and device.healthy else "unusable"
            for state, share in (("given", given), (rest, max(0.0, 1.0 - given))):
                cards[device.model, state] = cards.get((device.model, state), 0.0) + share
    return CenterGauges(
        jobs={state: int(found[state]["count"]) if state in found else 0 for state in ALIVE},
        waited_s=(tx.now_us - int(queued["first"])) / US_PER_S if queued else 0.0,
        nodes={state: machines[state] for state in STATES},
        cards={key: round(share, 4) for key, share in sorted(cards.items())},
    )
