"""Plans with which Xet clients put a file together from ranges of xorbs, within one repository."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pearlstreet.base.errors import NotFound
from pearlstreet.base.text import text
from pearlstreet.hub.hub import Hub
from pearlstreet.hub.model import Repository
from pearlstreet.hub.tables import contents, repo_contents
from pearlstreet.hub.xet.hashes import hash_text
from pearlstreet.hub.xet.recipe import decode_segments, find_xorb, xorb_chunks
from pearlstreet.hub.xet.shard import Segment
from pearlstreet.hub.xet.xorb import ChunkPlace
from pearlstreet.store.core import Row, Store


@dataclass(frozen=True, slots=True)
class Term:
    """Chunks `first` to `end` (exclusive) of an xorb, which are the next bytes of the file."""

    xorb: str
    first: int
    end: int
    raw_bytes: int


@dataclass(frozen=True, slots=True)
class FetchRange:
    """Bytes `start` to `end` (exclusive) of a stored xorb, which hold its chunks `first` to `last` (exclusive)."""

    xorb: str
    first: int
    last: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """A plan for a range of a file."""

    offset_bytes: int
    """Bytes of the first term that lie before the range."""
    terms: Sequence[Term]
    fetches: Sequence[FetchRange]
    size_bytes: int
    """Size of the range."""


def plan_reconstruction(
    store: Store, hub: Hub, repo: Repository, file: str, start: int = 0, end: int | None = None
) -> Reconstruction:
    """Return the plan for the bytes `start` to `end` (exclusive) of a file, named by its Xet hash, in a commit of the repository.

    Raises NotFound for a file that the repository does not have, and for an empty range.
    """
    query = (
        sa.select(contents)
        .join(repo_contents, repo_contents.c.sha256 == contents.c.sha256)
        .where(
            repo_contents.c.repo_id == repo.id, contents.c.xet_hash == file, contents.c.segments.is_not(None)
        )
    )
    row = store.read(lambda tx: tx.first(query))
    if row is None:
        raise NotFound(text("There is no file {hash} in this repository", hash=file))
    end = row["size_bytes"] if end is None else min(end, row["size_bytes"])
    if start >= end:
        raise NotFound(text("The file has no bytes in that range"))
    terms: list[Term] = []
    places: dict[str, list[ChunkPlace]] = {}
    known: dict[bytes, Row] = {}
    at, offset = 0, 0
    for segment in decode_segments(row["segments"]):
        if at < end and at + segment.raw_bytes > start:
            if segment.xorb not in known:
                known[segment.xorb] = find_xorb(store, segment.xorb)
            name = hash_text(segment.xorb)
            places[name] = xorb_chunks(hub.blobs, known[segment.xorb])
            before, term = _cut(places[name], segment, name, start - at, end - at)
            if not terms:
                offset = start - at - before
            terms.append(term)
        at += segment.raw_bytes
    return Reconstruction(offset, terms, _join(terms, places), end - start)


def _cut(places: Sequence[ChunkPlace], segment: Segment, name: str, start: int, end: int) -> tuple[int, Term]:
    """Return the chunks of a segment that hold its bytes `start` to `end`, and the bytes of the segment before them."""
    at, first, before, last, raw = 0, segment.first, 0, segment.first, 0
    for number in range(segment.first, segment.end):
        size = places[number].raw_bytes
        if at + size <= start:
            first, before = number + 1, at + size
        elif at < end:
            last, raw = number + 1, raw + size
        at += size
    return before, Term(name, first, last, raw)


def _join(terms: Sequence[Term], places: dict[str, list[ChunkPlace]]) -> list[FetchRange]:
    """Return the ranges of xorbs that hold the terms, each byte once."""
    found: list[FetchRange] = []
    for name in dict.fromkeys(term.xorb for term in terms):
        joined: list[tuple[int, int]] = []
        for first, end in sorted({(term.first, term.end) for term in terms if term.xorb == name}):
            if joined and first <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((first, end))
        chunks = places[name]
        found += [
            FetchRange(name, first, end, chunks[first].start, chunks[end - 1].end) for first, end in joined
        ]
    return found
