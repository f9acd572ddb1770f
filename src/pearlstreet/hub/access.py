"""Who may do what in a repository. Callers that may not see one get the answer for one that does not exist."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.base.errors import Forbidden
from pearlstreet.base.text import text
from pearlstreet.hub.model import (
    Access,
    AccessRequired,
    Gate,
    RepoKind,
    RepoNotFound,
    RepoRole,
    Repository,
    RequestState,
    Visibility,
)
from pearlstreet.hub.tables import access_requests, repos, roles, shares
from pearlstreet.store.core import Row, Tx
from pearlstreet.tenancy.model import LEFT, Actor
from pearlstreet.tenancy.scopes import OrgRole
from pearlstreet.tenancy.tables import orgs

_REPOS = sa.select(repos, orgs.c.slug, orgs.c.state.label("org_state")).join(
    orgs, orgs.c.id == repos.c.org_id
)


def decide_access(
    actor: Actor, repo: Repository, *, role: RepoRole | None, shared: bool, accepted: bool
) -> Access:
    """PURE: return the caller's rights. `shared`: with one of its organisations; `accepted`: its request is in force."""
    if actor.everything:
        return Access(see=True, download=True, write=True, admin=True)
    is_member = repo.org_id in actor.orgs
    reads = actor.may("hub:read", repo.org_id, repo.project_id) if is_member else actor.may("hub:read")
    if not reads:
        return Access()
    person = role if actor.tie is None or is_member else None
    see = (
        is_member
        or person is not None
        or repo.visibility is Visibility.PUBLIC
        or (repo.visibility is Visibility.ORGANISATIONS and shared)
    )
    if not see:
        return Access()
    inside = is_member and actor.may("hub:write", repo.org_id, repo.project_id)
    outside = person in (RepoRole.WRITE, RepoRole.ADMIN) and (
        actor.scopes is None or "hub:write" in actor.scopes
    )
    write = inside or (outside and repo.org_id not in actor.suspended)
    admin = (inside and actor.orgs[repo.org_id] is OrgRole.OWNER) or (write and person is RepoRole.ADMIN)
    passed = repo.gate is Gate.NONE or is_member or person is not None or accepted
    download = admin if repo.jobs_only else write or passed
    return Access(see=True, download=download, write=write, admin=admin)


def access_to(tx: Tx, actor: Actor, repo: Repository) -> Access:
    """Return the caller's rights in a repository."""
    of_caller = (roles.c.repo_id == repo.id) & (roles.c.user_id == actor.user_id)
    role = tx.scalar(sa.select(roles.c.role).where(of_caller))
    shared = accepted = False
    if repo.visibility is Visibility.ORGANISATIONS and actor.orgs:
        with_its = (shares.c.repo_id == repo.id) & shares.c.with_org_id.in_(sorted(actor.orgs))
        shared = tx.scalar(sa.select(shares.c.repo_id).where(with_its).limit(1)) is not None
    if repo.gate is not Gate.NONE:
        in_force = access_requests.c.expires_us.is_(None) | (access_requests.c.expires_us > tx.now_us)
        own = (access_requests.c.repo_id == repo.id) & (access_requests.c.user_id == actor.user_id)
        state = tx.scalar(sa.select(access_requests.c.state).where(own, in_force))
        accepted = state == RequestState.ACCEPTED
    return decide_access(actor, repo, role=RepoRole(role) if role else None, shared=shared, accepted=accepted)


def find_repo(
    tx: Tx,
    actor: Actor,
    kind: RepoKind,
    full_name: str,
    *,
    download: bool = False,
    write: bool = False,
    admin: bool = False,
) -> Repository:
    """Return a repository in which the caller has the right. Raises RepoNotFound, AccessRequired, Forbidden."""
    org, _, name = full_name.partition("/")
    row = tx.first(
        _REPOS.where(orgs.c.slug == org, repos.c.kind == kind.value, repos.c.name_key == name.lower())
    )
    absent = RepoNotFound(
        text("There is no {kind} {name}", kind=kind.value, name=ascii(full_name[:140])[1:-1])
    )
    if row is None or row["org_state"] in LEFT:
        raise absent
    repo = repository(row)
    access = access_to(tx, actor, repo)
    if not access.see:
        raise absent
    if download and not access.download:
        if repo.jobs_only:
            raise Forbidden(text("Files of {name} can be used in jobs only", name=repo.full_name))
        raise AccessRequired(
            text("{name} is gated: its owner decides who gets its files", name=repo.full_name),
            hint=text("Request access, and wait for the decision of its owner"),
        )
    if (write and not access.write) or (admin and not access.admin):
        scope = "hub:write"
        if actor.scopes is not None and scope not in actor.scopes:
            raise actor.lacks(scope)
        raise Forbidden(
            text("Your role in {name} does not allow this", name=repo.full_name),
            hint=text("Ask an owner of the organisation"),
        )
    return repo


def repository(row: Row) -> Repository:
    """Return the repository of a row joined with its organisation's slug."""
    return Repository(
        id=row["id"],
        org_id=row["org_id"],
        project_id=row["project_id"],
        kind=RepoKind(row["kind"]),
        full_name=f"{row['slug']}/{row['name']}",
        visibility=Visibility(row["visibility"]),
        gate=Gate(row["gate"]),
        gate_days=row["gate_days"],
        jobs_only=row["jobs_only"],
        card=row["card"],
        size_bytes=row["size_bytes"],
        downloads=row["downloads"],
        created_by=row["created_by"],
        created_us=row["created_us"],
        updated_us=row["updated_us"],
        facts=row["facts"] or {},
    )


def visible_repos(actor: Actor) -> sa.ColumnElement[bool]:
    """Return the SQL condition for the repositories that the caller may see."""
    if actor.everything:
        return sa.true()
    if not actor.may("hub:read") and not actor.orgs:
        return sa.false()
    members = [org_id for org_id in sorted(actor.orgs) if actor.may("hub:read", org_id, actor.project_id)]
    own: sa.ColumnElement[bool] = repos.c.org_id.in_(members)
    if actor.project_id is not None:
        own = sa.and_(own, repos.c.project_id == actor.project_id)
    if not actor.may("hub:read"):
        return own
    shared = sa.and_(
        repos.c.visibility == Visibility.ORGANISATIONS.value,
        repos.c.id.in_(sa.select(shares.c.repo_id).where(shares.c.with_org_id.in_(sorted(actor.orgs)))),
    )
    parts = [own, repos.c.visibility == Visibility.PUBLIC.value, shared]
    if actor.tie is None:
        parts.append(repos.c.id.in_(sa.select(roles.c.repo_id).where(roles.c.user_id == actor.user_id)))
    return sa.or_(*parts)


def select_repos() -> sa.Select[tuple[object, ...]]:
    """Return the query of all repositories of open organisations, as `repository` reads its rows."""
    return _REPOS.where(orgs.c.state.not_in([state.value for state in LEFT]))
