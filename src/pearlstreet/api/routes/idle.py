"""Route of idle accelerators: what projects held without using it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from pearlstreet.api.models import Out, Yuan, yuan_of
from pearlstreet.api.request_inputs import Org
from pearlstreet.api.routing import CurrentActor, SecuredRouter, query
from pearlstreet.services.jobs import IdleProject, JobsService
from pearlstreet.tenancy.model import Actor

router = SecuredRouter("/idle-accelerators", "jobs")


class IdleProjectOut(Out):
    """Idle accelerators of the jobs of one project."""

    org: str
    project: str
    attempts: int
    hours: float
    """Accelerator-hours below the utilization that the center counts as idle."""
    cost: Yuan
    """What the jobs cost in that time."""
    warned: int
    released: int
    """Attempts that the center stopped."""
    saved: Yuan
    """What the stopped jobs would have cost at most, until their time limits."""


class IdleProjects(Out):
    """Projects with idle accelerators, the most idle first."""

    items: list[IdleProjectOut]


@router.get("", scope="jobs:read", responses={200: {"model": IdleProjects}})
async def list_idle_accelerators(
    jobs: JobsService,
    actor: Actor = CurrentActor,
    org: Org = None,
    days: Annotated[float, Query(gt=0, le=366, description="Days to look back")] = 30.0,
) -> Response:
    """List the accelerator-hours that jobs held without using them, by project, with their cost and what stops have saved."""
    return await query(
        lambda: jobs.idle_by_project(actor, org=org, days=days),
        lambda rows: {"items": [_out(row) for row in rows]},
    )


def _out(row: IdleProject) -> dict[str, object]:
    return {
        "org": row.org,
        "project": row.project,
        "attempts": row.attempts,
        "hours": row.hours,
        "cost": yuan_of(row.cost),
        "warned": row.warned,
        "released": row.released,
        "saved": yuan_of(row.saved),
    }
