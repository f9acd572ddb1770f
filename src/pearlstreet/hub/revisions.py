"""Commits, branches and tags of a repository."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import sqlalchemy as sa

from pearlstreet.base.errors import Conflict, InvalidInput, Problem
from pearlstreet.base.text import text
from pearlstreet.hub.access import find_repo
from pearlstreet.hub.cards import card_words
from pearlstreet.hub.contents import add_contents
from pearlstreet.hub.hub import Hub
from pearlstreet.hub.model import (
    CARD_FILE,
    MAIN,
    Changes,
    Commit,
    EntryNotFound,
    Ref,
    RefKind,
    RepoKind,
    Repository,
    RevisionNotFound,
    StaleParent,
    TreeEntry,
)
from pearlstreet.hub.names import check_file_path, check_ref_name, is_commit_id
from pearlstreet.hub.search.index import index_repo
from pearlstreet.hub.tables import commits, pages, refs, repo_contents, repos
from pearlstreet.hub.tree import Manifest, PageRef, Written, apply_changes, find_entry, iterate_entries
from pearlstreet.hub.uses import used_commits
from pearlstreet.storage.levels import change_level
from pearlstreet.store import audit
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.tenancy.model import Actor

FILES_MAX = 200_000
"""Maximum number of files of a revision."""
COMMITTED = "hub_commit"
"""Hint that a branch `main` has moved."""
TRIES = 5
"""Number of times that a commit without a stated parent is put on the newest commit of a busy branch."""
_COLUMNS = [column for column in commits.c if column.name not in ("manifest", "repo_id")]


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit with its file tree."""

    commit: Commit
    manifest: Manifest


def find_revision(tx: Tx, repo_id: str, rev: str) -> Revision:
    """Return the commit of a branch, tag or commit id. Raises RevisionNotFound."""
    commit_id = resolve(tx, repo_id, rev)
    row = tx.first(sa.select(commits).where(commits.c.repo_id == repo_id, commits.c.id == commit_id))
    if row is None:
        raise _no_revision(rev)
    return Revision(_commit(row), Manifest.decode(row["manifest"]))


def resolve(tx: Tx, repo_id: str, rev: str) -> str:
    """Return the commit id of a branch, tag or commit id. Raises RevisionNotFound for a name that is absent."""
    name = rev.removeprefix("refs/heads/")
    query = sa.select(refs.c.commit_id).where(refs.c.repo_id == repo_id, refs.c.name == name)
    found = tx.scalar(query.order_by(refs.c.kind))
    if found is None and not is_commit_id(rev):
        raise _no_revision(rev)
    return str(found or rev)


def page_loader(tx: Tx, repo_id: str) -> Callable[[str], bytes]:
    """Return the function that loads pages of a repository's trees."""

    def load(digest: str) -> bytes:
        query = sa.select(pages.c.data).where(pages.c.repo_id == repo_id, pages.c.digest == digest)
        return bytes(tx.scalar(query))

    return load


def file_at(tx: Tx, repo_id: str, revision: Revision, path: str) -> TreeEntry:
    """Return the file at a path. Raises EntryNotFound."""
    entry = find_entry(revision.manifest, page_loader(tx, repo_id), path)
    if entry is None:
        raise EntryNotFound(text("There is no file {path} at this revision", path=ascii(path[:200])[1:-1]))
    return entry


def files_of(
    tx: Tx, repo_id: str, revision: Revision, *, prefix: str = "", after: str = "", limit: int | None = None
) -> list[TreeEntry]:
    """Return files whose paths begin with a prefix, in order."""
    found: list[TreeEntry] = []
    for entry in iterate_entries(revision.manifest, page_loader(tx, repo_id), prefix=prefix, after=after):
        if limit is not None and len(found) >= limit:
            break
        found.append(entry)
    return found


def create_commit(
    store: Store,
    hub: Hub,
    actor: Actor,
    kind: RepoKind,
    full_name: str,
    branch: str,
    changes: Changes,
    *,
    title: str,
    message: str = "",
    parent: str | None = None,
    card: Mapping[str, object] | None = None,
    producer: Mapping[str, object] | None = None,
) -> Commit:
    """Commit changes on a branch. `parent`: commit the caller started from; `card`: front matter of a changed card.

    Raises StaleParent if the branch has moved beyond it, RepoNotFound, RevisionNotFound, EntryNotFound, InvalidInput, and
    Conflict above a quota. Nothing is changed then.
    """
    for path in changes.files:
        check_file_path(path)

    def prepare(tx: Tx) -> tuple[Repository, Revision, Changes, Written]:
        repo = find_repo(tx, actor, kind, full_name, write=True)
        head = _head(tx, repo.id, branch)
        if parent is not None and parent != head.commit.id:
            raise StaleParent(
                text("The branch {branch} has moved to {commit}", branch=branch, commit=head.commit.id),
                hint=text("Get the newest files and commit again"),
            )
        wanted = replace(changes, files=_numbered(tx, repo, head, changes))
        written = apply_changes(head.manifest, page_loader(tx, repo.id), wanted)
        if written.manifest.files > FILES_MAX:
            raise Conflict(text("A revision has at most {most} files", most=FILES_MAX))
        return repo, head, wanted, written

    for attempt in range(TRIES):
        prepared = store.read(prepare)
        try:
            return store.write(
                partial(_write_commit, hub, actor, branch, prepared, title, message, card, producer)
            )
        except StaleParent:
            if parent is not None or attempt == TRIES - 1:
                raise
    raise AssertionError


def _numbered(tx: Tx, repo: Repository, head: Revision, changes: Changes) -> dict[str, TreeEntry]:
    """Return the changed files, with copies looked up."""
    files = dict(changes.files)
    for path, (rev, source) in changes.copies.items():
        revision = find_revision(tx, repo.id, rev) if rev else head
        files[check_file_path(path)] = replace(file_at(tx, repo.id, revision, source), path=path)
    number = int(tx.scalar(sa.select(repos.c.commits).where(repos.c.id == repo.id)) or 0) + 1
    return {path: replace(entry, commit_number=number) for path, entry in files.items()}


def _write_commit(
    hub: Hub,
    actor: Actor,
    branch: str,
    prepared: tuple[Repository, Revision, Changes, Written],
    title: str,
    message: str,
    card: Mapping[str, object] | None,
    producer: Mapping[str, object] | None,
    tx: Tx,
) -> Commit:
    repo, head, changes, written = prepared
    find_repo(tx, actor, repo.kind, repo.full_name, write=True)
    number = int(tx.scalar(sa.select(repos.c.commits).where(repos.c.id == repo.id)) or 0) + 1
    if _head(tx, repo.id, branch).commit.id != head.commit.id or any(
        entry.commit_number != number for entry in changes.files.values()
    ):
        raise StaleParent(text("The branch {branch} has moved", branch=branch))
    if written.manifest == head.manifest:
        return head.commit
    more = add_contents(tx, hub, actor, repo, changes.files.values())
    insert_pages(tx, repo.id, written.pages)
    commit = insert_commit(
        tx, actor, repo.id, number, head.commit.id, written.manifest, title, message, producer
    )
    here = (refs.c.repo_id == repo.id) & (refs.c.kind == RefKind.BRANCH.value) & (refs.c.name == branch)
    tx.execute(sa.update(refs).where(here).values(commit_id=commit.id, at_us=tx.now_us))
    values: dict[str, object] = {
        "commits": number,
        "size_bytes": repos.c.size_bytes + more,
        "updated_us": tx.now_us,
    }
    card_removed = CARD_FILE in changes.deleted_files and CARD_FILE not in changes.files
    if branch == MAIN and (card is not None or card_removed):
        values["card"] = dict(card or {})
        values["words"] = card_words(repo.full_name.partition("/")[2], card or {})
        index_repo(tx, repo.id, repo.full_name.partition("/")[2], card or {})
    tx.execute(sa.update(repos).where(repos.c.id == repo.id).values(**values))
    if branch == MAIN:
        tx.hint(COMMITTED)
    _audit(tx, actor, "hub.commit", repo, branch=branch, commit=commit.id, more_bytes=more)
    return commit


def insert_pages(tx: Tx, repo_id: str, new_pages: Mapping[str, bytes]) -> None:
    """Insert the pages of file trees that a repository does not have yet."""
    for digest, data in new_pages.items():
        here = (pages.c.repo_id == repo_id) & (pages.c.digest == digest)
        if tx.scalar(sa.select(pages.c.digest).where(here)) is None:
            tx.execute(sa.insert(pages).values(repo_id=repo_id, digest=digest, data=data))


def insert_commit(
    tx: Tx,
    actor: Actor,
    repo_id: str,
    number: int,
    parent_id: str | None,
    manifest: Manifest,
    title: str,
    message: str,
    producer: Mapping[str, object] | None = None,
    author: str | None = None,
    at_us: int | None = None,
) -> Commit:
    """Insert a commit and return it. `author` and `at_us`: those of an imported commit; None: the caller, now."""
    data = manifest.encode()
    title, message = title[:500] or "Change files", message[:10_000]
    author, at_us = author or actor.login, tx.now_us if at_us is None else at_us
    said = [repo_id, number, parent_id, data.hex(), title, message, author, at_us]
    commit = Commit(
        id=hashlib.sha256(json.dumps(said).encode()).hexdigest()[:40],
        number=number,
        parent_id=parent_id,
        title=title,
        message=message,
        author=author,
        at_us=at_us,
        files=manifest.files,
        size_bytes=manifest.size_bytes,
        producer=producer,
    )
    tx.execute(
        sa.insert(commits).values(
            repo_id=repo_id,
            id=commit.id,
            number=number,
            parent_id=parent_id,
            title=title,
            message=message,
            author=commit.author,
            at_us=commit.at_us,
            files=commit.files,
            size_bytes=commit.size_bytes,
            manifest=data,
            producer=producer,
        )
    )
    return commit


def history(
    tx: Tx, repo_id: str, rev: str, *, before: int | None = None, limit: int = 100
) -> Sequence[Commit]:
    """Return the commits that led to a revision, newest first; `before`: those with a smaller number."""
    commit_id: str | None = resolve(tx, repo_id, rev)
    links = {
        row["id"]: row
        for row in tx.rows(
            sa.select(commits.c.id, commits.c.parent_id, commits.c.number).where(commits.c.repo_id == repo_id)
        )
    }
    if commit_id not in links:
        raise _no_revision(rev)
    chosen: list[str] = []
    while commit_id in links and len(chosen) < limit:
        row = links[commit_id]
        if before is None or row["number"] < before:
            chosen.append(row["id"])
        commit_id = row["parent_id"]
    rows = tx.rows(sa.select(*_COLUMNS).where(commits.c.repo_id == repo_id, commits.c.id.in_(chosen)))
    return sorted((_commit(row) for row in rows), key=lambda commit: -commit.number)


def commits_by_number(tx: Tx, repo_id: str, numbers: Sequence[int]) -> Mapping[int, Commit]:
    """Return commits by their numbers."""
    query = sa.select(*_COLUMNS).where(commits.c.repo_id == repo_id, commits.c.number.in_(numbers))
    return {row["number"]: _commit(row) for row in tx.rows(query)}


def list_refs(tx: Tx, repo_id: str) -> Sequence[Ref]:
    """Return branches and tags, by name."""
    rows = tx.rows(sa.select(refs).where(refs.c.repo_id == repo_id).order_by(refs.c.kind, refs.c.name))
    return [Ref(RefKind(row["kind"]), row["name"], row["commit_id"], row["message"]) for row in rows]


def create_ref(
    store: Store,
    actor: Actor,
    kind: RepoKind,
    full_name: str,
    ref: RefKind,
    name: str,
    rev: str,
    note: str = "",
) -> Ref:
    """Create a branch or tag at a revision. Raises Conflict if it exists, RevisionNotFound, InvalidInput."""
    check_ref_name(name)

    def command(tx: Tx) -> Ref:
        repo = find_repo(tx, actor, kind, full_name, write=True)
        commit_id = find_revision(tx, repo.id, rev).commit.id
        same = sa.select(refs.c.name).where(refs.c.repo_id == repo.id, refs.c.name == name)
        if tx.scalar(same) is not None:
            raise Conflict(text("{name} exists already", name=name))
        made = Ref(ref, name, commit_id, note[:1000])
        tx.execute(
            sa.insert(refs).values(
                repo_id=repo.id,
                kind=ref.value,
                name=name,
                commit_id=commit_id,
                message=made.message,
                at_us=tx.now_us,
            )
        )
        _audit(tx, actor, f"hub.{ref.value}.create", repo, name=name, commit=commit_id)
        return made

    return store.write(command)


def delete_ref(store: Store, actor: Actor, kind: RepoKind, full_name: str, ref: RefKind, name: str) -> None:
    """Delete a branch or tag. Raises RevisionNotFound, Conflict for the branch `main`."""
    if ref is RefKind.BRANCH and name == MAIN:
        raise Conflict(text("The branch main cannot be deleted"))

    def command(tx: Tx) -> None:
        repo = find_repo(tx, actor, kind, full_name, write=True)
        here = (refs.c.repo_id == repo.id) & (refs.c.kind == ref.value) & (refs.c.name == name)
        if not tx.execute(sa.delete(refs).where(here)).rowcount:
            raise _no_revision(name)
        _audit(tx, actor, f"hub.{ref.value}.delete", repo, name=name)

    store.write(command)


def squash(store: Store, actor: Actor, kind: RepoKind, full_name: str, branch: str, title: str) -> Commit:
    """Replace the history of a branch by one commit with the same files; contents that no revision has left are released."""

    def command(tx: Tx) -> Commit:
        repo = find_repo(tx, actor, kind, full_name, admin=True)
        head = _head(tx, repo.id, branch)
        number = int(tx.scalar(sa.select(repos.c.commits).where(repos.c.id == repo.id)) or 0) + 1
        commit = insert_commit(tx, actor, repo.id, number, None, head.manifest, title, "")
        here = (refs.c.repo_id == repo.id) & (refs.c.kind == RefKind.BRANCH.value) & (refs.c.name == branch)
        tx.execute(sa.update(refs).where(here).values(commit_id=commit.id, at_us=tx.now_us))
        tx.execute(sa.update(repos).where(repos.c.id == repo.id).values(commits=number, updated_us=tx.now_us))
        _drop_unreachable(tx, repo)
        _audit(tx, actor, "hub.squash", repo, branch=branch, commit=commit.id)
        return commit

    return store.write(command)


def _drop_unreachable(tx: Tx, repo: Repository) -> None:
    """Delete the commits that no branch or tag leads to, their pages and their contents."""
    rows = tx.rows(sa.select(commits.c.id, commits.c.parent_id).where(commits.c.repo_id == repo.id))
    parents = {row["id"]: row["parent_id"] for row in rows}
    reached: set[str] = set()
    for ref in list_refs(tx, repo.id):
        commit_id: str | None = ref.commit_id
        while commit_id is not None and commit_id not in reached:
            reached.add(commit_id)
            commit_id = parents.get(commit_id)
    reached |= used_commits(tx, repo.id) & set(parents)
    gone = sorted(set(parents) - reached)
    _delete_in(tx, commits, commits.c.id, repo.id, gone)
    kept_pages: set[str] = set()
    for commit_id in sorted(reached):
        data = tx.scalar(
            sa.select(commits.c.manifest).where(commits.c.repo_id == repo.id, commits.c.id == commit_id)
        )
        kept_pages |= {page.digest for page in Manifest.decode(data).pages}
    load = page_loader(tx, repo.id)
    named = {
        entry.sha256 for digest in kept_pages for entry in iterate_entries(Manifest((_whole(digest),)), load)
    }
    stored = tx.execute(sa.select(pages.c.digest).where(pages.c.repo_id == repo.id)).scalars()
    _delete_in(tx, pages, pages.c.digest, repo.id, sorted(set(stored) - kept_pages))
    rows = tx.rows(sa.select(repo_contents).where(repo_contents.c.repo_id == repo.id))
    unused = {row["sha256"]: row["size_bytes"] for row in rows if row["sha256"] not in named}
    _delete_in(tx, repo_contents, repo_contents.c.sha256, repo.id, sorted(unused))
    freed = sum(unused.values())
    tx.execute(sa.update(repos).where(repos.c.id == repo.id).values(size_bytes=repos.c.size_bytes - freed))
    change_level(tx, repo.org_id, repo.project_id, -freed)


def _whole(digest: str) -> PageRef:
    return PageRef("", digest, 0, 0)


def _delete_in(
    tx: Tx, table: sa.Table, column: sa.ColumnElement[str], repo_id: str, values: Sequence[str]
) -> None:
    for start in range(0, len(values), 500):
        part = values[start : start + 500]
        tx.execute(sa.delete(table).where(table.c.repo_id == repo_id, column.in_(part)))


def _head(tx: Tx, repo_id: str, branch: str) -> Revision:
    query = sa.select(refs.c.commit_id).where(
        refs.c.repo_id == repo_id, refs.c.kind == RefKind.BRANCH.value, refs.c.name == branch
    )
    if tx.scalar(query) is None:
        if is_commit_id(branch) or not branch:
            message = text("Commit to a branch, not to a commit")
            raise InvalidInput(message, problems=[Problem("revision", message)])
        raise _no_revision(branch)
    return find_revision(tx, repo_id, branch)


def _no_revision(rev: str) -> RevisionNotFound:
    return RevisionNotFound(text("There is no revision {rev}", rev=ascii(rev[:128])[1:-1]))


def _commit(row: Row) -> Commit:
    return Commit(
        id=row["id"],
        number=row["number"],
        parent_id=row["parent_id"],
        title=row["title"],
        message=row["message"],
        author=row["author"],
        at_us=row["at_us"],
        files=row["files"],
        size_bytes=row["size_bytes"],
        producer=row["producer"],
    )


def _audit(tx: Tx, actor: Actor, action: str, repo: Repository, **details: object) -> None:
    audit.record(tx, actor=actor.label, action=action, target=repo.id, org_id=repo.org_id, details=details)
