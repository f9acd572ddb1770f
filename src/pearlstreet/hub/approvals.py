"""Approvals of projects whose jobs may read a repository that is used in jobs only, and the results withheld because of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import Conflict, Forbidden, NotFound
from pearlstreet.base.text import text
from pearlstreet.hub.access import find_repo
from pearlstreet.hub.model import RepoKind, Repository
from pearlstreet.hub.tables import approvals, repos, withheld
from pearlstreet.store import audit
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.orgs import find_project
from pearlstreet.tenancy.tables import orgs, projects

DAY_US = 86_400 * US_PER_S
WITHHELD, RELEASED = "withheld", "released"


class ApprovalState(StrEnum):
    """State of a project's request to use a repository in its jobs."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Approval:
    """A project's request to use a repository in its jobs, and the decision on it. `project`: `organisation/project`."""

    id: str
    project: str
    state: ApprovalState
    reason: str
    requested_by: str
    at_us: int
    decided_by: str | None
    decided_us: int | None
    note: str
    expires_us: int | None
    is_expired: bool


def request_approval(
    store: Store, actor: Actor, kind: RepoKind, full_name: str, project: tuple[str, str], reason: str
) -> Approval:
    """Request that jobs of a project (organisation, project) may read a repository; one that is in force is returned unchanged.

    Raises RepoNotFound, NotFound, Forbidden, and Conflict if it is not for jobs only or a request waits.
    """

    def command(tx: Tx) -> Approval:
        repo = find_repo(tx, actor, kind, full_name)
        if not repo.jobs_only:
            raise Conflict(text("{name} needs no approval of projects", name=repo.full_name))
        asking = find_project(tx, actor, *project, "jobs:write")
        here = (approvals.c.repo_id == repo.id) & (approvals.c.project_id == asking.id)
        before = next(iter(_list(tx, here)), None)
        if before is not None and before.state is ApprovalState.PENDING:
            raise Conflict(text("The request of {project} waits for a decision", project=before.project))
        if before is not None and before.state is ApprovalState.APPROVED and not before.is_expired:
            return before
        tx.execute(sa.delete(approvals).where(here))
        approval_id = tx.new_id("apr")
        values = {"repo_id": repo.id, "org_id": asking.org_id, "project_id": asking.id}
        values |= {"state": ApprovalState.PENDING.value, "reason": reason, "requested_by": actor.login}
        tx.execute(sa.insert(approvals).values(id=approval_id, at_us=tx.now_us, note="", **values))
        made = _list(tx, approvals.c.id == approval_id)[0]
        _audit(tx, actor, "hub.approval.request", repo, project=made.project, reason=reason)
        return made

    return store.write(command)


def decide_approval(
    store: Store,
    actor: Actor,
    kind: RepoKind,
    full_name: str,
    project: str,
    state: ApprovalState,
    note: str = "",
    days: int = 0,
) -> Approval:
    """Decide the request of a project (`organisation/project` or the request's id). `days` 0: approved without end.

    Raises RepoNotFound, Forbidden, NotFound.
    """

    def command(tx: Tx) -> Approval:
        repo = find_repo(tx, actor, kind, full_name, admin=True)
        found = [one for one in _list(tx, approvals.c.repo_id == repo.id) if project in (one.id, one.project)]
        if not found:
            raise NotFound(text("{project} has not requested this", project=ascii(project[:140])[1:-1]))
        before = found[0]
        ends = tx.now_us + days * DAY_US if days and state is ApprovalState.APPROVED else None
        values = {"state": state.value, "note": note, "expires_us": ends}
        values |= {"decided_by": actor.login, "decided_us": tx.now_us}
        tx.execute(sa.update(approvals).where(approvals.c.id == before.id).values(**values))
        said = {"before": before.state.value, "state": state.value, "note": note, "days": days}
        _audit(tx, actor, "hub.approval.decide", repo, project=before.project, **said)
        return _list(tx, approvals.c.id == before.id)[0]

    return store.write(command)


def list_approvals(store: Store, actor: Actor, kind: RepoKind, full_name: str) -> Sequence[Approval]:
    """Return the requests of projects: all to those who administer the repository, else those of the caller's organisations.

    Raises RepoNotFound.
    """

    def query(tx: Tx) -> Sequence[Approval]:
        repo = find_repo(tx, actor, kind, full_name)
        condition = approvals.c.repo_id == repo.id
        try:
            find_repo(tx, actor, kind, full_name, admin=True)
        except Forbidden:
            condition &= approvals.c.org_id.in_(sorted(actor.orgs))
            if actor.project_id is not None:
                condition &= approvals.c.project_id == actor.project_id
        return _list(tx, condition)

    return store.read(query)


def refuse_unapproved(tx: Tx, repo: Repository, project_id: str) -> None:
    """Raise Forbidden if jobs of a project may not read a repository that is used in jobs only."""
    in_force = approvals.c.expires_us.is_(None) | (approvals.c.expires_us > tx.now_us)
    here = (approvals.c.repo_id == repo.id) & (approvals.c.project_id == project_id)
    approved = approvals.c.state == ApprovalState.APPROVED.value
    if tx.scalar(sa.select(approvals.c.id).where(here, approved, in_force)) is None:
        raise Forbidden(
            text("{name} is used only in jobs of projects that its owner has approved", name=repo.full_name),
            hint=text("Request approval: pearl hub ask {name} ORGANISATION/PROJECT", name=_written(repo)),
        )


def is_withheld(tx: Tx, repo: Repository, job_id: str) -> bool:
    """Return whether it is recorded that a job reads a repository that is used in jobs only."""
    here = (withheld.c.job_id == job_id) & (withheld.c.repo_id == repo.id)
    return tx.first(sa.select(withheld.c.job_id).where(here)) is not None


def withhold(tx: Tx, repo: Repository, job_id: str, org_id: str) -> None:
    """Record that all results of a job are withheld, because it reads a repository that is used in jobs only."""
    if not is_withheld(tx, repo, job_id):
        values = {"job_id": job_id, "repo_id": repo.id, "org_id": org_id, "state": WITHHELD}
        tx.execute(sa.insert(withheld).values(at_us=tx.now_us, **values))


def find_withholding(tx: Tx, job_id: str) -> str | None:
    """Return the name of a repository because of which the results of a job are withheld; None: nothing is withheld."""
    here = (withheld.c.job_id == job_id) & (withheld.c.state == WITHHELD)
    repo_id = tx.scalar(sa.select(withheld.c.repo_id).where(here).order_by(withheld.c.at_us).limit(1))
    if repo_id is None:
        return None
    named = sa.select(orgs.c.slug, repos.c.name).join(orgs, orgs.c.id == repos.c.org_id)
    row = tx.first(named.where(repos.c.id == repo_id))
    # The results stay withheld if the repository is gone: nobody is left who could release them.
    return repo_id if row is None else f"{row['slug']}/{row['name']}"


def _written(repo: Repository) -> str:
    return repo.full_name if repo.kind is RepoKind.MODEL else f"{repo.kind.value}s/{repo.full_name}"


def _list(tx: Tx, condition: sa.ColumnElement[bool]) -> list[Approval]:
    query = (
        sa.select(approvals, orgs.c.slug.label("org"), projects.c.slug.label("project"))
        .join(orgs, orgs.c.id == approvals.c.org_id)
        .join(projects, projects.c.id == approvals.c.project_id)
        .where(condition)
        .order_by(approvals.c.at_us.desc())
        .limit(1000)
    )
    return [_approval(row, tx.now_us) for row in tx.rows(query)]


def _approval(row: Row, now_us: int) -> Approval:
    ends = row["expires_us"]
    return Approval(
        row["id"],
        f"{row['org']}/{row['project']}",
        ApprovalState(row["state"]),
        row["reason"],
        row["requested_by"],
        row["at_us"],
        row["decided_by"],
        row["decided_us"],
        row["note"],
        ends,
        ends is not None and ends <= now_us,
    )


def _audit(tx: Tx, actor: Actor, action: str, repo: Repository, **details: object) -> None:
    audit.record(tx, actor=actor.label, action=action, target=repo.id, org_id=repo.org_id, details=details)
