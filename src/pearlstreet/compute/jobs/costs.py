"""Charges of a job so far, and the usage spans behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pearlstreet.base.money import Money
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.compute.jobs.views import find_job
from pearlstreet.ledger.spans import Use, spans_of
from pearlstreet.ledger.statement import CostLine, cost_of
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor


@dataclass(frozen=True, slots=True)
class JobCost:
    """Charges of a job by resource; a running job is charged up to its newest span."""

    job_id: str
    lines: Sequence[CostLine]
    hourly: Money
    """Price of an hour of the job by its price list."""

    @property
    def total(self) -> Money:
        """Exact sum of the lines."""
        return Money(sum(line.amount.micro for line in self.lines))


def job_cost(store: Store, actor: Actor, job_id: str) -> JobCost:
    """Return the charges of a job, or of all elements of an array. Raises NotFound."""

    def query(tx: Tx) -> JobCost:
        row = find_job(tx, actor, job_id)
        which = (
            row["id"]
            if row["array_size"] is None
            else sa.select(jobs.c.id).where(jobs.c.array_id == row["id"])
        )
        return JobCost(row["id"], cost_of(tx, row["org_id"], which), Money(row["hourly_micro"]))

    return store.read(query)


def job_use(store: Store, actor: Actor, job_id: str) -> Sequence[Use]:
    """Return the usage spans of a job or of one element, oldest first. Raises NotFound."""

    def query(tx: Tx) -> Sequence[Use]:
        row = find_job(tx, actor, job_id)
        return spans_of(tx, row["org_id"], row["id"])

    return store.read(query)
