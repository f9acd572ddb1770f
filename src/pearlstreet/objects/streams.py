"""Digests of streams: on the way into a file, and on the way out of a store."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from pearlstreet.base.errors import TooLarge, Unavailable
from pearlstreet.base.text import text
from pearlstreet.base.units import format_bytes
from pearlstreet.objects.model import CHUNK, Blob, damaged

FREE_BYTES_MIN = 256 << 20
"""Minimum free space in bytes: below it files are refused, since the database is on the same disk."""
HOLE_BYTES_MIN = 4096
"""Minimum length in bytes of a chunk of zeros that is written as a hole, so that sparse files stay sparse."""
_ZEROS = bytes(CHUNK)


def write_file(chunks: Iterable[bytes], path: Path, *, limit_bytes: int) -> Blob:
    """Write a stream to a new file, which is on disk when this returns.

    Raises TooLarge, Unavailable if the disk is (nearly) full, OSError. The caller deletes the file.
    """
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        for chunk in chunks:
            size += len(chunk)
            if size > limit_bytes:
                raise TooLarge(text("The file is larger than {limit}", limit=format_bytes(limit_bytes)))
            _check_space(path.parent)
            digest.update(chunk)
            if _is_hole(chunk):
                file.seek(len(chunk), os.SEEK_CUR)
            else:
                file.write(chunk)
        file.truncate(size)
        file.flush()
        os.fsync(file.fileno())
    return Blob(digest.hexdigest(), size)


def move_file(source: Path, target: Path) -> None:
    """Move a file, whose bytes are on disk when this returns; between file systems it is copied.

    Raises Unavailable if the disk is (nearly) full, OSError. The caller deletes the target.
    """
    _check_space(target.parent)
    shutil.move(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())


def not_written(error: OSError) -> Unavailable:
    """Return the error for a file that could not be written."""
    return Unavailable(
        text("The file could not be kept: {problem}", problem=error.strerror or str(error)),
        hint=text("Free space on the data folder's disk, then repeat the command"),
        retry_after_s=30,
    )


def verified(chunks: Iterable[bytes], sha256: str) -> Iterator[bytes]:
    """Yield the chunks; the last one only if the digest of all is right. Raises Unavailable otherwise."""
    digest = hashlib.sha256()
    waiting = b""
    for chunk in chunks:
        if waiting:
            yield waiting
        digest.update(chunk)
        waiting = chunk
    if digest.hexdigest() != sha256:
        raise damaged(sha256)
    if waiting:
        yield waiting


def _check_space(folder: Path) -> None:
    if shutil.disk_usage(folder).free < FREE_BYTES_MIN:
        raise Unavailable(
            text("The data folder's disk is nearly full; nothing was kept"),
            hint=text("Free space on the data folder's disk, then repeat the command"),
            retry_after_s=60,
        )


def _is_hole(chunk: bytes) -> bool:
    """Return whether a chunk is all zeros and long enough for a hole.

    It compares memory, because counting bytes would cost as much as the digest.
    """
    return HOLE_BYTES_MIN <= len(chunk) <= CHUNK and chunk[0] == 0 and chunk == _ZEROS[: len(chunk)]
