"""Routes of incidents: rows on which background loops fail or gave up."""

from __future__ import annotations

from fastapi import Request, Response
from pydantic import Field

from pearlstreet.api.models import In, Out, Time
from pearlstreet.api.routing import CurrentActor, SecuredRouter, center_of, command, query
from pearlstreet.base.table_fields import fields_json
from pearlstreet.tenancy import incidents as service
from pearlstreet.tenancy.incident_fields import INCIDENT_FIELDS
from pearlstreet.tenancy.model import Actor

router = SecuredRouter("/incidents", "center")


class IncidentOut(Out):
    """A row on which a background loop fails."""

    loop: str
    row: str
    failures: int
    given_up: bool
    error: str
    at: Time


class Incidents(Out):
    """Incidents, with rows that were given up first."""

    items: list[IncidentOut]


@router.get("", scope="settings:read", at_center=True, responses={200: {"model": Incidents}})
async def list_incidents(request: Request, actor: Actor = CurrentActor) -> Response:
    """List rows on which loops fail or gave up. A retry or a restart tries them again."""
    store = center_of(request).store
    return await query(
        lambda: service.list_incidents(store, actor),
        lambda found: {"items": [fields_json(INCIDENT_FIELDS, one) for one in found]},
    )


class RetryIn(In):
    """The incidents to retry: by default all that were given up."""

    loop: str | None = Field(None, max_length=80)
    row: str | None = Field(None, max_length=120)


class RetriedOut(Out):
    """Number of rows that are tried again."""

    retried: int


@router.post("/retry", scope="settings:write", at_center=True, responses={200: {"model": RetriedOut}})
async def retry_incidents(
    request: Request, body: RetryIn | None = None, actor: Actor = CurrentActor
) -> Response:
    """Retry rows that were given up."""
    wanted = body or RetryIn(loop=None, row=None)
    return await command(
        request,
        actor,
        lambda store: service.retry_incidents(store, actor, loop=wanted.loop, row=wanted.row),
        lambda count: {"retried": count},
    )
