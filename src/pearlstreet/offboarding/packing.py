"""Streaming writer of a tar.gz, member by member, with a list of the members and their hashes at its end."""

from __future__ import annotations

import hashlib
import json
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Iterator

CHUNK = 1 << 20
SPOOL_BYTES = 8 << 20
"""Size up to which a member of unknown length is collected in memory; larger ones are collected on disk."""
CONTENTS = "CONTENTS.json"
LEVEL = 3


class Packer:
    """Writer of a tar.gz; each method yields bytes of the archive. Keeps at most `SPOOL_BYTES` of a member in memory."""

    def __init__(self, at_us: int) -> None:
        self._at_s = at_us // 1_000_000
        self._squeeze = zlib.compressobj(LEVEL, zlib.DEFLATED, 31)
        self._members: list[dict[str, object]] = []

    def rows(self, name: str, rows: Iterable[object]) -> Iterator[bytes]:
        """Yield a member of JSON lines, one per row."""
        return self.content(
            name, ((json.dumps(row, ensure_ascii=False, default=str) + "\n").encode() for row in rows)
        )

    def document(self, name: str, value: object) -> Iterator[bytes]:
        """Yield a member with one JSON value."""
        written = json.dumps(value, ensure_ascii=False, indent=1, default=str) + "\n"
        return self.content(name, iter([written.encode()]))

    def content(self, name: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield a member whose length is not known in advance."""
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
            for chunk in chunks:
                spool.write(chunk)
            size = spool.tell()
            spool.seek(0)
            yield from self.known(name, iter(lambda: spool.read(CHUNK), b""), size)

    def known(self, name: str, chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
        """Yield a member of `size` bytes; a shorter source is padded with zeros, a longer one is truncated."""
        info = tarfile.TarInfo(name)
        info.size, info.mtime, info.mode = size, self._at_s, 0o600
        yield self._squeeze.compress(info.tobuf(tarfile.PAX_FORMAT))
        digest, left = hashlib.sha256(), size
        for chunk in chunks:
            part = chunk[:left]
            digest.update(part)
            left -= len(part)
            yield self._squeeze.compress(part)
        while left:
            part = bytes(min(left, CHUNK))
            digest.update(part)
            left -= len(part)
            yield self._squeeze.compress(part)
        yield self._squeeze.compress(bytes(-size % tarfile.BLOCKSIZE))
        self._members.append({"name": name, "bytes": size, "sha256": digest.hexdigest()})

    def end(self) -> Iterator[bytes]:
        """Yield the list of contents and the end of the archive."""
        yield from self.document(CONTENTS, {"members": list(self._members)})
        yield self._squeeze.compress(bytes(2 * tarfile.BLOCKSIZE))
        yield self._squeeze.flush()


def in_parts(chunks: Iterator[bytes], size: int = CHUNK // 4) -> Iterator[bytes]:
    """Yield the same bytes in parts of at least `size`, because a compressor returns many empty and tiny parts."""
    waiting: list[bytes] = []
    count = 0
    for chunk in chunks:
        if chunk:
            waiting.append(chunk)
            count += len(chunk)
        if count >= size:
            yield b"".join(waiting)
            waiting, count = [], 0
    if waiting:
        yield b"".join(waiting)
