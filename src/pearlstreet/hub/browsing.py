"""Queries that interfaces show of a repository: folders, history, branches and tags, access, downloads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import sqlalchemy as sa

from pearlstreet.base.text import text
from pearlstreet.hub.access import access_to, find_repo
from pearlstreet.hub.cards import CARD_BYTES_MAX
from pearlstreet.hub.contents import read_content
from pearlstreet.hub.hub import Hub
from pearlstreet.hub.model import (
    CARD_FILE,
    Access,
    Commit,
    EntryNotFound,
    Ref,
    RepoKind,
    Repository,
    TreeEntry,
)
from pearlstreet.hub.revisions import Revision, file_at, find_revision, history, list_refs, page_loader
from pearlstreet.hub.tables import downloads, roles, shares
from pearlstreet.hub.tree import find_entry, has_folder, iterate_entries
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.tables import orgs, users


@dataclass(frozen=True, slots=True)
class FolderEntry:
    """A file, or a folder (`file` None), of a revision."""

    path: str
    file: TreeEntry | None


@dataclass(frozen=True, slots=True)
class Overview:
    """A repository with the caller's rights, the newest commit of a revision, and its branches and tags."""

    repo: Repository
    access: Access
    commit: Commit
    refs: Sequence[Ref]


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A file that the caller may download."""

    repo: Repository
    commit_id: str
    entry: TreeEntry


@dataclass(frozen=True, slots=True)
class PersonRole:
    """Role of a person in a repository."""

    user_name: str
    display_name: str
    role: str
    given_by: str
    given_us: int


@dataclass(frozen=True, slots=True)
class DownloadRecord:
    """Files and bytes that a person downloaded of a revision within an hour."""

    user_name: str
    commit_id: str
    hour_us: int
    files: int
    size_bytes: int


def view_repo(store: Store, actor: Actor, kind: RepoKind, full_name: str, rev: str = "main") -> Overview:
    """Return a repository at a revision. Raises RepoNotFound, RevisionNotFound."""

    def query(tx: Tx) -> Overview:
        repo = find_repo(tx, actor, kind, full_name)
        commit = find_revision(tx, repo.id, rev).commit
        return Overview(repo, access_to(tx, actor, repo), commit, list_refs(tx, repo.id))

    return store.read(query)


def find_file(store: Store, actor: Actor, kind: RepoKind, full_name: str, rev: str, path: str) -> TreeEntry:
    """Return the facts of a file. Raises RepoNotFound, RevisionNotFound, EntryNotFound."""

    def query(tx: Tx) -> TreeEntry:
        repo = find_repo(tx, actor, kind, full_name)
        return file_at(tx, repo.id, find_revision(tx, repo.id, rev), path)

    return store.read(query)


def open_file(store: Store, actor: Actor, kind: RepoKind, full_name: str, rev: str, path: str) -> OpenedFile:
    """Return a file whose bytes the caller may get. Raises the errors of `find_file`, AccessRequired, and Forbidden.

    All bytes that an interface shows of a file, previews too, come through here.
    """

    def query(tx: Tx) -> OpenedFile:
        repo = find_repo(tx, actor, kind, full_name, download=True)
        revision = find_revision(tx, repo.id, rev)
        return OpenedFile(repo, revision.commit.id, file_at(tx, repo.id, revision, path))

    return store.read(query)


def read_card_file(store: Store, hub: Hub, actor: Actor, repo: Repository, rev: str) -> bytes:
    """Return the card at a revision, up to the size that a card may have; empty without one.

    A card is shown to all who see the repository, also if its files are gated. Raises RepoNotFound, RevisionNotFound.
    """

    def query(tx: Tx) -> TreeEntry | None:
        found = find_repo(tx, actor, repo.kind, repo.full_name)
        revision = find_revision(tx, found.id, rev)
        return find_entry(revision.manifest, page_loader(tx, found.id), CARD_FILE)

    entry = store.read(query)
    if entry is None or not entry.size_bytes:
        return b""
    length = min(entry.size_bytes, CARD_BYTES_MAX)
    return b"".join(read_content(store, hub, entry.sha256, start=0, length=length))


def list_folder(
    store: Store,
    actor: Actor,
    kind: RepoKind,
    full_name: str,
    rev: str = "main",
    *,
    folder: str = "",
    recursive: bool = False,
    offset: int = 0,
    limit: int = 1000,
) -> Sequence[FolderEntry]:
    """Return files and folders of a folder, in order; all files below it with `recursive`. Raises EntryNotFound."""
    folder = folder.strip("/")

    def query(tx: Tx) -> Sequence[FolderEntry]:
        repo = find_repo(tx, actor, kind, full_name)
        revision = find_revision(tx, repo.id, rev)
        if not has_folder(revision.manifest, page_loader(tx, repo.id), folder):
            raise EntryNotFound(text("There is no folder {path} at this revision", path=folder[:200]))
        entries = _entries(tx, repo, revision, f"{folder}/" if folder else "", recursive)
        return list(islice(entries, offset, offset + limit))

    return store.read(query)


def _entries(
    tx: Tx, repo: Repository, revision: Revision, prefix: str, recursive: bool
) -> Iterator[FolderEntry]:
    last = ""
    for entry in iterate_entries(revision.manifest, page_loader(tx, repo.id), prefix=prefix):
        name, _, below = entry.path[len(prefix) :].partition("/")
        if recursive or not below:
            yield FolderEntry(entry.path, entry)
        elif name != last:
            last = name
            yield FolderEntry(prefix + name, None)


def list_commits(
    store: Store,
    actor: Actor,
    kind: RepoKind,
    full_name: str,
    rev: str = "main",
    *,
    before: int | None = None,
    limit: int = 100,
) -> Sequence[Commit]:
    """Return the commits that led to a revision, newest first. Raises RepoNotFound, RevisionNotFound."""
    return store.read(
        lambda tx: history(tx, find_repo(tx, actor, kind, full_name).id, rev, before=before, limit=limit)
    )


def list_roles(store: Store, actor: Actor, kind: RepoKind, full_name: str) -> Sequence[PersonRole]:
    """Return the roles of persons in a repository, by name. Raises RepoNotFound, Forbidden."""

    def query(tx: Tx) -> Sequence[PersonRole]:
        repo = find_repo(tx, actor, kind, full_name, admin=True)
        wanted = (
            sa.select(roles, users.c.name, users.c.display_name)
            .join(users, users.c.id == roles.c.user_id)
            .where(roles.c.repo_id == repo.id)
            .order_by(users.c.name)
        )
        return [
            PersonRole(row["name"], row["display_name"], row["role"], row["given_by"], row["given_us"])
            for row in tx.rows(wanted)
        ]

    return store.read(query)


def list_shares(store: Store, actor: Actor, kind: RepoKind, full_name: str) -> Sequence[str]:
    """Return the slugs of the organisations that a repository is shared with. Raises RepoNotFound, Forbidden."""

    def query(tx: Tx) -> Sequence[str]:
        repo = find_repo(tx, actor, kind, full_name, admin=True)
        wanted = sa.select(orgs.c.slug).join(shares, shares.c.with_org_id == orgs.c.id)
        return list(tx.execute(wanted.where(shares.c.repo_id == repo.id).order_by(orgs.c.slug)).scalars())

    return store.read(query)


def list_downloads(
    store: Store, actor: Actor, kind: RepoKind, full_name: str, *, offset: int = 0, limit: int = 100
) -> Sequence[DownloadRecord]:
    """Return the recorded downloads of a repository, newest first. Raises RepoNotFound, Forbidden."""

    def query(tx: Tx) -> Sequence[DownloadRecord]:
        repo = find_repo(tx, actor, kind, full_name, admin=True)
        wanted = (
            sa.select(downloads, users.c.name)
            .outerjoin(users, users.c.id == downloads.c.user_id)
            .where(downloads.c.repo_id == repo.id)
            .order_by(downloads.c.hour_us.desc(), downloads.c.commit_id, downloads.c.user_id)
        )
        return [
            DownloadRecord(row["name"] or "", row["commit_id"], row["hour_us"], row["files"], row["bytes"])
            for row in tx.rows(wanted.offset(offset).limit(limit))
        ]

    return store.read(query)
