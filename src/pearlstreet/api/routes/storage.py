"""Routes of stored data and the retention of outputs."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import Field

from pearlstreet.api.models import In, Out
from pearlstreet.api.request_inputs import Org, org_of
from pearlstreet.api.routing import CurrentActor, SecuredRouter, command, query
from pearlstreet.services.storage import DAYS_MAX, ProjectStorage, RetentionRule, StorageService
from pearlstreet.tenancy.model import Actor

router = SecuredRouter("/storage", "storage")
OfProject = Annotated[str | None, Query(max_length=80, description="Project, by slug or id")]
OrgNeeded = Annotated[str, Query(max_length=80, description="Organisation, by slug or id")]


class ProjectStorageOut(Out):
    """Storage of one project. `left_bytes` null: unlimited; `kept_days` 0: without end; `month_cost` in yuan."""

    org_id: str
    project_id: str
    project: str
    stored_bytes: int
    left_bytes: int | None
    kept_days: int
    month_cost: str


class StorageOut(Out):
    """Storage by project."""

    items: list[ProjectStorageOut]


class RetentionIn(In):
    """Retention of future outputs."""

    org: str = Field(max_length=80)
    project: str | None = Field(None, max_length=80)
    days: int = Field(ge=0, le=DAYS_MAX, description="Days; 0: without end")


class RetentionOut(Out):
    """A retention rule; `days` 0: without end."""

    org_id: str
    project_id: str | None
    days: int


def _storage(row: ProjectStorage) -> dict[str, object]:
    return {
        "org_id": row.org_id,
        "project_id": row.project_id,
        "project": row.project,
        "stored_bytes": row.stored_bytes,
        "left_bytes": row.left_bytes,
        "kept_days": row.kept_days,
        "month_cost": str(row.month_cost),
    }


def _rule(row: RetentionRule) -> dict[str, object]:
    return {"org_id": row.org_id, "project_id": row.project_id, "days": row.days}


@router.get("", scope="quotas:read", responses={200: {"model": StorageOut}})
async def list_storage(storage: StorageService, actor: Actor = CurrentActor, org: Org = None) -> Response:
    """List stored bytes, remaining bytes and retention of each project of an organisation."""
    target = org_of(actor, org)
    return await query(
        lambda: storage.list_storage(actor, target),
        lambda rows: {"items": [_storage(row) for row in rows]},
    )


@router.put("/retention", scope="retention:write", responses={200: {"model": RetentionOut}})
async def set_retention(
    request: Request, body: RetentionIn, storage: StorageService, actor: Actor = CurrentActor
) -> Response:
    """Set the retention of future outputs of an organisation or project."""
    return await command(
        request,
        actor,
        lambda store: storage.on(store).set_retention(actor, body.org, body.days, project=body.project),
        _rule,
    )


@router.delete("/retention", scope="retention:write", responses={200: {"model": RetentionOut}})
async def delete_retention(
    request: Request,
    org: OrgNeeded,
    storage: StorageService,
    actor: Actor = CurrentActor,
    project: OfProject = None,
) -> Response:
    """Delete a retention rule, so that the organisation's or the center's applies."""
    return await command(
        request,
        actor,
        lambda store: storage.on(store).delete_retention(actor, org, project=project),
        _rule,
    )
