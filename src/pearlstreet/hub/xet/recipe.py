"""Files whose bytes are in xorbs: their segments as stored, and reading them."""

from __future__ import annotations

import struct
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from pearlstreet.base.errors import NotFound, Unavailable
from pearlstreet.base.text import text
from pearlstreet.hub.tables import xorbs
from pearlstreet.hub.xet.hashes import hash_text
from pearlstreet.hub.xet.shard import Segment
from pearlstreet.hub.xet.xorb import ChunkPlace, decode_index, unpack_range
from pearlstreet.objects.model import BlobStore
from pearlstreet.store.core import Row, Store

_SEGMENT = struct.Struct("<32sIII")
READ_BYTES = 4 << 20
"""Compressed bytes that are read at once."""
INDEXES_KEPT = 64


@dataclass(slots=True)
class _Indexes:
    """Indexes of the xorbs that were read last."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    known: OrderedDict[str, list[ChunkPlace]] = field(default_factory=OrderedDict)


_indexes = _Indexes()


def encode_segments(segments: Sequence[Segment]) -> bytes:
    """Return segments as stored."""
    return b"".join(_SEGMENT.pack(one.xorb, one.first, one.end, one.raw_bytes) for one in segments)


def decode_segments(data: bytes) -> list[Segment]:
    """Return stored segments."""
    return [Segment(*values) for values in _SEGMENT.iter_unpack(data)]


def find_xorb(store: Store, xorb: bytes) -> Row:
    """Return the row of a stored xorb. Raises NotFound."""
    name = hash_text(xorb)
    row = store.read(lambda tx: tx.first(sa.select(xorbs).where(xorbs.c.hash == name)))
    if row is None:
        raise NotFound(text("There is no xorb {hash}", hash=name))
    return row


def xorb_chunks(blobs: BlobStore, row: Row) -> list[ChunkPlace]:
    """Return the chunks of a stored xorb."""
    name = str(row["sha256"])
    with _indexes.lock:
        if name in _indexes.known:
            _indexes.known.move_to_end(name)
            return _indexes.known[name]
    places = decode_index(b"".join(blobs.read(name, start=row["body_bytes"])))
    if len(places) != row["chunks"]:
        raise Unavailable(text("The stored file {sha256} is damaged", sha256=name[:12]), retry_after_s=3600)
    with _indexes.lock:
        _indexes.known[name] = places
        while len(_indexes.known) > INDEXES_KEPT:
            _indexes.known.popitem(last=False)
    return places


def read_chunks(blobs: BlobStore, row: Row, places: Sequence[ChunkPlace]) -> Iterator[bytes]:
    """Yield the bytes of successive chunks of a stored xorb."""
    at = 0
    while at < len(places):
        end = at + 1
        while end < len(places) and places[end].end - places[at].start <= READ_BYTES:
            end += 1
        start = places[at].start
        body = b"".join(blobs.read(str(row["sha256"]), start=start, length=places[end - 1].end - start))
        yield from unpack_range(memoryview(body), end - at)
        at = end


def read_segments(store: Store, blobs: BlobStore, data: bytes, start: int, end: int) -> Iterator[bytes]:
    """Yield the bytes `start` to `end` (exclusive) of a file."""
    at = 0
    for segment in decode_segments(data):
        if at >= end:
            return
        if at + segment.raw_bytes <= start:
            at += segment.raw_bytes
            continue
        row = find_xorb(store, segment.xorb)
        places = xorb_chunks(blobs, row)[segment.first : segment.end]
        first = 0
        while at + places[first].raw_bytes <= start:
            at += places[first].raw_bytes
            first += 1
        last = first
        upto = at
        while last < len(places) and upto < end:
            upto += places[last].raw_bytes
            last += 1
        for raw in read_chunks(blobs, row, places[first:last]):
            yield raw[max(0, start - at) : end - at]
            at += len(raw)
