"""Routes to close an organisation and to export its data."""

from __future__ import annotations

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from pearlstreet.api.models import In, Out, Time, Yuan, time_of, yuan_of
from pearlstreet.api.routing import CurrentActor, SecuredRouter, command, in_thread, query
from pearlstreet.offboarding.model import Closing, Phase
from pearlstreet.services.offboarding import OffboardingService
from pearlstreet.tenancy.model import Actor, login_of

router = SecuredRouter("/orgs", "organisations")


class CloseIn(In):
    """Options of closing an organisation."""

    cancel_jobs: bool = False
    """Whether to cancel jobs that have not ended; otherwise such jobs prevent the closing."""
    reason: str = Field("", max_length=1000)


class ArchiveOut(Out):
    """The archive of the organisation's data, returned by GET /orgs/{org}/export."""

    name: str
    size_bytes: int
    sha256: str


class ClosingOut(Out):
    """Progress of closing an organisation."""

    org_id: str
    slug: str
    phase: Phase
    asked_by: str
    asked: Time
    reason: str
    cancel_jobs: bool
    invoices: list[str]
    balance: Yuan | None
    """Balance after the last invoice; negative if the organisation owes money."""
    archive: ArchiveOut | None
    closed: Time | None


def closing_out(found: Closing) -> dict[str, object]:
    """Return the closing of an organisation as a ClosingOut."""
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
    request: Request,
    org: str,
    offboarding: OffboardingService,
    body: CloseIn | None = None,
    actor: Actor = CurrentActor,
) -> Response:
    """Close an organisation: stop its jobs, invoice, archive and erase. Members lose access at once. Idempotent."""
    wanted = body or CloseIn(reason="")
    return await command(
        request,
        actor,
        lambda store: offboarding.on(store).close_org(
            actor, org, cancel_jobs=wanted.cancel_jobs, reason=wanted.reason
        ),
        closing_out,
        status=202,
    )


@router.get("/{org}/closing", scope="orgs:write", at_center=True, responses={200: {"model": ClosingOut}})
async def get_org_closing(org: str, offboarding: OffboardingService, actor: Actor = CurrentActor) -> Response:
    """Get the progress of closing an organisation."""
    return await query(lambda: offboarding.get_closing(actor, org), closing_out)


class ArchiveResponse(StreamingResponse):
    """A tar.gz archive."""

    media_type = "application/gzip"


@router.get("/{org}/export", scope="export:read", response_class=ArchiveResponse)
async def export_org(org: str, offboarding: OffboardingService, actor: Actor = CurrentActor) -> Response:
    """Export all data of the organisation as tar.gz: jobs, logs, files, money and audit log. The export is audited."""
    name, chunks = await in_thread(lambda: offboarding.export_org(actor, org))
    return ArchiveResponse(chunks, headers={"content-disposition": f'attachment; filename="{name}"'})
