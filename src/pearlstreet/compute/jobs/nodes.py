"""Resources of each node that live attempts hold, for views of nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from pearlstreet.compute.execution.model import LIVE_ATTEMPT
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs.model import JOB, JobView
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.compute.jobs.views import job_view
from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.reach import visible_rows


@dataclass(slots=True)
class NodeUse:
    """Resources and jobs allocated on one node."""

    cpus: float = 0.0
    memory_gib: float = 0.0
    cards: float = 0.0
    given: dict[int, float] = field(default_factory=dict)
    """Allocated share of the compute of each device, by device index."""
    jobs: dict[int, list[tuple[str, str]]] = field(default_factory=dict)
    """(Job, organisation) pairs by device index."""
    all_jobs: dict[str, str] = field(default_factory=dict)
    """Organisation by job, including jobs without a device."""


def node_uses(tx: Tx) -> Mapping[str, NodeUse]:
    """Return the allocated resources by node name."""
    found: dict[str, NodeUse] = {}
    columns = (attempts.c.owner_kind, attempts.c.owner_id, attempts.c.org_id, attempts.c.placement)
    for row in tx.rows(sa.select(*columns).where(attempts.c.state.in_(LIVE_ATTEMPT))):
        for task in row["placement"]["tasks"]:
            use = found.setdefault(task["node"], NodeUse())
            is_job = row["owner_kind"] == JOB
            if is_job:
                use.all_jobs[row["owner_id"]] = row["org_id"]
            use.cpus += task["cpu_milli"] / 1000
            use.memory_gib += task["memory_mib"] / 1024
            for device in task["devices"]:
                share = 1.0 if device["whole"] else device["compute_bp"] / FULL_BP
                use.cards += share
                use.given[device["index"]] = use.given.get(device["index"], 0.0) + share
                if is_job:
                    use.jobs.setdefault(device["index"], []).append((row["owner_id"], row["org_id"]))
    return found


def find_jobs(store: Store, actor: Actor, ids: Sequence[str]) -> Sequence[JobView]:
    """Return those of the jobs that the actor may see, newest first."""
    columns = [column for column in jobs.c if column.name != "spec"]
    found = sa.select(*columns).where(jobs.c.id.in_(ids)).order_by(jobs.c.id.desc())

    def query(tx: Tx) -> Sequence[JobView]:
        return [job_view(row) for row in tx.rows(found.where(visible_rows(tx, actor, "jobs:read", jobs)))]

    return store.read(query)
