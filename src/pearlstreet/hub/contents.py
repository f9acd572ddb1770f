"""The bytes of files by SHA-256: staged when they arrive, referenced by commits, read from a blob or from xorbs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import sqlalchemy as sa

from pearlstreet.base.errors import InvalidInput, NotFound, Problem
from pearlstreet.base.text import text
from pearlstreet.hub.access import access_to, repository, select_repos, visible_repos
from pearlstreet.hub.hub import Hub
from pearlstreet.hub.model import Repository, TreeEntry
from pearlstreet.hub.tables import contents, repo_contents, repos, staged
from pearlstreet.hub.xet.recipe import read_segments
from pearlstreet.objects.model import Blob
from pearlstreet.storage.levels import change_level
from pearlstreet.storage.quota import refuse_beyond, storage_limits, tightest
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor

SOME = 500


def has_content(tx: Tx, actor: Actor, repo: Repository, sha256: str) -> int | None:
    """Return the size of a content that the caller has proved to have: sent here, or in a repository it may download.

    None otherwise, also for content that only other organisations store: the answer must not reveal that they do.
    """
    here = tx.scalar(
        sa.select(repo_contents.c.size_bytes).where(
            repo_contents.c.repo_id == repo.id, repo_contents.c.sha256 == sha256
        )
    )
    if here is None:
        here = tx.scalar(
            sa.select(staged.c.size_bytes).where(staged.c.repo_id == repo.id, staged.c.sha256 == sha256)
        )
    if here is not None:
        return int(here)
    holders = sa.select(repo_contents.c.repo_id).where(repo_contents.c.sha256 == sha256)
    query = select_repos().where(repos.c.id.in_(holders), visible_repos(actor)).limit(20)
    for row in tx.rows(query):
        other = repository(row)
        if access_to(tx, actor, other).download:
            size = tx.scalar(sa.select(contents.c.size_bytes).where(contents.c.sha256 == sha256))
            return None if size is None else int(size)
    return None


def refuse_too_much(tx: Tx, hub: Hub, repo: Repository, more_bytes: int) -> None:
    """Raise Conflict if more bytes do not fit into the storage limits, beside what is staged."""

    def reserved(project_id: str | None) -> int:
        waiting = sa.select(sa.func.sum(staged.c.size_bytes)).where(staged.c.org_id == repo.org_id)
        return int(tx.scalar(waiting) or 0)

    refuse_beyond(
        tightest(storage_limits(tx, hub.settings, repo.org_id, repo.project_id, reserved)), more_bytes
    )


def stage_blob(store: Store, repo: Repository, blob: Blob) -> None:
    """Record that a content arrived in a repository whole and is stored as a blob."""
    stage_blobs(store, repo, [blob])


def stage_blobs(store: Store, repo: Repository, blobs: Sequence[Blob]) -> None:
    """Record that contents arrived in a repository whole and are stored as blobs."""

    def command(tx: Tx) -> None:
        for blob in blobs:
            stage(tx, repo, blob.sha256, blob.size_bytes)

    store.write(command)


def stage(
    tx: Tx,
    repo: Repository,
    sha256: str,
    size_bytes: int,
    *,
    xet_hash: str | None = None,
    segments: bytes | None = None,
) -> bool:
    """Record a content and that it arrived in a repository; return whether its place is new. `segments`: None for a blob."""
    known = tx.scalar(sa.select(contents.c.sha256).where(contents.c.sha256 == sha256))
    if known is None:
        tx.execute(
            sa.insert(contents).values(
                sha256=sha256, size_bytes=size_bytes, xet_hash=xet_hash, segments=segments, at_us=tx.now_us
            )
        )
    else:
        tx.execute(sa.update(contents).where(contents.c.sha256 == sha256).values(at_us=tx.now_us))
    here = (staged.c.repo_id == repo.id) & (staged.c.sha256 == sha256)
    if not tx.execute(sa.update(staged).where(here).values(at_us=tx.now_us)).rowcount:
        tx.execute(
            sa.insert(staged).values(
                repo_id=repo.id, sha256=sha256, org_id=repo.org_id, size_bytes=size_bytes, at_us=tx.now_us
            )
        )
    return known is None


def add_contents(tx: Tx, hub: Hub, actor: Actor, repo: Repository, entries: Iterable[TreeEntry]) -> int:
    """Reference the contents of new files; return by how many bytes the repository grows.

    Raises InvalidInput for a content that the caller has not sent and may not read, Conflict above a quota.
    """
    wanted: dict[str, TreeEntry] = {}
    for entry in entries:
        if wanted.setdefault(entry.sha256, entry).size_bytes != entry.size_bytes:
            raise _not_uploaded(entry)
    names = sorted(wanted)
    own, sent = _sizes_in(tx, repo_contents, repo, names), _sizes_in(tx, staged, repo, names)
    rows = []
    for sha256 in names:
        size = own.get(sha256, sent.get(sha256))
        if size is None:
            size = has_content(tx, actor, repo, sha256)
        if size is None or size != wanted[sha256].size_bytes:
            raise _not_uploaded(wanted[sha256])
        if sha256 not in own:
            rows.append({"repo_id": repo.id, "sha256": sha256, "size_bytes": size})
    for start in range(0, len(rows), SOME):
        part = [str(row["sha256"]) for row in rows[start : start + SOME]]
        tx.execute(sa.delete(staged).where(staged.c.repo_id == repo.id, staged.c.sha256.in_(part)))
    more = sum(int(str(row["size_bytes"])) for row in rows)
    if more:
        refuse_too_much(tx, hub, repo, more)
    if rows:
        tx.execute(sa.insert(repo_contents), rows)
    change_level(tx, repo.org_id, repo.project_id, more)
    return more


def _not_uploaded(entry: TreeEntry) -> InvalidInput:
    message = text("The content of {path} was not uploaded", path=entry.path)
    return InvalidInput(message, problems=[Problem("oid", message)])


def _sizes_in(tx: Tx, table: sa.Table, repo: Repository, names: Sequence[str]) -> dict[str, int]:
    """Return the sizes of the contents that a table has of a repository, by SHA-256."""
    found: dict[str, int] = {}
    for start in range(0, len(names), SOME):
        here = (table.c.repo_id == repo.id) & table.c.sha256.in_(names[start : start + SOME])
        found |= {row["sha256"]: row["size_bytes"] for row in tx.rows(sa.select(table).where(here))}
    return found


def read_content(
    store: Store, hub: Hub, sha256: str, *, start: int = 0, length: int | None = None
) -> Iterator[bytes]:
    """Return the bytes of a content from `start` on, in chunks. Raises NotFound before the first chunk."""
    row = store.read(lambda tx: tx.first(sa.select(contents).where(contents.c.sha256 == sha256)))
    if row is None:
        raise NotFound(text("The file {sha256} is not kept here any more", sha256=sha256[:12]))
    if row["segments"] is None:
        return hub.blobs.read(sha256, start=start, length=length)
    end = row["size_bytes"] if length is None else min(row["size_bytes"], start + length)
    return read_segments(store, hub.blobs, row["segments"], start, end)
