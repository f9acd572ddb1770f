"""Changes between two revisions: files added, changed and removed, and the lines that differ in small texts."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from pearlstreet.hub.access import find_repo
from pearlstreet.hub.contents import read_content
from pearlstreet.hub.hub import Hub
from pearlstreet.hub.model import Commit, RepoKind, TreeEntry
from pearlstreet.hub.revisions import find_revision, page_loader
from pearlstreet.hub.tree import LoadPage, Manifest, iterate_entries
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor

FILES_SHOWN = 200
TEXTS_SHOWN = 20
TEXT_BYTES_MAX = 32 << 10
LINES_MAX = 800
"""Length of a text whose lines are compared; the comparison takes time with its square."""


class ChangeKind(StrEnum):
    """What happened to a file."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file that differs. `lines`: those that differ, as a unified diff; empty for files that are not small texts."""

    kind: ChangeKind
    path: str
    before: TreeEntry | None
    after: TreeEntry | None
    lines: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class CommitChanges:
    """A commit with its changes against its parent. `more`: whether there are more than are listed."""

    commit: Commit
    files: Sequence[FileChange]
    more: bool


def list_changes(
    store: Store, hub: Hub, actor: Actor, kind: RepoKind, full_name: str, rev: str, *, with_lines: bool
) -> CommitChanges:
    """Return what a commit changed. `with_lines`: for callers that may download. Raises RepoNotFound, RevisionNotFound."""

    def query(tx: Tx) -> tuple[Commit, list[FileChange]]:
        repo = find_repo(tx, actor, kind, full_name, download=with_lines)
        revision = find_revision(tx, repo.id, rev)
        parent = revision.commit.parent_id
        before = find_revision(tx, repo.id, parent).manifest if parent else Manifest()
        found = compare_trees(before, revision.manifest, page_loader(tx, repo.id))
        return revision.commit, list(islice(found, FILES_SHOWN + 1))

    commit, found = store.read(query)
    shown = found[:FILES_SHOWN]
    if with_lines:
        shown = [
            FileChange(one.kind, one.path, one.before, one.after, _lines(store, hub, one))
            if at < TEXTS_SHOWN
            else one
            for at, one in enumerate(shown)
        ]
    return CommitChanges(commit, shown, len(found) > FILES_SHOWN)


def compare_trees(before: Manifest, after: Manifest, load: LoadPage) -> Iterator[FileChange]:
    """PURE: yield the files that differ, by path; pages that both trees have are not read."""
    same = {page.digest for page in before.pages} & {page.digest for page in after.pages}
    old, new = (
        {entry.path: entry for entry in iterate_entries(_without(tree, same), load)}
        for tree in (before, after)
    )
    for path in sorted(old.keys() | new.keys()):
        was, now = old.get(path), new.get(path)
        if was is None:
            yield FileChange(ChangeKind.ADDED, path, None, now)
        elif now is None:
            yield FileChange(ChangeKind.REMOVED, path, was, None)
        elif was.sha256 != now.sha256:
            yield FileChange(ChangeKind.CHANGED, path, was, now)


def _without(manifest: Manifest, digests: set[str]) -> Manifest:
    return Manifest(tuple(page for page in manifest.pages if page.digest not in digests))


def _lines(store: Store, hub: Hub, change: FileChange) -> list[str]:
    """Return the lines that differ, or none if a side is no small text."""
    sides: list[list[str]] = []
    for entry in (change.before, change.after):
        if entry is not None and (entry.is_large or entry.size_bytes > TEXT_BYTES_MAX):
            return []
        content = (
            b"" if entry is None or not entry.size_bytes else b"".join(read_content(store, hub, entry.sha256))
        )
        sides.append(content.decode("utf-8", "replace").splitlines())
    if max(map(len, sides)) > LINES_MAX:
        return []
    return list(difflib.unified_diff(sides[0], sides[1], lineterm="", n=3))[2:]
