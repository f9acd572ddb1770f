"""Route of the job history as a trace, for what-if simulations."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from pearlstreet.api.models import Out, Time, read_time, time_of
from pearlstreet.api.paging import Cursor, Limit, Page, page, read_cursor
from pearlstreet.api.routes.credit import From, To
from pearlstreet.api.routing import CurrentActor, SecuredRouter, Tied, query
from pearlstreet.services.jobs import JobsService, PastJob, past_job_json
from pearlstreet.tenancy.model import Actor

router = SecuredRouter("/trace", "jobs")


class PastOut(Out):
    """A finished job: its resource request and run time, without command, name and files."""

    job: str
    org: str
    project: str
    user: str
    submitted: Time
    duration_s: float
    state: str
    tasks: int
    accelerators: list[str]
    count: int
    fraction_memory_gib: float
    fraction_compute_percent: float
    cpus: float
    memory_gib: float
    priority: int
    queue: str
    time_limit_s: float
    preemptible: bool
    ran_on: str
    min_tasks: int
    max_tasks: int
    """Maximum number of tasks of an elastic job; `min_tasks` and `max_tasks` are 0 for other jobs."""


def _row(past: PastJob) -> dict[str, object]:
    return {**past_job_json(past), "submitted": time_of(past.submitted_us)}


@router.get("", tie=Tied.PROJECT, scope="jobs:read", responses={200: {"model": Page[PastOut]}})
async def list_trace(
    jobs: JobsService,
    caller: Actor = CurrentActor,
    org: Annotated[str | None, Query(max_length=80, description="Only jobs of this organisation")] = None,
    since: From = None,
    until: To = None,
    names: Annotated[
        bool, Query(description="For operators: names of tenants instead of pseudonyms")
    ] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List finished jobs, oldest first: a tenant's own or, for operators, all under pseudonyms."""
    after = read_cursor(cursor)
    since_us, until_us = read_time(since, "from"), read_time(until, "to")
    return await query(
        lambda: jobs.list_past_jobs(
            caller,
            org=org,
            since_us=since_us,
            until_us=until_us,
            names=names,
            after=after,
            limit=limit + 1,
        ),
        lambda found: page(found, limit, lambda past: past.job, _row),
    )
