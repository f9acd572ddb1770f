"""PURE shards: the lists of files as ranges of chunks that clients register, and of chunks that they may reuse."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from pearlstreet.base.text import text
from pearlstreet.hub.xet.xorb import ChunkPlace, wrong

SHARD_BYTES_MAX = 64 << 20
SEGMENTS_MAX = 100_000
"""Maximum number of ranges of chunks of a shard: clients join neighbouring chunks, so 1 TiB has about 16,000."""
_TAG = b"HFRepoMetaData\0" + bytes.fromhex("556967456a7b815783a5bdd95ccdd14aa9")
_RECORD = 48
_END = b"\xff" * 32
_FLAG_VERIFIED = 1 << 31
_FLAG_METADATA = 1 << 30
_NO_EXPIRY = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Segment:
    """Chunks `first` to `end` (exclusive) of one xorb, as a part of a file."""

    xorb: bytes
    first: int
    end: int
    raw_bytes: int


@dataclass(frozen=True, slots=True)
class ShardFile:
    """One file of a shard, as the client describes it."""

    hash: bytes
    segments: Sequence[Segment]


def parse_shard(data: bytes) -> list[ShardFile]:
    """Return the files of a shard. Raises InvalidInput."""
    if len(data) < _RECORD or data[:32] != _TAG or struct.unpack_from("<Q", data, 32)[0] != 2:
        raise wrong(text("The shard has a wrong header"))
    files: list[ShardFile] = []
    at, total = _RECORD, 0
    while True:
        head = _record(data, at)
        at += _RECORD
        if head[:32] == _END:
            return files
        flags, count = struct.unpack_from("<II", head, 32)
        total += count
        if total > SEGMENTS_MAX or at + count * _RECORD > len(data):
            raise wrong(text("The shard is cut off or too large"))
        segments = []
        for _ in range(count):
            record = _record(data, at)
            _, raw_bytes, first, end = struct.unpack_from("<IIII", record, 32)
            if not first < end or not raw_bytes:
                raise wrong(text("A file of the shard has an empty range of chunks"))
            segments.append(Segment(record[:32], first, end, raw_bytes))
            at += _RECORD
        at += count * _RECORD if flags & _FLAG_VERIFIED else 0
        at += _RECORD if flags & _FLAG_METADATA else 0
        files.append(ShardFile(head[:32], segments))


def build_dedup_shard(xorb: bytes, body_bytes: int, chunks: Sequence[ChunkPlace], now_s: int) -> bytes:
    """Return the shard that tells a client the chunks of a stored xorb."""
    header = _TAG + struct.pack("<QQ", 2, 200)
    end = _END + bytes(16)
    raw = sum(chunk.raw_bytes for chunk in chunks)
    records = [xorb + struct.pack("<IIII", 0, len(chunks), raw, body_bytes)]
    at = 0
    for chunk in chunks:
        records.append(chunk.hash + struct.pack("<IIII", at, chunk.raw_bytes, 0, 0))
        at += chunk.raw_bytes
    body = header + end + b"".join(records) + end
    place = len(body)
    footer = struct.pack("<9Q", 1, 48, 96, place, 0, place, 0, place, 0) + bytes(32)
    footer += (
        struct.pack("<2Q", now_s, _NO_EXPIRY) + bytes(48) + struct.pack("<4Q", body_bytes, 0, raw, place)
    )
    return body + footer


def _record(data: bytes, at: int) -> bytes:
    if at + _RECORD > len(data):
        raise wrong(text("The shard is cut off or too large"))
    return data[at : at + _RECORD]
