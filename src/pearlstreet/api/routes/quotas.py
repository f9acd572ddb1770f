"""Routes of quotas, fair-share weights and the fair-share ranking."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import Field

from pearlstreet.api.models import In, Out, words
from pearlstreet.api.owners import with_owner, with_owners
from pearlstreet.api.request_inputs import Org, language_of
from pearlstreet.api.routing import CurrentActor, SecuredRouter, Tied, command, query
from pearlstreet.services.scheduling import (
    FairShareStanding,
    QuotaRow,
    QuotasService,
    QuotaWish,
    ShareRow,
)
from pearlstreet.tenancy.model import Actor

router = SecuredRouter("", "quotas")
OfProject = Annotated[str | None, Query(max_length=80, description="Project, by slug or id")]
OrgNeeded = Annotated[str, Query(max_length=80, description="Organisation, by slug or id")]


class QuotaIn(In):
    """A quota on one resource for an organisation or one of its projects."""

    org: str = Field(max_length=80)
    project: str | None = Field(None, max_length=80)
    resource: str = Field(max_length=80, examples=["cards", "pflops", "cpus", "cards:H100", "queued_jobs"])
    guaranteed: float | None = None
    maximum: float | None = None
    borrow: bool = True


class QuotaOut(Out):
    """A quota on one resource."""

    id: str
    owner: str
    """Name of the organisation (`acme`) or project (`acme/vision`)."""
    owner_id: str
    org_id: str
    project_id: str | None
    resource: str
    guaranteed: float | None
    maximum: float | None
    borrow: bool


class Quotas(Out):
    """A list of quotas."""

    items: list[QuotaOut]


def quota_out(row: QuotaRow) -> dict[str, object]:
    """Return a quota as a QuotaOut, without its owner."""
    return {
        "id": row.id,
        "org_id": row.org_id,
        "project_id": row.project_id,
        "resource": row.wish.resource,
        "guaranteed": row.wish.guaranteed,
        "maximum": row.wish.maximum,
        "borrow": row.wish.borrow,
    }


@router.get("/quotas", tie=Tied.PROJECT, scope="quotas:read", responses={200: {"model": Quotas}})
async def list_quotas(
    request: Request, quotas: QuotasService, actor: Actor = CurrentActor, org: Org = None
) -> Response:
    """List the quotas of an organisation, or all that the caller may see."""
    return await query(
        lambda: quotas.list_quotas(actor, org),
        lambda rows: {"items": with_owners(quotas.store, rows, quota_out)},
    )


@router.put("/quotas", scope="quotas:write", responses={200: {"model": QuotaOut}})
async def set_quota(
    request: Request, body: QuotaIn, quotas: QuotasService, actor: Actor = CurrentActor
) -> Response:
    """Create or replace the quota of an organisation or project on a resource."""
    wish = QuotaWish(body.resource, body.guaranteed, body.maximum, body.borrow)
    return await command(
        request,
        actor,
        lambda s: quotas.on(s).set_quota(actor, body.org, wish, project=body.project),
        lambda row: with_owner(quotas.store, row, quota_out),
    )


@router.delete("/quotas/{quota}", scope="quotas:write", responses={200: {"model": QuotaOut}})
async def delete_quota(
    request: Request, quota: str, quotas: QuotasService, actor: Actor = CurrentActor
) -> Response:
    """Delete a quota."""
    return await command(
        request,
        actor,
        lambda s: quotas.on(s).delete_quota(actor, quota),
        lambda row: with_owner(quotas.store, row, quota_out),
    )


class ShareIn(In):
    """Fair-share weight of an organisation, or of a project within it."""

    org: str = Field(max_length=80)
    project: str | None = Field(None, max_length=80)
    weight: float


class ShareOut(Out):
    """Fair-share weight of an organisation or project."""

    owner: str
    """Name of the organisation (`acme`) or project (`acme/vision`)."""
    owner_id: str
    org_id: str
    project_id: str | None
    weight: float


class Shares(Out):
    """Fair-share weights other than 1."""

    items: list[ShareOut]


def share_out(row: ShareRow) -> dict[str, object]:
    """Return a weight as a ShareOut, without its owner."""
    return {"org_id": row.org_id, "project_id": row.project_id, "weight": row.weight}


@router.get("/shares", scope="quotas:read", responses={200: {"model": Shares}})
async def list_shares(
    request: Request, quotas: QuotasService, actor: Actor = CurrentActor, org: Org = None
) -> Response:
    """List the fair-share weights other than 1."""
    return await query(
        lambda: quotas.list_shares(actor, org),
        lambda rows: {"items": with_owners(quotas.store, rows, share_out)},
    )


@router.put("/shares", scope="quotas:write", responses={200: {"model": ShareOut}})
async def set_share(
    request: Request, body: ShareIn, quotas: QuotasService, actor: Actor = CurrentActor
) -> Response:
    """Set the fair-share weight of an organisation, or of a project within its organisation."""
    return await command(
        request,
        actor,
        lambda s: quotas.on(s).set_share(actor, body.org, body.weight, project=body.project),
        lambda row: with_owner(quotas.store, row, share_out),
    )


@router.delete("/shares", scope="quotas:write", responses={200: {"model": ShareOut}})
async def delete_share(
    request: Request,
    org: OrgNeeded,
    quotas: QuotasService,
    actor: Actor = CurrentActor,
    project: OfProject = None,
) -> Response:
    """Reset a fair-share weight to 1."""
    return await command(
        request,
        actor,
        lambda s: quotas.on(s).delete_share(actor, org, project=project),
        lambda row: with_owner(quotas.store, row, share_out),
    )


class StandingOut(Out):
    """Fair-share rank of a project; the lowest is served first. Shares are fractions of the center divided by the weight."""

    rank: int
    owner: str
    """Name of the organisation (`acme`) or project (`acme/vision`)."""
    owner_id: str
    org_id: str
    project_id: str
    org_weight: float
    weight: float
    org_share: float
    share: float
    dominant: str
    recent: dict[str, float]
    why: str


class FairShareOut(Out):
    """The fair-share ranking of projects, with reasons."""

    half_life_s: float
    items: list[StandingOut]


def _standing(row: FairShareStanding, language: str) -> dict[str, object]:
    return {
        "rank": row.rank,
        "org_id": row.org_id,
        "project_id": row.project_id,
        "org_weight": row.org_weight,
        "weight": row.weight,
        "org_share": row.org_share,
        "share": row.share,
        "dominant": row.dominant,
        "recent": row.recent,
        "why": words(row.why, language),
    }


@router.get("/fair-share", scope="quotas:read", responses={200: {"model": FairShareOut}})
async def get_fair_share(request: Request, quotas: QuotasService, actor: Actor = CurrentActor) -> Response:
    """Get the fair-share ranking: usage of each project, decayed with the half-life and divided by its weight."""
    language = language_of(request)
    return await query(
        lambda: quotas.fair_share(actor),
        lambda found: {
            "half_life_s": found[0],
            "items": with_owners(quotas.store, found[1], lambda row: _standing(row, language)),
        },
    )
