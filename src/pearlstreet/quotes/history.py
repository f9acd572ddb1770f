"""Run times of a tenant's finished jobs of a given name. Read only."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from pearlstreet.compute.execution.metering import work_s
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.quotes.estimating import Past
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor

MOST = 50
"""Number of newest runs that are used."""
LOOKED_AT = 5_000
"""Number of newest jobs that are searched for names."""


def past_names(store: Store, actor: Actor, org_id: str, *, limit: int) -> Sequence[str]:
    """Return distinct names of an organisation's newest successful jobs, latest first. Raises Forbidden."""
    actor.require("jobs:read", org_id)
    newest = (
        sa.select(jobs.c.id, jobs.c.name)
        .where(
            jobs.c.org_id == org_id, jobs.c.state == JobState.SUCCEEDED.value, jobs.c.attempt_id.is_not(None)
        )
        .order_by(jobs.c.id.desc())
        .limit(LOOKED_AT)
        .subquery()
    )
    query = (
        sa.select(newest.c.name)
        .group_by(newest.c.name)
        .order_by(sa.func.max(newest.c.id).desc())
        .limit(limit)
    )
    return [row["name"] for row in store.read(lambda tx: tx.rows(query))]


def read_past(tx: Tx, org_id: str, name: str, *, project_id: str | None = None) -> Sequence[Past]:
    """Return successful runs of that name on whole accelerators, newest first; with `project_id`, of that project only."""
    query = (
        sa.select(attempts.c.usage, attempts.c.started_us, attempts.c.ended_us)
        .join(jobs, jobs.c.attempt_id == attempts.c.id)
        .where(jobs.c.org_id == org_id, jobs.c.name == name, jobs.c.state == JobState.SUCCEEDED.value)
        .where(attempts.c.started_us.is_not(None), attempts.c.ended_us.is_not(None))
        .order_by(jobs.c.id.desc())
        .limit(MOST)
    )
    if project_id is not None:
        query = query.where(jobs.c.project_id == project_id)
    found = []
    for row in tx.rows(query):
        count, part = divmod(row["usage"].get("card_bp", 0), FULL_BP)
        took_s = work_s(row, row["ended_us"])
        if row["usage"].get("model") and count and not part and took_s > 0:
            found.append(Past(row["usage"]["model"], count, took_s))
    return found
