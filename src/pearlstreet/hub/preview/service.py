"""Previews of files, kept by content; parameter counts and pickles of a repository."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from pearlstreet.hub.browsing import open_file
from pearlstreet.hub.contents import read_content
from pearlstreet.hub.hub import Hub
from pearlstreet.hub.model import RepoKind, TreeEntry
from pearlstreet.hub.preview.formats import Format, format_of
from pearlstreet.hub.preview.runner import run_preview
from pearlstreet.hub.tables import contents, previews
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor


@dataclass(frozen=True, slots=True)
class Preview:
    """A file with what it holds; `facts` has the `kind` and what belongs to it."""

    entry: TreeEntry
    commit_id: str
    facts: Mapping[str, object]


def preview_file(
    store: Store, hub: Hub, actor: Actor, kind: RepoKind, full_name: str, rev: str, path: str
) -> Preview:
    """Return what a file holds. Raises the errors of `open_file`: a preview needs the right to download."""
    file = open_file(store, actor, kind, full_name, rev, path)
    return Preview(file.entry, file.commit_id, look_into(store, hub, file.entry))


def look_into(store: Store, hub: Hub, entry: TreeEntry) -> Mapping[str, object]:
    """Return what a file holds, without asking who wants to know."""
    if not entry.size_bytes:
        return {"kind": "empty"}
    chosen = format_of(entry.path)
    found = store.read(lambda tx: _kept(tx, entry.sha256, chosen))
    if found is not None:
        return found

    def read(start: int, length: int) -> bytes:
        return b"".join(read_content(store, hub, entry.sha256, start=start, length=length))

    facts = run_preview(read, entry.size_bytes, chosen)
    store.write(lambda tx: _keep(tx, entry.sha256, chosen, facts))
    return facts


def _kept(tx: Tx, sha256: str, chosen: Format) -> Mapping[str, object] | None:
    here = (previews.c.sha256 == sha256) & (previews.c.format == chosen.value)
    found: Mapping[str, object] | None = tx.scalar(sa.select(previews.c.facts).where(here))
    return found


def _keep(tx: Tx, sha256: str, chosen: Format, facts: Mapping[str, object]) -> None:
    known = tx.scalar(sa.select(contents.c.sha256).where(contents.c.sha256 == sha256))
    if known is not None and _kept(tx, sha256, chosen) is None:
        tx.execute(
            sa.insert(previews).values(sha256=sha256, format=chosen.value, facts=dict(facts), at_us=tx.now_us)
        )
