"""Routes of organisations, their projects and their secrets."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import Field

from pearlstreet.api.models import In, Out, Time, time_of
from pearlstreet.api.owners import with_owner, with_owners
from pearlstreet.api.paging import Cursor, Limit, Page, page, read_cursor
from pearlstreet.api.routes.users import ReasonIn, Removed
from pearlstreet.api.routing import CurrentActor, SecuredRouter, Tied, center_of, command, query
from pearlstreet.tenancy import orgs as service
from pearlstreet.tenancy import secrets
from pearlstreet.tenancy.model import Actor, Organisation, Project, Standing, login_of
from pearlstreet.tenancy.secrets import VALUE_MAX_BYTES, SecretName

router = SecuredRouter("/orgs", "organisations")


class OrgOut(Out):
    """An organisation."""

    id: str
    slug: str
    name: str
    state: Standing
    created: Time


class OrgIn(In):
    """A new organisation or project."""

    slug: str = Field(max_length=80)
    name: str = Field("", max_length=400)


class NameIn(In):
    """A display name."""

    name: str = Field(max_length=400)


def org_out(org: Organisation) -> dict[str, object]:
    """Return an organisation as an OrgOut."""
    return {
        "id": org.id,
        "slug": org.slug,
        "name": org.name,
        "state": org.state,
        "created": time_of(org.created_us),
    }


@router.post(
    "",
    scope="orgs:write",
    at_center=True,
    location="/orgs/{id}",
    status_code=201,
    responses={201: {"model": OrgOut}},
)
async def create_org(request: Request, body: OrgIn, actor: Actor = CurrentActor) -> Response:
    """Create an organisation with its default project."""
    return await command(
        request, actor, lambda s: service.create_org(s, actor, body.slug, body.name), org_out, status=201
    )


@router.get("", scope="orgs:read", responses={200: {"model": Page[OrgOut]}})
async def list_orgs(
    request: Request, actor: Actor = CurrentActor, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """List the organisations that the caller may see, oldest first."""
    store, after = center_of(request).store, read_cursor(cursor)
    return await query(
        lambda: service.list_orgs(store, actor, after=after, limit=limit + 1),
        lambda rows: page(rows, limit, lambda row: row.id, org_out),
    )


@router.get("/{org}", scope="orgs:read", responses={200: {"model": OrgOut}})
async def get_org(request: Request, org: str, actor: Actor = CurrentActor) -> Response:
    """Get an organisation by id or slug."""
    store = center_of(request).store
    return await query(lambda: service.get_org(store, actor, org), org_out)


@router.patch("/{org}", scope="orgs:write", responses={200: {"model": OrgOut}})
async def rename_org(request: Request, org: str, body: NameIn, actor: Actor = CurrentActor) -> Response:
    """Change the display name of an organisation. The slug stays."""
    return await command(request, actor, lambda s: service.rename_org(s, actor, org, body.name), org_out)


@router.post("/{org}/suspend", scope="orgs:write", at_center=True, responses={200: {"model": OrgOut}})
async def suspend_org(
    request: Request, org: str, body: ReasonIn | None = None, actor: Actor = CurrentActor
) -> Response:
    """Suspend an organisation: its members can only read."""
    why = body.reason if body else ""
    return await command(request, actor, lambda s: service.suspend_org(s, actor, org, why), org_out)


@router.post("/{org}/resume", scope="orgs:write", at_center=True, responses={200: {"model": OrgOut}})
async def resume_org(
    request: Request, org: str, body: ReasonIn | None = None, actor: Actor = CurrentActor
) -> Response:
    """Resume a suspended organisation."""
    why = body.reason if body else ""
    return await command(request, actor, lambda s: service.resume_org(s, actor, org, why), org_out)


class ProjectOut(Out):
    """A project: a part of an organisation with its own jobs and secrets."""

    id: str
    org_id: str
    slug: str
    name: str
    created: Time


def project_out(project: Project) -> dict[str, object]:
    """Return a project as a ProjectOut."""
    return {
        "id": project.id,
        "org_id": project.org_id,
        "slug": project.slug,
        "name": project.name,
        "created": time_of(project.created_us),
    }


@router.post(
    "/{org}/projects",
    scope="projects:write",
    location="/orgs/{org}/projects/{id}",
    status_code=201,
    responses={201: {"model": ProjectOut}},
)
async def create_project(request: Request, org: str, body: OrgIn, actor: Actor = CurrentActor) -> Response:
    """Create a project."""
    return await command(
        request,
        actor,
        lambda s: service.create_project(s, actor, org, body.slug, body.name),
        project_out,
        status=201,
    )


@router.get(
    "/{org}/projects", tie=Tied.PROJECT, scope="projects:read", responses={200: {"model": Page[ProjectOut]}}
)
async def list_projects(
    request: Request, org: str, actor: Actor = CurrentActor, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """List the projects of the organisation, oldest first."""
    store, after = center_of(request).store, read_cursor(cursor)
    return await query(
        lambda: service.list_projects(store, actor, org, after=after, limit=limit + 1),
        lambda rows: page(rows, limit, lambda row: row.id, project_out),
    )


@router.get(
    "/{org}/projects/{project}",
    tie=Tied.PROJECT,
    scope="projects:read",
    responses={200: {"model": ProjectOut}},
)
async def get_project(request: Request, org: str, project: str, actor: Actor = CurrentActor) -> Response:
    """Get a project by id or slug."""
    store = center_of(request).store
    return await query(lambda: service.get_project(store, actor, org, project), project_out)


class SecretOut(Out):
    """A secret without its value."""

    id: str
    owner: str
    """Name of the organisation (`acme`) or project (`acme/vision`)."""
    owner_id: str
    org_id: str
    project_id: str | None
    name: str
    updated: Time
    updated_by: str


class Secrets(Out):
    """Secrets without their values."""

    items: list[SecretOut]


class SecretIn(In):
    """The value of a secret. It can be replaced but not read."""

    value: str = Field(max_length=VALUE_MAX_BYTES)


OfProject = Annotated[
    str | None, Query(max_length=80, description="Project of the secret; by default the whole organisation")
]


def secret_out(found: SecretName) -> dict[str, object]:
    """Return a secret as a SecretOut."""
    return {
        "id": found.id,
        "org_id": found.org_id,
        "project_id": found.project_id,
        "name": found.name,
        "updated": time_of(found.updated_us),
        "updated_by": login_of(found.updated_by),
    }


@router.get("/{org}/secrets", tie=Tied.PROJECT, scope="secrets:read", responses={200: {"model": Secrets}})
async def list_secrets(request: Request, org: str, actor: Actor = CurrentActor) -> Response:
    """List the organisation's secrets without their values."""
    store = center_of(request).store
    return await query(
        lambda: secrets.list_secrets(store, actor, org),
        lambda rows: {"items": with_owners(store, rows, secret_out)},
    )


@router.put(
    "/{org}/secrets/{name}", tie=Tied.PROJECT, scope="secrets:write", responses={200: {"model": SecretOut}}
)
async def set_secret(
    request: Request,
    org: str,
    name: str,
    body: SecretIn,
    actor: Actor = CurrentActor,
    project: OfProject = None,
) -> Response:
    """Create or replace a secret."""
    return await command(
        request,
        actor,
        lambda s: secrets.set_secret(s, actor, org, name, body.value, project=project),
        lambda found: with_owner(center_of(request).store, found, secret_out),
    )


@router.delete(
    "/{org}/secrets/{name}", tie=Tied.PROJECT, scope="secrets:write", responses={200: {"model": Removed}}
)
async def delete_secret(
    request: Request, org: str, name: str, actor: Actor = CurrentActor, project: OfProject = None
) -> Response:
    """Delete a secret."""
    return await command(
        request,
        actor,
        lambda s: secrets.delete_secret(s, actor, org, name, project=project),
        lambda _: {"removed": name},
    )
