"""PURE file trees: the sorted files of a revision in pages, which revisions share.

A page ends behind a path whose hash begins with a zero byte, so pages depend on the paths alone: a change rewrites the pages
that it touches and no others. The manifest of a revision lists its pages. 100,000 files are about 400 pages.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import text
from pearlstreet.hub.model import Changes, EntryNotFound, TreeEntry

LoadPage = Callable[[str], bytes]
"""Function that returns the stored page of a digest."""
_AFTER = "\U0010ffff"
"""Sorts behind every character of a path."""


@dataclass(frozen=True, slots=True)
class PageRef:
    """One page in a manifest."""

    first_path: str
    digest: str
    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """The pages of a revision, in the order of their paths."""

    pages: tuple[PageRef, ...] = ()

    @property
    def files(self) -> int:
        """Number of files."""
        return sum(page.files for page in self.pages)

    @property
    def size_bytes(self) -> int:
        """Size of all files."""
        return sum(page.size_bytes for page in self.pages)

    def encode(self) -> bytes:
        """Return the manifest as stored."""
        rows = [[page.first_path, page.digest, page.files, page.size_bytes] for page in self.pages]
        return zlib.compress(json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode())

    @staticmethod
    def decode(data: bytes) -> Manifest:
        """Return a stored manifest."""
        return Manifest(tuple(PageRef(*row) for row in json.loads(zlib.decompress(data))))


@dataclass(frozen=True, slots=True)
class Written:
    """Result of `apply_changes`: the new manifest, and the pages that it has beside those of the old one."""

    manifest: Manifest
    pages: Mapping[str, bytes]
    """Digest → page."""


def find_entry(manifest: Manifest, load: LoadPage, path: str) -> TreeEntry | None:
    """Return the file at a path, or None."""
    at = bisect_right(manifest.pages, path, key=lambda page: page.first_path) - 1
    if at < 0:
        return None
    entries = decode_page(load(manifest.pages[at].digest))
    place = bisect_left(entries, path, key=lambda entry: entry.path)
    return entries[place] if place < len(entries) and entries[place].path == path else None


def iterate_entries(
    manifest: Manifest, load: LoadPage, *, prefix: str = "", after: str = ""
) -> Iterator[TreeEntry]:
    """Yield the files whose paths begin with `prefix` and sort behind `after`, in order."""
    start = max(prefix, after)
    at = max(0, bisect_right(manifest.pages, start, key=lambda page: page.first_path) - 1)
    for page in manifest.pages[at:]:
        if page.first_path > prefix + _AFTER:
            return
        for entry in decode_page(load(page.digest)):
            if entry.path > after and entry.path.startswith(prefix):
                yield entry


def has_folder(manifest: Manifest, load: LoadPage, folder: str) -> bool:
    """Return whether a folder has files; the root (empty) always exists."""
    return not folder or next(iterate_entries(manifest, load, prefix=folder + "/"), None) is not None


def apply_changes(manifest: Manifest, load: LoadPage, changes: Changes) -> Written:
    """Return the tree after the changes. Raises EntryNotFound for a deleted path that is absent, InvalidInput for clashes."""
    _check_deleted(manifest, load, changes)
    new_paths = sorted(changes.files)
    folders = tuple(folder + "/" for folder in changes.deleted_folders)
    removed = changes.deleted_files
    kept: list[PageRef] = []
    written: dict[str, bytes] = {}
    carry: list[TreeEntry] = []
    taken = 0
    bounds = [page.first_path for page in manifest.pages[1:]] + [None]
    for page, bound in zip(manifest.pages, bounds, strict=False):
        upto = len(new_paths) if bound is None else bisect_left(new_paths, bound)
        fresh = new_paths[taken:upto]
        taken = upto
        if not carry and not fresh and not _touches(page.first_path, bound, removed, folders):
            kept.append(page)
            continue
        entries = {
            entry.path: entry
            for entry in decode_page(load(page.digest))
            if entry.path not in removed and not (folders and entry.path.startswith(folders))
        }
        entries |= {path: changes.files[path] for path in fresh}
        carry += [entries[path] for path in sorted(entries)]
        carry = _cut(carry, kept, written, is_last=bound is None)
    if taken < len(new_paths):
        carry += [changes.files[path] for path in new_paths[taken:]]
        _cut(carry, kept, written, is_last=True)
    elif carry:
        _cut(carry, kept, written, is_last=True)
    result = Manifest(tuple(kept))
    _check_clashes(result, lambda digest: written.get(digest) or load(digest), new_paths)
    return Written(result, written)


def _touches(first: str, bound: str | None, removed: frozenset[str], folders: Sequence[str]) -> bool:
    return any(first <= path and (bound is None or path < bound) for path in removed) or any(
        first <= folder + _AFTER and (bound is None or folder < bound) for folder in folders
    )


def _cut(
    entries: list[TreeEntry], kept: list[PageRef], written: dict[str, bytes], *, is_last: bool
) -> list[TreeEntry]:
    """Append the full pages of `entries`, and the rest too if nothing follows; return what is left."""
    start = 0
    for at, entry in enumerate(entries):
        if _ends_page(entry.path):
            _append(entries[start : at + 1], kept, written)
            start = at + 1
    rest = entries[start:]
    if is_last and rest:
        _append(rest, kept, written)
        return []
    return rest


def _append(entries: Sequence[TreeEntry], kept: list[PageRef], written: dict[str, bytes]) -> None:
    data = encode_page(entries)
    digest = hashlib.sha256(data).hexdigest()
    written[digest] = data
    kept.append(PageRef(entries[0].path, digest, len(entries), sum(entry.size_bytes for entry in entries)))


def _ends_page(path: str) -> bool:
    return hashlib.sha256(path.encode()).digest()[0] == 0


def _check_deleted(manifest: Manifest, load: LoadPage, changes: Changes) -> None:
    for path in changes.deleted_files:
        if path not in changes.files and find_entry(manifest, load, path) is None:
            raise EntryNotFound(text("There is no file {path} to delete", path=path))
    for folder in changes.deleted_folders:
        if not has_folder(manifest, load, folder):
            raise EntryNotFound(text("There is no folder {path} to delete", path=folder))


def _check_clashes(manifest: Manifest, load: LoadPage, new_paths: Sequence[str]) -> None:
    """Raise InvalidInput if a path is a file and a folder at once."""
    cache: dict[str, bytes] = {}

    def cached(digest: str) -> bytes:
        if digest not in cache:
            cache.clear()
            cache[digest] = load(digest)
        return cache[digest]

    folders: set[str] = set()
    for path in new_paths:
        at = path.rfind("/")
        while at > 0 and path[:at] not in folders:
            folders.add(path[:at])
            at = path.rfind("/", 0, at)
    known = set(new_paths)
    for folder in folders:
        if folder in known or find_entry(manifest, cached, folder) is not None:
            _refuse_clash(folder)
    if len(manifest.pages) and len(new_paths) < manifest.files:
        for path in new_paths:
            if path not in folders and has_folder(manifest, cached, path):
                _refuse_clash(path)


def _refuse_clash(path: str) -> None:
    message = text("{path} would be a file and a folder at once", path=path)
    raise InvalidInput(message, problems=[Problem("path", message)])


def encode_page(entries: Sequence[TreeEntry]) -> bytes:
    """Return a page as stored."""
    rows = [
        [entry.path, entry.sha256, entry.size_bytes, entry.git_oid, entry.commit_number] for entry in entries
    ]
    return zlib.compress(json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode(), 3)


@lru_cache(maxsize=64)
def decode_page(data: bytes) -> tuple[TreeEntry, ...]:
    """Return the files of a stored page; checks of many paths read the same pages again."""
    return tuple(TreeEntry(*row) for row in json.loads(zlib.decompress(data)))
