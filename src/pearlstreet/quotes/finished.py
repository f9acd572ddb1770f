"""Finished jobs of accepted quotes with quoted and actual run times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pearlstreet.compute.estimate.band import Band
from pearlstreet.compute.execution.metering import work_s
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.quotes.model import State
from pearlstreet.quotes.serialization import offer_from_json
from pearlstreet.quotes.tables import quotes
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.reach import visible_rows


@dataclass(frozen=True, slots=True)
class FinishedQuote:
    """An accepted quote whose job succeeded in its first attempt."""

    quote_id: str
    job_id: str
    job_name: str
    org_id: str
    recipe: str
    accelerator: str
    count: int
    quoted_s: Band
    actual_s: float
    ended_us: int


def finished_quotes(store: Store, actor: Actor, *, limit: int = 40) -> Sequence[FinishedQuote]:
    """Return finished quotes of organisations that the actor may see, newest first. Raises Forbidden."""
    actor.require("nodes:read")

    def query(tx: Tx) -> Sequence[FinishedQuote]:
        wanted = (
            sa.select(
                quotes.c.id,
                quotes.c.org_id,
                quotes.c.recipe,
                quotes.c.accepted,
                quotes.c.offers,
                quotes.c.job_id,
                jobs.c.name,
                attempts.c.usage,
                attempts.c.started_us,
                attempts.c.ended_us,
            )
            .join(jobs, jobs.c.id == quotes.c.job_id)
            .join(attempts, attempts.c.id == jobs.c.attempt_id)
            .where(quotes.c.state == State.ACCEPTED.value)
            .where(jobs.c.state == JobState.SUCCEEDED.value, jobs.c.attempts == 1)
            .where(attempts.c.started_us.is_not(None), attempts.c.ended_us > attempts.c.started_us)
            .order_by(quotes.c.id.desc())
            .limit(limit)
        )
        wanted = wanted.where(visible_rows(tx, actor, "jobs:read", quotes))
        found = []
        for row in tx.rows(wanted):
            offer = next(offer_from_json(one) for one in row["offers"] if one["id"] == row["accepted"])
            found.append(
                FinishedQuote(
                    quote_id=row["id"],
                    job_id=row["job_id"],
                    job_name=row["name"],
                    org_id=row["org_id"],
                    recipe=row["recipe"].partition("/")[2],
                    accelerator=offer.accelerator,
                    count=offer.count,
                    quoted_s=offer.elapsed_s,
                    actual_s=work_s(row, row["ended_us"]),
                    ended_us=row["ended_us"],
                )
            )
        return found

    return store.read(query)
