"""Price and free capacity for a job before it is submitted. Nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from pearlstreet.base.money import Money
from pearlstreet.base.units import HOUR_S
from pearlstreet.compute.jobs.resource_request import most_expensive_hour
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.service import check_dependencies, check_uploads, draft_job
from pearlstreet.compute.queueing.model import ResourceRequest
from pearlstreet.compute.queueing.runtime import PlannerStatus
from pearlstreet.compute.scheduling.capacity import FreeCapacity, request_needs
from pearlstreet.compute.scheduling.timeline import fits
from pearlstreet.ledger.funds import available
from pearlstreet.ledger.prices import current_prices
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.orgs import find_project
from pearlstreet.tenancy.secrets import check_for_job
from pearlstreet.workload.spec.model import JobSpec


@dataclass(frozen=True, slots=True)
class JobQuote:
    """Price on the most expensive device that the job may get, the balance, and the planner's last view of the pool."""

    hourly: Money
    """Price of an hour of the job, or of one element of an array."""
    whole: Money
    """Maximum cost: price of the whole time limit for all elements."""
    elements: int
    available: Money
    fits_now: bool | None
    """Whether enough is free now for the job or one element; None: the planner has not read the pool yet."""
    waiting: int | None
    """Number of waiting jobs of all organisations; None: the planner has not read them yet."""

    @property
    def is_covered(self) -> bool:
        """Whether the balance covers the first hour, without which the job would be refused."""
        return self.available >= self.hourly


def quote_job(store: Store, actor: Actor, runtime: Runtime, org: str, spec: JobSpec) -> JobQuote:
    """Check a job as `submit_job` does and return its price.

    Raises the errors of `submit_job` except PaymentRequired.
    """
    draft = draft_job(runtime, spec)

    def query(tx: Tx) -> JobQuote:
        project = find_project(tx, actor, org, spec.project, "jobs:write")
        check_uploads(tx, actor, project.org_id, spec)
        if spec.secrets:
            check_for_job(tx, actor, project, spec.secrets.values())
        check_dependencies(tx, actor, project, spec.depends_on)
        hourly = most_expensive_hour(runtime.planner_status.snapshot(), current_prices(tx), draft.ask)
        count = spec.array.count if spec.array else 1
        whole = Money(round(Fraction(hourly.micro) * Fraction(spec.time_limit_s) / HOUR_S * count))
        left = available(tx, project.org_id)
        return JobQuote(
            hourly,
            whole,
            count,
            left,
            _fits_now(runtime.planner_status, draft.ask),
            _waiting(runtime.planner_status),
        )

    return store.read(query)


def _fits_now(planner_status: PlannerStatus, ask: ResourceRequest) -> bool | None:
    seen = planner_status.snapshot()
    if seen is None or not seen.nodes.count:
        return None
    capacity = FreeCapacity(seen)
    needs = request_needs(seen, ask.request(), is_gang=ask.tasks > 1)
    return any(fits(capacity, need, ask.tasks) for need in needs)


def _waiting(planner_status: PlannerStatus) -> int | None:
    seen = planner_status.snapshot()
    return None if seen is None else seen.waiting.count
