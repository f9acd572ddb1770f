"""Exports jobs that ran and ended as a trace that can be replayed: their resource requests and run times.

Commands, job names, files and messages are left out. An actor who sees all organisations gets pseudonyms for organisations,
projects and users, the same ones every time, unless it requests names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.compute.queueing.model import ResourceRequest
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.reach import visible_rows
from pearlstreet.tenancy.tables import orgs, projects

_parent = jobs.alias("parent")
_MIB_PER_GIB = 1024
_PSEUDONYM = 12
"""Hexadecimal digits of a pseudonym (48 bits: no collisions among the tenants of a center)."""


@dataclass(frozen=True, slots=True)
class PastJob:
    """One job, or one element of an array, with its request and run time."""

    job: str
    org: str
    project: str
    user: str
    submitted_us: int
    duration_s: float
    """Run time of all attempts together in seconds."""
    state: str
    ask: ResourceRequest
    priority: int
    queue: str
    ran_on: str
    """Accelerator model of the last attempt; empty without accelerators."""
    started_us: int | None = None
    """Time of the first start (µs since 1970); None: it waits."""
    ended_us: int | None = None
    """Time of the end (µs since 1970); None: it waits or runs."""


def history_of_jobs(
    store: Store,
    actor: Actor,
    *,
    org: str | None = None,
    since_us: int | None = None,
    until_us: int | None = None,
    names: bool = False,
    after: str | None = None,
    limit: int = 500,
) -> Sequence[PastJob]:
    """Return jobs that the actor may see, submitted within the span, oldest first. Raises NotFound, Forbidden."""

    def query(tx: Tx) -> Sequence[PastJob]:
        rows = tx.rows(_statement(tx, actor, org, since_us, until_us, after).limit(limit))
        ran = _run_s(tx, [row["id"] for row in rows])
        hidden = actor.orgs_with("jobs:read") is None and not names
        return [_past(tx, row, ran.get(row["id"], (0.0, "")), hidden) for row in rows]

    return store.read(query)


def recent_jobs(
    store: Store, actor: Actor, *, org: str | None, since_us: int, after: str | None, limit: int
) -> Sequence[PastJob]:
    """Return jobs submitted since `since_us` that ended, run or wait for devices, oldest first, with pseudonyms.

    `duration_s` of a running job is its run time so far, that of a waiting job the run time of its earlier attempts. Jobs that
    wait for other jobs or for their start time are left out.
    """

    def query(tx: Tx) -> Sequence[PastJob]:
        statement = _statement(tx, actor, org, since_us, None, after, _ran_or_wants_devices(tx))
        rows = tx.rows(statement.limit(limit))
        ran = _run_s(tx, [row["id"] for row in rows], now_us=tx.now_us)
        return [_past(tx, row, ran.get(row["id"], (0.0, "")), hidden=True) for row in rows]

    return store.read(query)


def _ran_or_wants_devices(tx: Tx) -> sa.ColumnElement[bool]:
    open_ones = jobs.c.ended_us.is_(None) & (
        jobs.c.started_us.is_not(None) | ((jobs.c.blocked == 0) & (jobs.c.not_before_us <= tx.now_us))
    )
    return open_ones | (jobs.c.started_us.is_not(None) & jobs.c.ended_us.is_not(None))


def _statement(
    tx: Tx,
    actor: Actor,
    org: str | None,
    since_us: int | None,
    until_us: int | None,
    after: str | None,
    which: sa.ColumnElement[bool] | None = None,
) -> sa.Select[tuple[object, ...]]:
    found = (
        sa.select(
            jobs.c.id, jobs.c.org_id, jobs.c.project_id, jobs.c.owner, jobs.c.submitted_us, jobs.c.state,
            jobs.c.priority, jobs.c.queue, jobs.c.started_us, jobs.c.ended_us, orgs.c.slug.label("org"), projects.c.slug.label("project"),
            sa.func.coalesce(jobs.c.ask, _parent.c.ask).label("ask"),
        )
        .join(orgs, orgs.c.id == jobs.c.org_id)
        .join(projects, projects.c.id == jobs.c.project_id)
        .join(_parent, _parent.c.id == jobs.c.array_id, isouter=True)
        .where(jobs.c.array_size.is_(None))
        .where(jobs.c.started_us.is_not(None) & jobs.c.ended_us.is_not(None) if which is None else which)
        .order_by(jobs.c.id)
    )  # fmt: skip
    found = found.where(visible_rows(tx, actor, "jobs:read", jobs, org=org))
    if since_us is not None:
        found = found.where(jobs.c.submitted_us >= since_us)
    if until_us is not None:
        found = found.where(jobs.c.submitted_us < until_us)
    return found if after is None else found.where(jobs.c.id > after)


def _run_s(tx: Tx, ids: Sequence[str], *, now_us: int | None = None) -> Mapping[str, tuple[float, str]]:
    """Return run time in seconds and last accelerator model by job. `now_us`: running attempts count until then."""
    found: dict[str, tuple[float, str]] = {}
    statement = (
        sa.select(attempts.c.owner_id, attempts.c.started_us, attempts.c.ended_us, attempts.c.placement)
        .where(attempts.c.owner_id.in_(ids), attempts.c.started_us.is_not(None))
        .where(sa.true() if now_us is not None else attempts.c.ended_us.is_not(None))
        .order_by(attempts.c.id)
    )
    for row in tx.rows(statement):
        before, _ = found.get(row["owner_id"], (0.0, ""))
        ran_s = max((row["ended_us"] or now_us or 0) - row["started_us"], 0) / US_PER_S
        found[row["owner_id"]] = (before + ran_s, str(row["placement"].get("model") or ""))
    return found


def _past(tx: Tx, row: Row, ran: tuple[float, str], hidden: bool) -> PastJob:
    user = str(row["owner"]).split(" ")[0]

    def shown(kind: str, key: str, name: str) -> str:
        return pseudonym(tx, kind, key) if hidden else name

    return PastJob(
        job=row["id"],
        org=shown("org", row["org_id"], row["org"]),
        project=shown("project", row["project_id"], row["project"]),
        user=shown("user", f"{row['org_id']} {user}", user),
        submitted_us=row["submitted_us"],
        duration_s=round(ran[0], 6),
        state=row["state"],
        ask=ResourceRequest.from_json(row["ask"]),
        priority=row["priority"],
        queue=row["queue"],
        ran_on=ran[1],
        started_us=row["started_us"],
        ended_us=row["ended_us"],
    )


def pseudonym(tx: Tx, kind: str, key: str) -> str:
    """Return the pseudonym of an `org`, `project` or `user`, which cannot be reversed without the center's key."""
    message = f"trace export {key}".encode()
    digest = tx.sealer.mac(message) if tx.sealer else hashlib.sha256(message).hexdigest()
    return f"{kind}-{digest[:_PSEUDONYM]}"


def past_job_json(past: PastJob) -> dict[str, object]:
    """Return the fields of the history format, as a replay reads them."""
    ask = past.ask
    return {
        "job": past.job,
        "org": past.org,
        "project": past.project,
        "user": past.user,
        "duration_s": past.duration_s,
        "state": past.state,
        "tasks": ask.tasks,
        "accelerators": list(ask.accelerators),
        "count": ask.count,
        "fraction_memory_gib": round(ask.share_memory_mib / _MIB_PER_GIB, 6),
        "fraction_compute_percent": round(ask.share_compute_bp / 100, 4),
        "cpus": ask.cpu_milli / 1000,
        "memory_gib": round(ask.memory_mib / _MIB_PER_GIB, 6),
        "priority": past.priority,
        "queue": past.queue,
        "time_limit_s": ask.time_limit_s,
        "preemptible": ask.preemptible,
        "ran_on": past.ran_on,
        "min_tasks": ask.min_tasks,
        "max_tasks": ask.max_tasks,
    }
