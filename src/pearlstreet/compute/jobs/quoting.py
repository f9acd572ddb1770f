"""What a job would cost and whether it could start, asked before it is submitted. Nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from pearlstreet.base.money import Money
from pearlstreet.base.units import HOUR_S
from pearlstreet.compute.jobs.asking import most_expensive_hour
from pearlstreet.compute.jobs.model import ResourceRequest
from pearlstreet.compute.jobs.runtime import PlannerStatus, Runtime
from pearlstreet.compute.jobs.service import check_dependencies, check_uploads, draft_job
from pearlstreet.compute.jobs.spec.model import JobSpec
from pearlstreet.compute.scheduling.capacity import FreeCapacity, request_needs
from pearlstreet.compute.scheduling.timeline import fits
from pearlstreet.ledger.funds import available
from pearlstreet.ledger.prices import current_prices
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.orgs import find_project
from pearlstreet.tenancy.secrets import check_for_job


@dataclass(frozen=True, slots=True)
class JobQuote:
    """The price on the most expensive device that may be given; what is left; and what the planner last saw."""

    hourly: Money
    """Of one element, for an array."""
    whole: Money
    """Of the whole time limit, of all elements: what it can cost at most."""
    elements: int
    available: Money
    has_room: bool | None
    """Whether enough is free for one of it at this moment; None: the pool was not looked at yet."""
    waiting: int | None
    """How many jobs wait, of everybody."""

    @property
    def is_covered(self) -> bool:
        """Whether it would be accepted: the first hour can be paid."""
        return self.available >= self.hourly


def quote_job(store: Store, actor: Actor, runtime: Runtime, org: str, spec: JobSpec) -> JobQuote:
    """Check a job as `submit_job` would and say what it would cost. Raises as that, but not for want of money."""
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
            _has_room(runtime.planner_status, draft.ask),
            _waiting(runtime.planner_status),
        )

    return store.read(query)


def _has_room(planner_status: PlannerStatus, ask: ResourceRequest) -> bool | None:
    seen = planner_status.snapshot()
    if seen is None or not seen.nodes.count:
        return None
    capacity = FreeCapacity(seen)
    return any(fits(capacity, need, ask.tasks) for need in request_needs(seen, ask.request()))


def _waiting(planner_status: PlannerStatus) -> int | None:
    seen = planner_status.snapshot()
    return None if seen is None else seen.waiting.count
