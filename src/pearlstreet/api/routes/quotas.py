"""Quotas, shares, and who is ahead."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request, Response
from pydantic import Field

from pearlstreet.api.models import In, Out, words
from pearlstreet.api.owners import with_owner, with_owners
from pearlstreet.api.request_inputs import Org, language_of
from pearlstreet.api.routing import CurrentActor, SecuredRouter, Tied, center_of, command, query
from pearlstreet.compute.jobs import quotas as service
from pearlstreet.compute.jobs.quotas import QuotaRow, QuotaWish, ShareRow, Standing
from pearlstreet.tenancy.model import Actor

router = SecuredRouter("", "quotas")
OfProject = Annotated[str | None, Query(max_length=80, description="Project, by slug or id")]
OrgNeeded = Annotated[str, Query(max_length=80, description="Organisation, by slug or id")]


class QuotaIn(In):
    """A limit on one resource, of an organisation or one of its projects."""

    org: str = Field(max_length=80)
    project: str | None = Field(None, max_length=80)
    resource: str = Field(max_length=80, examples=["cards", "pflops", "cpus", "cards:H100", "queued_jobs"])
    guaranteed: float | None = None
    maximum: float | None = None
    borrow: bool = True


class QuotaOut(Out):
    """A quota."""

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
    """Quotas."""

    items: list[QuotaOut]


def quota_out(row: QuotaRow) -> dict[str, Any]:
    """A quota as JSON."""
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
async def list_quotas(request: Request, actor: Actor = CurrentActor, org: Org = None) -> Response:
    """Quotas of an organisation, or of all that one may see."""
    store = center_of(request).store
    return await query(
        lambda: service.list_quotas(store, actor, org),
        lambda rows: {"items": with_owners(store, rows, quota_out)},
    )


@router.put("/quotas", scope="quotas:write", responses={200: {"model": QuotaOut}})
async def set_quota(request: Request, body: QuotaIn, actor: Actor = CurrentActor) -> Response:
    """Set or replace the quota of an organisation or project on a resource."""
    wish = QuotaWish(body.resource, body.guaranteed, body.maximum, body.borrow)
    return await command(
        request,
        actor,
        lambda s: service.set_quota(s, actor, body.org, wish, project=body.project),
        lambda row: with_owner(center_of(request).store, row, quota_out),
    )


@router.delete("/quotas/{quota}", scope="quotas:write", responses={200: {"model": QuotaOut}})
async def delete_quota(request: Request, quota: str, actor: Actor = CurrentActor) -> Response:
    """Take a quota away."""
    return await command(
        request,
        actor,
        lambda s: service.delete_quota(s, actor, quota),
        lambda row: with_owner(center_of(request).store, row, quota_out),
    )


class ShareIn(In):
    """A weight in fair share: of an organisation, or of a project inside it."""

    org: str = Field(max_length=80)
    project: str | None = Field(None, max_length=80)
    weight: float


class ShareOut(Out):
    """A weight."""

    owner: str
    """Name of the organisation (`acme`) or project (`acme/vision`)."""
    owner_id: str
    org_id: str
    project_id: str | None
    weight: float


class Shares(Out):
    """Weights that are not 1."""

    items: list[ShareOut]


def share_out(row: ShareRow) -> dict[str, Any]:
    """A weight as JSON."""
    return {"org_id": row.org_id, "project_id": row.project_id, "weight": row.weight}


@router.get("/shares", scope="quotas:read", responses={200: {"model": Shares}})
async def list_shares(request: Request, actor: Actor = CurrentActor, org: Org = None) -> Response:
    """Weights that are not 1."""
    store = center_of(request).store
    return await query(
        lambda: service.list_shares(store, actor, org),
        lambda rows: {"items": with_owners(store, rows, share_out)},
    )


@router.put("/shares", scope="quotas:write", responses={200: {"model": ShareOut}})
async def set_share(request: Request, body: ShareIn, actor: Actor = CurrentActor) -> Response:
    """Weigh an organisation among organisations, or a project inside its own."""
    return await command(
        request,
        actor,
        lambda s: service.set_share(s, actor, body.org, body.weight, project=body.project),
        lambda row: with_owner(center_of(request).store, row, share_out),
    )


@router.delete("/shares", scope="quotas:write", responses={200: {"model": ShareOut}})
async def delete_share(
    request: Request, org: OrgNeeded, actor: Actor = CurrentActor, project: OfProject = None
) -> Response:
    """Back to the weight 1."""
    return await command(
        request,
        actor,
        lambda s: service.delete_share(s, actor, org, project=project),
        lambda row: with_owner(center_of(request).store, row, share_out),
    )


class StandingOut(Out):
    """Where a project stands; the smallest rank is served first. Shares are of the whole center, over the weight."""

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
    """Who is ahead, and why."""

    half_life_s: float
    items: list[StandingOut]


def _standing(row: Standing, language: str) -> dict[str, Any]:
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
async def get_fair_share(request: Request, actor: Actor = CurrentActor) -> Response:
    """Who is served next and why: use by project, faded with the half-life, over its weight."""
    center, language = center_of(request), language_of(request)
    return await query(
        lambda: service.fair_share(center.store, actor, center.runtime),
        lambda found: {
            "half_life_s": found[0],
            "items": with_owners(center.store, found[1], lambda row: _standing(row, language)),
        },
    )
