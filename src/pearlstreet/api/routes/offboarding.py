"""Leaving: an organisation's data as one archive, and the end of a tenant."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from pearlstreet.api.models import In, Out, Time, Yuan, time_of, yuan_of
from pearlstreet.api.routing import CurrentActor, SecuredRouter, center_of, command, in_thread, query
from pearlstreet.offboarding import service
from pearlstreet.offboarding.model import Closing, Phase
from pearlstreet.tenancy.model import Actor, login_of

router = SecuredRouter("/orgs", "organisations")


class CloseIn(In):
    """How a tenant is to end."""

    cancel_jobs: bool = False
    """Cancel what has not ended; without it an organisation with such jobs is not closed."""
    reason: str = Field("", max_length=1000)


class ArchiveOut(Out):
    """Everything of the organisation, to be handed over; GET /orgs/{org}/export gives it."""

    name: str
    size_bytes: int
    sha256: str


class ClosingOut(Out):
    """How far the end of a tenant is."""

    org_id: str
    slug: str
    phase: Phase
    asked_by: str
    asked: Time
    reason: str
    cancel_jobs: bool
    invoices: list[str]
    balance: Yuan | None
    """What was left, or (negative) owed, after the last invoice."""
    archive: ArchiveOut | None
    closed: Time | None


def closing_out(found: Closing) -> dict[str, Any]:
    """The end of a tenant as JSON."""
    archive = found.archive
    return {
        "org_id": found.org_id,
        "slug": found.slug,
        "phase": found.phase,
        "asked_by": login_of(found.asked_by),
        "asked": time_of(found.asked_us),
        "reason": found.reason,
        "cancel_jobs": found.cancel_jobs,
        "invoices": list(found.invoices),
        "balance": None if found.balance is None else yuan_of(found.balance),
        "archive": archive
        and {"name": archive.name, "size_bytes": archive.size_bytes, "sha256": archive.sha256},
        "closed": None if found.closed_us is None else time_of(found.closed_us),
    }


@router.post(
    "/{org}/close",
    scope="orgs:write",
    at_center=True,
    status_code=202,
    responses={202: {"model": ClosingOut}},
)
async def close_org(
    request: Request, org: str, body: CloseIn | None = None, actor: Actor = CurrentActor
) -> Response:
    """End a tenant: stop its jobs, invoice, archive, erase. Its members are out at once; asking again changes nothing."""
    wanted = body or CloseIn(reason="")
    return await command(
        request,
        actor,
        lambda s: service.close_org(s, actor, org, cancel_jobs=wanted.cancel_jobs, reason=wanted.reason),
        closing_out,
        status=202,
    )


@router.get("/{org}/closing", scope="orgs:write", at_center=True, responses={200: {"model": ClosingOut}})
async def get_org_closing(request: Request, org: str, actor: Actor = CurrentActor) -> Response:
    """How far the end of a tenant is."""
    store = center_of(request).store
    return await query(lambda: service.get_closing(store, actor, org), closing_out)


class ArchiveResponse(StreamingResponse):
    """A tar archive."""

    media_type = "application/gzip"


@router.get("/{org}/export", scope="export:read", response_class=ArchiveResponse)
async def export_org(request: Request, org: str, actor: Actor = CurrentActor) -> Response:
    """Everything of the organisation as one tar.gz: jobs, logs, files, money, audit log. It is noted in the audit log."""
    center = center_of(request)
    name, chunks = await in_thread(lambda: service.export_org(center.store, actor, center.runtime, org))
    return ArchiveResponse(chunks, headers={"content-disposition": f'attachment; filename="{name}"'})
