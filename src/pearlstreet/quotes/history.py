"""What a tenant's own finished jobs of a name took. Read only."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from pearlstreet.compute.jobs.metering import work_s
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.tables import attempts, jobs
from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.quotes.estimating import Past
from pearlstreet.store.core import Tx

MOST = 50
"""Runs that count, the newest."""


def read_past(tx: Tx, org_id: str, name: str) -> Sequence[Past]:
    """Jobs of that name that succeeded on whole accelerators, newest first."""
    query = (
        sa.select(attempts.c.usage, attempts.c.started_us, attempts.c.ended_us)
        .join(jobs, jobs.c.attempt_id == attempts.c.id)
        .where(jobs.c.org_id == org_id, jobs.c.name == name, jobs.c.state == JobState.SUCCEEDED.value)
        .where(attempts.c.started_us.is_not(None), attempts.c.ended_us.is_not(None))
        .order_by(jobs.c.id.desc())
        .limit(MOST)
    )
    found = []
    for row in tx.rows(query):
        count, part = divmod(row["usage"].get("card_bp", 0), FULL_BP)
        took_s = work_s(row, row["ended_us"])
        if row["usage"].get("model") and count and not part and took_s > 0:
            found.append(Past(row["usage"]["model"], count, took_s))
    return found
