"""Xorbs and shards that lie are refused before anything is stored."""

from __future__ import annotations

import lz4.frame
import pytest

from pearlstreet.base.errors import InvalidInput
from pearlstreet.hub.xet.hashes import chunk_hash, file_hash, hash_bytes, hash_text, xorb_hash
from pearlstreet.hub.xet.service import is_covered
from pearlstreet.hub.xet.shard import build_dedup_shard, parse_shard
from pearlstreet.hub.xet.xorb import CHUNK_BYTES_MAX, decode_index, encode_index, parse_xorb


def chunk(data: bytes, scheme: int = 0, packed: bytes | None = None, says: int | None = None) -> bytes:
    body = data if packed is None else packed
    length = len(data) if says is None else says
    return (
        bytes([0]) + len(body).to_bytes(3, "little") + bytes([scheme]) + length.to_bytes(3, "little") + body
    )


def test_chunks_of_all_three_kinds_are_read_and_hashed() -> None:
    data = bytes(range(256)) * 9 + b"xyz"
    grouped = b"".join(data[at::4] for at in range(4))
    body = (
        chunk(data) + chunk(data, 1, lz4.frame.compress(data)) + chunk(data, 2, lz4.frame.compress(grouped))
    )
    xorb = parse_xorb(memoryview(body + b"XETBLOB and a footer"))
    assert {place.hash for place in xorb.chunks} == {chunk_hash(data)}
    assert xorb.body_bytes == len(body) and xorb.hash == xorb_hash([(chunk_hash(data), len(data))] * 3)
    assert decode_index(encode_index(xorb)) == list(xorb.chunks)


@pytest.mark.parametrize(
    "body",
    [
        b"\0",
        b"\1" + chunk(b"data")[1:],
        chunk(b"data")[:-1],
        chunk(b"data", says=3),
        chunk(b"data", 3),
        chunk(b"", says=0),
        chunk(b"data", 1, b"no LZ4"),
        chunk(b"", 1, lz4.frame.compress(bytes(64 << 20)), says=CHUNK_BYTES_MAX),
        chunk(b"", 1, lz4.frame.compress(bytes(CHUNK_BYTES_MAX)), says=CHUNK_BYTES_MAX + 1),
        chunk(b"", 1, lz4.frame.compress(b"abc"), says=4),
    ],
)
def test_a_wrong_or_bursting_chunk_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_xorb(memoryview(body))


def test_hashes_are_written_and_read_back_as_numbers() -> None:
    raw = bytes(range(32))
    assert hash_text(raw)[:16] == "0706050403020100" and hash_bytes(hash_text(raw)) == raw
    assert file_hash([]) == bytes(32) and file_hash([(raw, 5)]) != xorb_hash([(raw, 5)]) == raw


def test_shards_are_parsed_within_their_bounds() -> None:
    data = build_dedup_shard(bytes(32), 10, parse_xorb(memoryview(chunk(b"data"))).chunks, 1)
    assert parse_shard(data) == []
    for cut in (0, 20, 50, 90):
        with pytest.raises(InvalidInput):
            parse_shard(data[:cut])


def test_grants_must_cover_every_chunk() -> None:
    assert is_covered([(5, 9), (0, 5)], 1, 9)
    assert not is_covered([(0, 4), (5, 9)], 1, 9)
    assert not is_covered([], 0, 1)
