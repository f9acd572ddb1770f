"""Routes of the hub: repositories of models and data sets, their files, history, branches, tags and access.

Bytes of files travel by the Hugging Face Hub API below `/hf`.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import Field

from pearlstreet.api.models import In, Out, Time, time_of
from pearlstreet.api.paging import Cursor, Limit, Page, page, read_number
from pearlstreet.api.routing import CurrentActor, SecuredRouter, Tied, center_of, command, query
from pearlstreet.hub import approvals, browsing, requests, revisions
from pearlstreet.hub import repositories as service
from pearlstreet.hub.approvals import Approval, ApprovalState
from pearlstreet.hub.cards import card_tags
from pearlstreet.hub.lineage import LineageRevision, find_lineage, to_openlineage
from pearlstreet.hub.model import (
    Commit,
    Gate,
    Ref,
    RefKind,
    RepoKind,
    RepoRole,
    Repository,
    RequestState,
    Visibility,
)
from pearlstreet.hub.preview.facts import count_parameters, list_pickles
from pearlstreet.hub.requests import AccessRequest
from pearlstreet.tenancy.model import Actor

router = SecuredRouter("/hub", "hub")
_REPO = "/{repo_type}/{repo_org}/{repo_name}"
Rev = Annotated[str, Query(max_length=200, description="Branch, tag or commit id")]
OFFSET_MAX = 10_000_000


class PickleOut(Out):
    """A pickle, which can run programs when it is loaded; `rating`: `expected`, `unknown` or `dangerous`, by its imports."""

    path: str
    rating: str
    imports: list[str]
    is_complete: bool


class RepositoryOut(Out):
    """A repository; `name` is `organisation/name`. `parameters` and `pickles` are of the newest commit on `main`."""

    id: str
    type: RepoKind
    name: str
    visibility: Visibility
    gate: Gate
    gate_days: int | None
    jobs_only: bool
    tags: list[str]
    card: dict[str, object]
    size_bytes: int
    downloads: int
    parameters: int | None
    pickles: list[PickleOut]
    created_by: str
    created_at: Time
    updated_at: Time


class HubCommitOut(Out):
    """A revision; `made_by_job`: whether a job made it, which its lineage tells."""

    id: str
    number: int
    parent: str | None
    title: str
    message: str
    author: str
    at: Time
    files: int
    size_bytes: int
    made_by_job: bool


class HubRefOut(Out):
    """A branch or tag."""

    kind: RefKind
    name: str
    commit: str
    message: str


class RepositoryRightsOut(Out):
    """Rights of the caller."""

    download: bool
    write: bool
    admin: bool


class RepositoryViewOut(Out):
    """A repository at a revision."""

    repository: RepositoryOut
    commit: HubCommitOut
    refs: list[HubRefOut]
    rights: RepositoryRightsOut


class FolderEntryOut(Out):
    """A file, or a folder without size and digest."""

    path: str
    is_folder: bool
    size_bytes: int | None
    sha256: str | None


class RepositoryRoleOut(Out):
    """Role of a person in a repository."""

    user: str
    role: RepoRole
    given_by: str
    given_at: Time


class AccessRequestOut(Out):
    """A person's request for the files of a gated repository."""

    id: str
    user: str
    state: RequestState
    note: str
    at: Time
    decided_by: str | None
    expires_at: Time | None


class RepositoryAccessOut(Out):
    """Who may use a repository beside its organisation."""

    roles: list[RepositoryRoleOut]
    shared_with: list[str]
    requests: list[AccessRequestOut]


class HubDownloadOut(Out):
    """Files and bytes that a person downloaded of a revision within an hour."""

    user: str
    commit: str
    hour: Time
    files: int
    size_bytes: int


class LineageRevisionOut(Out):
    """A revision in a lineage; `name`: name of the job's input, or pattern of its output."""

    type: RepoKind
    repository: str
    commit: str
    name: str


class LineageJobOut(Out):
    """A job that read the revision, and what it made."""

    job: str
    at: Time
    made: list[LineageRevisionOut]


class LineageOut(Out):
    """What a revision was made from and what was made from it; `hidden` counts what the caller may not see."""

    commit: str
    job: str | None
    facts: dict[str, object]
    sources: list[LineageRevisionOut]
    jobs: list[LineageJobOut]
    hidden: int
    openlineage: list[dict[str, object]]


class NewRepositoryIn(In):
    """A new repository."""

    type: RepoKind = RepoKind.MODEL
    name: str = Field(max_length=140, description="`organisation/name`")
    visibility: Visibility = Visibility.PRIVATE


class RepositorySettingsIn(In):
    """Settings to change; those left out stay."""

    name: str | None = Field(None, max_length=140, description="New name, `organisation/name`")
    visibility: Visibility | None = None
    gate: Gate | None = None
    gate_days: int | None = Field(
        None, ge=0, le=3650, description="Days that an accepted request is valid; 0: without end"
    )
    jobs_only: bool | None = Field(
        None,
        description="Whether files are not downloaded but used in jobs of approved projects, whose results are withheld",
    )
    shared_with: list[Annotated[str, Field(max_length=80)]] | None = Field(
        None, max_length=200, description="Organisations whose members may see it, by slug"
    )


class HubRefIn(In):
    """A new branch or tag."""

    kind: RefKind
    name: str = Field(max_length=128)
    revision: str = Field("main", max_length=200)
    message: str = Field("", max_length=1000)


class RepositoryRoleIn(In):
    """Role of a person; null takes it away."""

    user: str = Field(max_length=80)
    role: RepoRole | None


class AccessRequestIn(In):
    """A request for the files of a gated repository, which accepts its licence."""

    note: str = Field("", max_length=500)


class AccessDecisionIn(In):
    """Decision on a person's request for access."""

    user: str = Field(max_length=80)
    state: RequestState
    note: str = Field("", max_length=500)


class ProjectApprovalOut(Out):
    """A project's request to use a repository in its jobs; `project` is `organisation/project`."""

    id: str
    project: str
    state: ApprovalState
    reason: str
    requested_by: str
    at: Time
    decided_by: str | None
    decided_at: Time | None
    note: str
    expires_at: Time | None
    is_expired: bool


class ProjectApprovals(Out):
    """Requests of projects, newest first."""

    items: list[ProjectApprovalOut]


class ProjectApprovalIn(In):
    """A project's request to use a repository in its jobs."""

    org: str = Field(max_length=80, description="Organisation of the project")
    project: str = Field("default", max_length=80)
    reason: str = Field(min_length=1, max_length=500)


class ApprovalDecisionIn(In):
    """Decision on a project's request: `approved`, `rejected`, or `revoked` later."""

    project: str = Field(max_length=170, description="`organisation/project`, or the id of the request")
    state: ApprovalState
    note: str = Field("", max_length=500)
    days: int = Field(0, ge=0, le=3650, description="Days that the approval is valid; 0: without end")


class HubDoneOut(Out):
    """Name of what was changed."""

    name: str


def repository_out(repo: Repository) -> dict[str, object]:
    """Return a repository as a RepositoryOut."""
    return {
        "id": repo.id,
        "type": repo.kind.value,
        "name": repo.full_name,
        "visibility": repo.visibility.value,
        "gate": repo.gate.value,
        "gate_days": repo.gate_days,
        "jobs_only": repo.jobs_only,
        "tags": card_tags(repo.card),
        "card": dict(repo.card),
        "size_bytes": repo.size_bytes,
        "downloads": repo.downloads,
        "parameters": count_parameters(repo),
        "pickles": list_pickles(repo),
        "created_by": repo.created_by,
        "created_at": time_of(repo.created_us),
        "updated_at": time_of(repo.updated_us),
    }


def _commit_out(commit: Commit) -> dict[str, object]:
    return {
        "id": commit.id,
        "number": commit.number,
        "parent": commit.parent_id,
        "title": commit.title,
        "message": commit.message,
        "author": commit.author,
        "at": time_of(commit.at_us),
        "files": commit.files,
        "size_bytes": commit.size_bytes,
        "made_by_job": "job" in (commit.producer or {}),
    }


def _ref_out(ref: Ref) -> dict[str, object]:
    return {"kind": ref.kind.value, "name": ref.name, "commit": ref.commit_id, "message": ref.message}


def _view_out(view: browsing.Overview) -> dict[str, object]:
    names = ("download", "write", "admin")
    return {
        "repository": repository_out(view.repo),
        "commit": _commit_out(view.commit),
        "refs": [_ref_out(ref) for ref in view.refs],
        "rights": {name: getattr(view.access, name) for name in names},
    }


def _entry_out(entry: browsing.FolderEntry) -> dict[str, object]:
    file = entry.file
    return {
        "path": entry.path,
        "is_folder": file is None,
        "size_bytes": file.size_bytes if file else None,
        "sha256": file.sha256 if file else None,
    }


def _request_out(one: AccessRequest) -> dict[str, object]:
    return {
        "id": one.id,
        "user": one.user_name,
        "state": one.state.value,
        "note": one.note,
        "at": time_of(one.at_us),
        "decided_by": one.decided_by,
        "expires_at": time_of(one.expires_us),
    }


def _approval_out(one: Approval) -> dict[str, object]:
    return {
        "id": one.id,
        "project": one.project,
        "state": one.state.value,
        "reason": one.reason,
        "requested_by": one.requested_by,
        "at": time_of(one.at_us),
        "decided_by": one.decided_by,
        "decided_at": time_of(one.decided_us),
        "note": one.note,
        "expires_at": time_of(one.expires_us),
        "is_expired": one.is_expired,
    }


def _lineage_revision_out(one: LineageRevision) -> dict[str, object]:
    return {"type": one.kind.value, "repository": one.full_name, "commit": one.commit_id, "name": one.name}


def _given(value: str | None) -> list[str]:
    return [value] if value else []


def _offset(cursor: str | None) -> int:
    return min(read_number(cursor) or 0, OFFSET_MAX)


@router.get("", tie=Tied.PROJECT, scope="hub:read", responses={200: {"model": Page[RepositoryOut]}})
async def list_repositories(
    request: Request,
    actor: Actor = CurrentActor,
    repo_type: RepoKind | None = None,
    owner: Annotated[str | None, Query(max_length=80, description="Slug of the organisation")] = None,
    search: Annotated[
        str, Query(max_length=200, description="Words in name, tags or card, also Chinese")
    ] = "",
    tag: Annotated[str | None, Query(max_length=80, description="Tag of the card")] = None,
    task: Annotated[str | None, Query(max_length=80, description="Task, such as text-generation")] = None,
    language: Annotated[str | None, Query(max_length=80, description="Language, such as zh")] = None,
    licence: Annotated[str | None, Query(max_length=80, description="Licence, such as apache-2.0")] = None,
    size_bytes_min: Annotated[int | None, Query(ge=0, le=1 << 60)] = None,
    size_bytes_max: Annotated[int | None, Query(ge=0, le=1 << 60)] = None,
    sort: Annotated[service.RepoSort, Query(description="Order")] = service.RepoSort.RELEVANCE,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List the repositories that the caller sees: those that fit the words best first, else those changed last."""
    offset, store = _offset(cursor), center_of(request).store
    wanted = service.RepoFilter(
        kind=repo_type,
        org=owner,
        text=search,
        tags=_given(tag),
        tasks=_given(task),
        languages=_given(language),
        licences=_given(licence),
        size_bytes_min=size_bytes_min,
        size_bytes_max=size_bytes_max,
    )
    return await query(
        lambda: service.list_repos(store, actor, wanted, sort=sort, offset=offset, limit=limit + 1),
        lambda rows: page(rows, limit, lambda _: str(offset + limit), repository_out),
    )


@router.post(
    "",
    tie=Tied.PROJECT,
    scope="hub:write",
    status_code=201,
    location="/hub",
    responses={201: {"model": RepositoryOut}},
)
async def create_repository(request: Request, body: NewRepositoryIn, actor: Actor = CurrentActor) -> Response:
    """Create a repository with an empty branch `main`."""
    return await command(
        request,
        actor,
        lambda store: service.create_repo(store, actor, body.type, body.name, body.visibility),
        repository_out,
        status=201,
    )


@router.get(_REPO, tie=Tied.PROJECT, scope="hub:read", responses={200: {"model": RepositoryViewOut}})
async def get_repository(
    request: Request,
    repo_type: RepoKind,
    repo_org: str,
    repo_name: str,
    actor: Actor = CurrentActor,
    revision: Rev = "main",
) -> Response:
    """Get a repository at a revision, with its branches and tags and the caller's rights."""
    store = center_of(request).store
    return await query(
        lambda: browsing.view_repo(store, actor, repo_type, f"{repo_org}/{repo_name}", revision), _view_out
    )


@router.patch(_REPO, tie=Tied.PROJECT, scope="hub:write", responses={200: {"model": RepositoryOut}})
async def change_repository(
    request: Request,
    repo_type: RepoKind,
    repo_org: str,
    repo_name: str,
    body: RepositorySettingsIn,
    actor: Actor = CurrentActor,
) -> Response:
    """Change name, visibility, gate and sharing of a repository."""
    old = f"{repo_org}/{repo_name}"
    return await command(
        request,
        actor,
        lambda store: service.change_settings(
            store,
            actor,
            repo_type,
            old,
            visibility=body.visibility,
            gate=body.gate,
            gate_days=body.gate_days,
            jobs_only=body.jobs_only,
            shared_with=body.shared_with,
            new_name=body.name,
        ),
        repository_out,
    )


@router.delete(_REPO, tie=Tied.PROJECT, scope="hub:write", responses={200: {"model": HubDoneOut}})
async def delete_repository(
    request: Request, repo_type: RepoKind, repo_org: str, repo_name: str, actor: Actor = CurrentActor
) -> Response:
    """Delete a repository with its history."""
    name = f"{repo_org}/{repo_name}"
    return await command(
        request,
        actor,
        lambda store: service.delete_repo(store, actor, repo_type, name),
        lambda _: {"name": name},
    )


@router.get(
    _REPO + "/files", tie=Tied.PROJECT, scope="hub:read", responses={200: {"model": Page[FolderEntryOut]}}
)
async def list_repository_files(
    request: Request,
    repo_type: RepoKind,
    repo_org: str,
    repo_name: str,
    actor: Actor = CurrentActor,
    revision: Rev = "main",
    folder: Annotated[str, Query(max_length=1000, description="Folder; by default the root")] = "",
    recursive: Annotated[bool, Query(description="All files below the folder")] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List files and folders of a folder."""
    offset, store = _offset(cursor), center_of(request).store
    return await query(
        lambda: browsing.list_folder(
            store,
            actor,
            repo_type,
            f"{repo_org}/{repo_name}",
            revision,
            folder=folder,
            recursive=recursive,
            offset=offset,
            limit=limit + 1,
        ),
        lambda rows: page(rows, limit, lambda _: str(offset + limit), _entry_out),
    )


@router.get(
    _REPO + "/revisions", tie=Tied.PROJECT, scope="hub:read", responses={200: {"model": Page[HubCommitOut]}}
)
async def list_revisions(
    request: Request,
    repo_type: RepoKind,
    repo_org: str,
    repo_name: str,
    actor: Actor = CurrentActor,
    revision: Rev = "main",
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List the commits that led to a revision, newest first."""
    before, store = read_number(cursor), center_of(request).store
    return await query(
        lambda: browsing.list_commits(
            store, actor, repo_type, f"{repo_org}/{repo_name}", revision, before=before, limit=limit + 1
        ),
        lambda rows: page(rows, limit, lambda row: str(row.number), _commit_out),
    )


@router.post(
    _REPO + "/refs",
    tie=Tied.PROJECT,
    scope="hub:write",
    status_code=201,
    location="/hub/{repo_type}/{repo_org}/{repo_name}",
    responses={201: {"model": HubRefOut}},
)
async def create_ref(
    request: Request,
    repo_type: RepoKind,
    repo_org: str,
    repo_name: str,
    body: HubRefIn,
    actor: Actor = CurrentActor,
) -> Response:
    """Create a branch or tag at a revision."""
    return await command(
        request,
        actor,
        lambda store: revisions.create_ref(
            store,
            actor,
            repo_type,
            f"{repo_org}/{repo_name}",
            body.kind,
            body.name,
            body.revision,
            body.message,
        ),
        _ref_out,
        status=201,
    )


@router.delete(_REPO + "/refs", tie=Tied.PROJECT, scope="hub:write", responses={200: {"model": HubDoneOut}})
async def delete_ref(
    request: Request,
    repo_type: RepoKind,
    repo_org: str,
    repo_name: str,
    ref_kind: Annotated[RefKind, Query()],
    ref_name: Annotated[str, Query(max_length=128)],
    actor: Actor = CurrentActor,
) -> Response:
    """Delete a branch or tag; commits that a tag or branch still leads to stay."""
    return await command(
        request,
        actor,
        lambda store: revisions.delete_ref(
            store, actor, repo_type, f"{repo_org}/{repo_name}", ref_kind, ref_name
        ),
        lambda _: {"name": ref_name},
    )


@router.get(
    _REPO + "/access", tie=Tied.PROJECT, scope="hub:write", responses={200: {"model": RepositoryAccessOut}}
)
async def get_access(
    request: Request, repo_type: RepoKind, repo_org: str, repo_name: str, actor: Actor = CurrentActor
) -> Response:
    """Get roles of persons, organisations that it is shared with, and requests for access."""
    store, name = center_of(request).store, f"{repo_org}/{repo_name}"
    return await query(
        lambda: (
            browsing.list_roles(store, actor, repo_type, name),
            browsing.list_shares(store, actor, repo_type, name),
            requests.list_requests(store, actor, repo_type, name),
        ),
        lambda found: {
            "roles": [
                {
                    "user": one.user_name,
                    "role": one.role,
                    "given_by": one.given_by,
                    "given_at": time_of(one.given_us),
                }
                for one in found[0]
            ],
            "shared_with": list(found[1]),
            "requests": [_request_out(one) for one in found[2]],
        },
    )


@router.put(_REPO + "/roles", tie=Tied.PROJECT, scope="hub:write", responses={200: {"model": HubDoneOut}})
async def set_repository_role(
    request: Request,
    repo_type: RepoKind,
    repo_org: str,
    repo_name: str,
    body: RepositoryRoleIn,
    actor: Actor = CurrentActor,
) -> Response:
    """Give a person a role in a repository, or take it away."""
    return await command(
        request,
        actor,
        lambda store: requests.set_role(
            store, actor, repo_type, f"{repo_org}/{repo_name}", body.user, body.role
        ),
        lambda _: {"name": body.user},
    )


@router.post(_REPO + "/access-requests", scope="hub:read", responses={200: {"model": AccessRequestOut}})
async def request_repository_access(
    request: Request,
    repo_type: RepoKind,
    repo_org: str,
    repo_name: str,
    body: AccessRequestIn,
    actor: Actor = CurrentActor,
) -> Response:
    """Request the files of a gated repository, which also accepts its licence."""
    return await command(
        request,
        actor,
        lambda store: requests.request_access(store, actor, repo_type, f"{repo_org}/{repo_name}", body.note),
        _request_out,
    )


@router.put(
    _REPO + "/access-requests",
    tie=Tied.PROJECT,
    scope="hub:write",
    responses={200: {"model": AccessRequestOut}},
)
async def decide_repository_access(
    request: Request,
    repo_type: RepoKind,
    repo_org: str,
    repo_name: str,
    body: AccessDecisionIn,
    actor: Actor = CurrentActor,
) -> Response:
    """Accept or reject a person's request for access."""
    return await command(
        request,
        actor,
        lambda store: requests.decide_request(
            store, actor, repo_type, f"{repo_org}/{repo_name}", body.user, body.state, body.note
        ),
        _request_out,
    )


@router.get(
    _REPO + "/approvals", tie=Tied.PROJECT, scope="hub:read", responses={200: {"model": ProjectApprovals}}
)
async def list_project_approvals(
    request: Request, repo_type: RepoKind, repo_org: str, repo_name: str, actor: Actor = CurrentActor
) -> Response:
    """List the requests of projects to use a repository in jobs; without the role `admin`, those of one's own organisations."""
    store = center_of(request).store
    return await query(
        lambda: approvals.list_approvals(store, actor, repo_type, f"{repo_org}/{repo_name}"),
        lambda found: {"items": [_approval_out(one) for one in found]},
    )


@router.post(
    _REPO + "/approvals",
    tie=Tied.PROJECT,
    scope="jobs:write",
    responses={200: {"model": ProjectApprovalOut}},
)
async def request_project_approval(
    request: Request,
    repo_type: RepoKind,
    repo_org: str,
    repo_name: str,
    body: ProjectApprovalIn,
    actor: Actor = CurrentActor,
) -> Response:
    """Request that jobs of a project may read a repository that is used in jobs only."""
    name, project = f"{repo_org}/{repo_name}", (body.org, body.project)
    return await command(
        request,
        actor,
        lambda store: approvals.request_approval(store, actor, repo_type, name, project, body.reason),
        _approval_out,
    )


@router.put(
    _REPO + "/approvals",
    tie=Tied.PROJECT,
    scope="hub:write",
    responses={200: {"model": ProjectApprovalOut}},
)
async def decide_project_approval(
    request: Request,
    repo_type: RepoKind,
    repo_org: str,
    repo_name: str,
    body: ApprovalDecisionIn,
    actor: Actor = CurrentActor,
) -> Response:
    """Approve or reject a project's request, or revoke an approval."""
    return await command(
        request,
        actor,
        lambda store: approvals.decide_approval(
            store,
            actor,
            repo_type,
            f"{repo_org}/{repo_name}",
            body.project,
            body.state,
            body.note,
            body.days,
        ),
        _approval_out,
    )


@router.get(
    _REPO + "/downloads",
    tie=Tied.PROJECT,
    scope="hub:write",
    responses={200: {"model": Page[HubDownloadOut]}},
)
async def list_repository_downloads(
    request: Request,
    repo_type: RepoKind,
    repo_org: str,
    repo_name: str,
    actor: Actor = CurrentActor,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List who downloaded which revision: one row per person, revision and hour, newest first."""
    offset, store = _offset(cursor), center_of(request).store
    return await query(
        lambda: browsing.list_downloads(
            store, actor, repo_type, f"{repo_org}/{repo_name}", offset=offset, limit=limit + 1
        ),
        lambda rows: page(
            rows,
            limit,
            lambda _: str(offset + limit),
            lambda row: {
                "user": row.user_name,
                "commit": row.commit_id,
                "hour": time_of(row.hour_us),
                "files": row.files,
                "size_bytes": row.size_bytes,
            },
        ),
    )


@router.get(_REPO + "/lineage", tie=Tied.PROJECT, scope="hub:read", responses={200: {"model": LineageOut}})
async def get_lineage(
    request: Request,
    repo_type: RepoKind,
    repo_org: str,
    repo_name: str,
    actor: Actor = CurrentActor,
    revision: Rev = "main",
) -> Response:
    """Get what a revision was made from and what was made from it, also as events of OpenLineage."""
    center = center_of(request)
    namespace = (center.public_url or f"{request.url.scheme}://{request.url.netloc}") + "/hf"
    return await query(
        lambda: find_lineage(center.store, actor, repo_type, f"{repo_org}/{repo_name}", revision),
        lambda found: {
            "commit": found.commit.id,
            "job": found.job_id,
            "facts": dict(found.facts),
            "sources": [_lineage_revision_out(one) for one in found.sources],
            "jobs": [
                {
                    "job": one.job_id,
                    "at": time_of(one.at_us),
                    "made": [_lineage_revision_out(made) for made in one.made],
                }
                for one in found.jobs
            ],
            "hidden": found.hidden,
            "openlineage": to_openlineage(found, namespace),
        },
    )
