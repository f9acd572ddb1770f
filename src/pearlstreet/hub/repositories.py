"""Commands and queries about repositories: create, list, settings, move, delete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from pearlstreet.base.errors import Conflict
from pearlstreet.base.text import text
from pearlstreet.hub.access import find_repo, repository, select_repos, visible_repos
from pearlstreet.hub.model import MAIN, Gate, RefKind, RepoKind, RepoRole, Repository, Visibility
from pearlstreet.hub.names import check_repo_name
from pearlstreet.hub.revisions import COMMITTED, insert_commit
from pearlstreet.hub.search.index import has_fact, has_term, index_repo, relevance
from pearlstreet.hub.search.tokens import query_terms
from pearlstreet.hub.tables import (
    access_requests,
    approvals,
    commits,
    downloads,
    pages,
    refs,
    repo_contents,
    repos,
    roles,
    shares,
    staged,
    terms,
    uses,
    xorb_grants,
)
from pearlstreet.hub.tree import Manifest
from pearlstreet.hub.uses import refuse_used
from pearlstreet.storage.levels import change_level
from pearlstreet.store import audit
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.orgs import DEFAULT_PROJECT, find_org, find_project

REPOS_MAX = 10_000
"""Maximum number of repositories of one organisation."""
OF_REPO = (
    shares,
    roles,
    access_requests,
    refs,
    commits,
    pages,
    repo_contents,
    staged,
    xorb_grants,
    downloads,
    terms,
)
"""Tables whose rows belong to one repository by `repo_id`."""


def create_repo(
    store: Store, actor: Actor, kind: RepoKind, full_name: str, visibility: Visibility = Visibility.PRIVATE
) -> Repository:
    """Create a repository with an empty branch `main`; the creator gets the role `admin`.

    Raises InvalidInput, NotFound, Forbidden, and Conflict if it exists.
    """
    return store.write(lambda tx: insert_repo(tx, actor, kind, full_name, visibility))


def insert_repo(
    tx: Tx,
    actor: Actor,
    kind: RepoKind,
    full_name: str,
    visibility: Visibility = Visibility.PRIVATE,
    project_slug: str | None = None,
) -> Repository:
    """Create a repository within a transaction. Raises the errors of `create_repo`."""
    org, _, name = full_name.partition("/")
    check_repo_name(name)
    place = project_slug or actor.project_id or DEFAULT_PROJECT
    project = find_project(tx, actor, org, place, "hub:write")
    same = (repos.c.org_id == project.org_id) & (repos.c.kind == kind.value)
    if tx.scalar(sa.select(repos.c.id).where(same, repos.c.name_key == name.lower())) is not None:
        raise Conflict(text("{name} exists already", name=full_name))
    of_org = sa.select(sa.func.count()).select_from(repos).where(repos.c.org_id == project.org_id)
    if int(tx.scalar(of_org) or 0) >= REPOS_MAX:
        raise Conflict(text("An organisation has at most {most} repositories", most=REPOS_MAX))
    repo_id = tx.new_id("rep")
    tx.execute(
        sa.insert(repos).values(
            id=repo_id,
            org_id=project.org_id,
            project_id=project.id,
            kind=kind.value,
            name=name,
            name_key=name.lower(),
            visibility=visibility.value,
            gate="",
            jobs_only=False,
            card={},
            words=name.lower(),
            size_bytes=0,
            downloads=0,
            commits=1,
            created_by=actor.login,
            created_us=tx.now_us,
            updated_us=tx.now_us,
        )
    )
    if actor.user_id:
        tx.execute(
            sa.insert(roles).values(
                repo_id=repo_id,
                user_id=actor.user_id,
                role=RepoRole.ADMIN.value,
                given_by=actor.login,
                given_us=tx.now_us,
            )
        )
    index_repo(tx, repo_id, name, {})
    first = insert_commit(tx, actor, repo_id, 1, None, Manifest(), "Create the repository", "")
    tx.execute(
        sa.insert(refs).values(
            repo_id=repo_id,
            kind=RefKind.BRANCH.value,
            name=MAIN,
            commit_id=first.id,
            message="",
            at_us=tx.now_us,
        )
    )
    _audit(tx, actor, "hub.create", repo_id, project.org_id, kind=kind.value, name=full_name)
    return find_repo(tx, actor, kind, full_name)


def get_repo(store: Store, actor: Actor, kind: RepoKind, full_name: str) -> Repository:
    """Return a repository. Raises RepoNotFound."""
    return store.read(lambda tx: find_repo(tx, actor, kind, full_name))


@dataclass(frozen=True, slots=True)
class RepoFilter:
    """Which repositories to list; what is empty does not restrict."""

    kind: RepoKind | None = None
    org: str | None = None
    text: str = ""
    """Words that must all occur in name, tags or card."""
    tags: Sequence[str] = ()
    """All must be tags of the card, such as `license:mit` or a language."""
    tasks: Sequence[str] = ()
    languages: Sequence[str] = ()
    licences: Sequence[str] = ()
    size_bytes_min: int | None = None
    size_bytes_max: int | None = None
    gated: bool | None = None


class RepoSort(StrEnum):
    """Order of repositories in a list."""

    RELEVANCE = "relevance"
    """Those that fit the words best first; without words, those changed last."""
    UPDATED = "updated"
    CREATED = "created"
    DOWNLOADS = "downloads"
    SIZE = "size"
    NAME = "name"


def list_repos(
    store: Store,
    actor: Actor,
    wanted: RepoFilter = RepoFilter(),
    *,
    sort: RepoSort = RepoSort.RELEVANCE,
    offset: int = 0,
    limit: int = 100,
) -> Sequence[Repository]:
    """Return repositories that the caller sees and that fit a filter."""
    said = query_terms(wanted.text)
    query = select_repos().where(visible_repos(actor), *_conditions(wanted), *map(has_term, said))
    if wanted.text.strip() and not said:
        query = query.where(sa.false())
    if wanted.org is not None:
        query = query.where(sa.literal_column("orgs.slug") == wanted.org)
    orders: Mapping[RepoSort, Sequence[sa.ColumnElement[Any]]] = {
        RepoSort.UPDATED: (),
        RepoSort.CREATED: (repos.c.created_us.desc(),),
        RepoSort.DOWNLOADS: (repos.c.downloads.desc(),),
        RepoSort.SIZE: (repos.c.size_bytes.desc(),),
        RepoSort.NAME: (sa.literal_column("orgs.slug"), repos.c.name_key),
        RepoSort.RELEVANCE: (),
    }
    if said and sort is RepoSort.RELEVANCE:
        fit = relevance(said)
        query = query.join(fit, fit.c.repo_id == repos.c.id).order_by(fit.c.weight.desc())
    query = query.order_by(*orders[sort], repos.c.updated_us.desc(), repos.c.id).offset(offset).limit(limit)
    return store.read(lambda tx: [repository(row) for row in tx.rows(query)])


def _conditions(wanted: RepoFilter) -> list[sa.ColumnElement[bool]]:
    facts = (("tag", wanted.tags), ("task", wanted.tasks), ("language", wanted.languages))
    found = [
        has_fact(name, value) for name, values in (*facts, ("licence", wanted.licences)) for value in values
    ]
    if wanted.kind is not None:
        found.append(repos.c.kind == wanted.kind.value)
    if wanted.size_bytes_min is not None:
        found.append(repos.c.size_bytes >= wanted.size_bytes_min)
    if wanted.size_bytes_max is not None:
        found.append(repos.c.size_bytes <= wanted.size_bytes_max)
    if wanted.gated is not None:
        found.append(repos.c.gate != "" if wanted.gated else repos.c.gate == "")
    return found


def change_settings(
    store: Store,
    actor: Actor,
    kind: RepoKind,
    full_name: str,
    *,
    visibility: Visibility | None = None,
    gate: Gate | None = None,
    gate_days: int | None = None,
    jobs_only: bool | None = None,
    shared_with: Sequence[str] | None = None,
    new_name: str | None = None,
) -> Repository:
    """Change name and access of a repository; None leaves a setting as it is. `gate_days` 0: without end.

    Raises RepoNotFound, Forbidden, InvalidInput, Conflict, NotFound for an unknown organisation.
    """

    def command(tx: Tx) -> Repository:
        repo = find_repo(tx, actor, kind, full_name, admin=True)
        values: dict[str, object] = {}
        if visibility is not None:
            values["visibility"] = visibility.value
        if gate is not None:
            values["gate"] = gate.value
        if gate_days is not None:
            values["gate_days"] = gate_days or None
        if jobs_only is not None:
            values["jobs_only"] = jobs_only
        if values:
            tx.execute(sa.update(repos).where(repos.c.id == repo.id).values(**values))
        if shared_with is not None:
            tx.execute(sa.delete(shares).where(shares.c.repo_id == repo.id))
            for org in sorted(set(shared_with)):
                other = find_org(tx, actor, org)
                tx.execute(sa.insert(shares).values(repo_id=repo.id, with_org_id=other.id))
            values["shared_with"] = sorted(set(shared_with))
        if values:
            _audit(tx, actor, "hub.settings", repo.id, repo.org_id, **values)
        if new_name is not None and new_name != repo.full_name:
            _rename(tx, actor, repo, new_name)
        return find_repo(tx, actor, kind, new_name or full_name)

    return store.write(command)


def move_repo(store: Store, actor: Actor, kind: RepoKind, old: str, new: str) -> Repository:
    """Rename a repository within its organisation. Raises RepoNotFound, Forbidden, InvalidInput, Conflict."""

    def command(tx: Tx) -> Repository:
        _rename(tx, actor, find_repo(tx, actor, kind, old, admin=True), new)
        return find_repo(tx, actor, kind, new)

    return store.write(command)


def _rename(tx: Tx, actor: Actor, repo: Repository, new: str) -> None:
    org, _, name = new.partition("/")
    check_repo_name(name)
    if org != repo.full_name.partition("/")[0]:
        raise Conflict(text("A repository stays in its organisation; only its name changes"))
    same = (repos.c.org_id == repo.org_id) & (repos.c.kind == repo.kind.value) & (repos.c.id != repo.id)
    if tx.scalar(sa.select(repos.c.id).where(same, repos.c.name_key == name.lower())) is not None:
        raise Conflict(text("{name} exists already", name=new))
    # The background index adds the card's text again.
    values = {"name": name, "name_key": name.lower(), "facts_commit": None}
    tx.execute(sa.update(repos).where(repos.c.id == repo.id).values(**values))
    index_repo(tx, repo.id, name, repo.card)
    tx.hint(COMMITTED)
    _audit(tx, actor, "hub.move", repo.id, repo.org_id, before=repo.full_name, after=new)


def delete_repo(store: Store, actor: Actor, kind: RepoKind, full_name: str) -> None:
    """Delete a repository with its history. The garbage collector deletes bytes that no other repository has."""

    def command(tx: Tx) -> None:
        repo = find_repo(tx, actor, kind, full_name, admin=True)
        refuse_used(tx, repo)
        tx.execute(sa.delete(uses).where(uses.c.repo_id == repo.id))
        tx.execute(sa.delete(approvals).where(approvals.c.repo_id == repo.id))
        for table in OF_REPO:
            tx.execute(sa.delete(table).where(table.c.repo_id == repo.id))
        tx.execute(sa.delete(repos).where(repos.c.id == repo.id))
        change_level(tx, repo.org_id, repo.project_id, -repo.size_bytes)
        _audit(tx, actor, "hub.delete", repo.id, repo.org_id, name=full_name, size_bytes=repo.size_bytes)

    store.write(command)


def _audit(tx: Tx, actor: Actor, action: str, target: str, org_id: str, **details: object) -> None:
    audit.record(tx, actor=actor.label, action=action, target=target, org_id=org_id, details=details)
