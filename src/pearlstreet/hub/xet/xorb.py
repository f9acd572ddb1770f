"""PURE xorbs: compressed chunks one behind the other, each with a header of 8 bytes, and our index of them."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from lz4.frame import LZ4FrameDecompressor

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import Text, text
from pearlstreet.hub.xet.hashes import chunk_hash, xorb_hash

XORB_BYTES_MAX = 64 << 20
CHUNK_BYTES_MAX = 128 << 10
CHUNKS_MAX = 8 << 10
"""Maximum number of chunks of a xorb; `CHUNK_BYTES_MAX`: of the bytes of a chunk, before compression."""
_HEADER = 8
_FOOTER_MARK = b"XETBLOB"
"""First bytes of the footer that some clients send behind the chunks; it is not stored."""
_INDEX = struct.Struct("<32sII")


@dataclass(frozen=True, slots=True)
class ChunkPlace:
    """One chunk of a stored xorb."""

    hash: bytes
    start: int
    end: int
    """Bytes of the xorb's body with its header and compressed data."""
    raw_bytes: int


@dataclass(frozen=True, slots=True)
class ParsedXorb:
    """A verified xorb."""

    hash: bytes
    body_bytes: int
    chunks: Sequence[ChunkPlace]


def parse_xorb(body: memoryview) -> ParsedXorb:
    """Return the chunks of a xorb after recomputing every hash. Raises InvalidInput for anything that is not one."""
    chunks = []
    at = 0
    while at < len(body) and bytes(body[at : at + 7]) != _FOOTER_MARK:
        end, raw = read_chunk(body, at)
        chunks.append(ChunkPlace(chunk_hash(raw), at, end, len(raw)))
        if len(chunks) > CHUNKS_MAX:
            raise wrong(text("The xorb has more than {most} chunks", most=CHUNKS_MAX))
        at = end
    if not chunks:
        raise wrong(text("The xorb has no chunks"))
    return ParsedXorb(xorb_hash([(chunk.hash, chunk.raw_bytes) for chunk in chunks]), at, chunks)


def read_chunk(body: memoryview, at: int) -> tuple[int, bytes]:
    """Return the end of the chunk that begins at a place, and its bytes. Raises InvalidInput; unpacks at most one chunk."""
    header = bytes(body[at : at + _HEADER])
    if len(header) < _HEADER or header[0] != 0:
        raise wrong(text("A chunk of the xorb has a wrong header"))
    packed = int.from_bytes(header[1:4], "little")
    raw_bytes = int.from_bytes(header[5:8], "little")
    end = at + _HEADER + packed
    if not 0 < raw_bytes <= CHUNK_BYTES_MAX or packed > 2 * CHUNK_BYTES_MAX or end > len(body):
        raise wrong(text("A chunk of the xorb has a wrong length"))
    raw = _unpack(header[4], body[at + _HEADER : end], raw_bytes)
    if len(raw) != raw_bytes:
        raise wrong(text("A chunk of the xorb has another length than its header says"))
    return end, raw


def _unpack(scheme: int, data: memoryview, raw_bytes: int) -> bytes:
    if scheme == 0:
        return bytes(data)
    if scheme not in (1, 2):
        raise wrong(text("A chunk of the xorb is compressed in an unknown way"))
    try:
        unpacker = LZ4FrameDecompressor()
        raw = bytes(unpacker.decompress(data, max_length=raw_bytes + 1))
    except (RuntimeError, ValueError, EOFError, MemoryError):
        raise wrong(text("A chunk of the xorb cannot be unpacked")) from None
    if len(raw) != raw_bytes:
        raise wrong(text("A chunk of the xorb has another length than its header says"))
    return raw if scheme == 1 else _ungroup(raw)


def _ungroup(grouped: bytes) -> bytes:
    """Return the bytes in their order; they were grouped by their place modulo 4, which compresses numbers better."""
    data = np.frombuffer(grouped, np.uint8)
    result = np.empty_like(data)
    at = 0
    for group in range(4):
        count = (len(data) - group + 3) // 4
        result[group::4] = data[at : at + count]
        at += count
    return result.tobytes()


def encode_index(xorb: ParsedXorb) -> bytes:
    """Return the index that is stored behind the body of a xorb."""
    return b"".join(_INDEX.pack(chunk.hash, chunk.end, chunk.raw_bytes) for chunk in xorb.chunks)


def decode_index(data: bytes) -> list[ChunkPlace]:
    """Return the chunks of a stored index."""
    places = []
    start = 0
    for raw_hash, end, raw_bytes in _INDEX.iter_unpack(data):
        places.append(ChunkPlace(raw_hash, start, end, raw_bytes))
        start = end
    return places


def unpack_range(body: memoryview, count: int) -> Iterator[bytes]:
    """Yield the bytes of `count` chunks."""
    at = 0
    for _ in range(count):
        at, raw = read_chunk(body, at)
        yield raw


def wrong(message: Text) -> InvalidInput:
    """Return the error for an upload that is not what it says."""
    return InvalidInput(message, problems=[Problem("body", message)])
