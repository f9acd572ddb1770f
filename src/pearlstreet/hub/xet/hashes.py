"""PURE hashes of Xet: keyed BLAKE3 of chunks, and Merkle trees over them for xorbs and files."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from blake3 import blake3

# Keys of the public Xet specification, as bytes.
_CHUNK_KEY = bytes.fromhex("6697f5775b9550de3135cbaca597181c9de421109beb2b58b4d0b04b93adf229")
_NODE_KEY = bytes.fromhex("017ec5c7a5472996fd946666b48a02e65ddd536f37c76dd2f86352e64a53713f")
_FILE_KEY = bytes(32)
_BRANCHING = 4
"""Mean number of children of a node."""


def chunk_hash(data: bytes | memoryview) -> bytes:
    """Return the hash of a chunk's bytes."""
    return blake3(data, key=_CHUNK_KEY).digest()


def hash_text(raw: bytes) -> str:
    """Return a hash as the protocol writes it: four little-endian 64-bit numbers in hexadecimal."""
    return "".join(raw[at : at + 8][::-1].hex() for at in range(0, 32, 8))


def hash_bytes(value: str) -> bytes:
    """Return the bytes of a hash in the protocol's notation."""
    return b"".join(bytes.fromhex(value[at : at + 16])[::-1] for at in range(0, 64, 16))


def xorb_hash(chunks: Sequence[tuple[bytes, int]]) -> bytes:
    """Return the hash of a xorb with these chunks (hash, size in bytes)."""
    level = list(chunks)
    if not level:
        return bytes(32)
    while len(level) > 1:
        above = []
        at = 0
        while at < len(level):
            end = at + _next_cut(level, at)
            above.append(_node(level[at:end]))
            at = end
        level = above
    return level[0][0]


def file_hash(chunks: Sequence[tuple[bytes, int]]) -> bytes:
    """Return the hash of a file with these chunks (hash, size in bytes)."""
    return blake3(xorb_hash(chunks), key=_FILE_KEY).digest() if chunks else bytes(32)


def is_dedup_chunk(raw: bytes) -> bool:
    """Return whether clients may ask for a chunk with this hash although it is not the first of a file."""
    return int(struct.unpack("<Q", raw[24:])[0]) % 1024 == 0


def _next_cut(level: Sequence[tuple[bytes, int]], at: int) -> int:
    left = len(level) - at
    if left <= 2:
        return left
    end = min(2 * _BRANCHING + 1, left)
    for step in range(2, end):
        if int(struct.unpack("<Q", level[at + step][0][24:])[0]) % _BRANCHING == 0:
            return step + 1
    return end


def _node(children: Sequence[tuple[bytes, int]]) -> tuple[bytes, int]:
    lines = "".join(f"{hash_text(raw)} : {size}\n" for raw, size in children)
    return blake3(lines.encode(), key=_NODE_KEY).digest(), sum(size for _, size in children)
