"""Content-addressed files: the name of a blob is the SHA-256 of its bytes, so it is written once and never changes."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pearlstreet.base.errors import NotFound, TooLarge, Unavailable
from pearlstreet.base.text import text
from pearlstreet.base.units import format_bytes

CHUNK = 1 << 20
FREE_BYTES_MIN = 256 << 20
"""Minimum free space in bytes: below it uploads are refused, since the database is on the same disk."""
HOLE_BYTES_MIN = 4096
"""Minimum length in bytes of a chunk of zeros that is written as a hole, so that sparse files stay sparse."""
_ZEROS = bytes(CHUNK)
_NAME = re.compile(r"^[0-9a-f]{64}$")


@dataclass(frozen=True, slots=True)
class Blob:
    """Digest (hexadecimal SHA-256) and size of a stored file."""

    sha256: str
    size_bytes: int


class Blobs:
    """A folder of blobs, safe for many threads and processes. A crash leaves at most a stray file in `tmp`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._tmp = root / "tmp"
        self._tmp.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        """Return the path of a blob. Raises NotFound if it is not stored."""
        path = self._place(sha256)
        if not path.is_file():
            raise NotFound(text("The file {sha256} is not kept here any more", sha256=sha256[:12]))
        return path

    def keep(self, chunks: Iterable[bytes], name: str, *, limit_bytes: int) -> Blob:
        """Store a stream as a blob, which is on disk when this returns.

        Raises TooLarge, or Unavailable if the disk is full; then nothing is stored.
        """
        temporary = self._tmp / name
        digest, size = hashlib.sha256(), 0
        try:
            with temporary.open("wb") as file:
                for chunk in chunks:
                    size += len(chunk)
                    if size > limit_bytes:
                        raise TooLarge(
                            text("The file is larger than {limit}", limit=format_bytes(limit_bytes))
                        )
                    self._check_space()
                    digest.update(chunk)
                    if _is_hole(chunk):
                        file.seek(len(chunk), os.SEEK_CUR)
                    else:
                        file.write(chunk)
                file.truncate(size)
                file.flush()
                os.fsync(file.fileno())
            self._publish(temporary, digest.hexdigest())
        except OSError as error:
            raise Unavailable(
                text("The file could not be kept: {problem}", problem=error.strerror or str(error)),
                hint=text("Free space on the data folder's disk, then repeat the command"),
                retry_after_s=30,
            ) from error
        finally:
            temporary.unlink(missing_ok=True)
        return Blob(digest.hexdigest(), size)

    def read(self, sha256: str) -> Iterator[bytes]:
        """Yield the bytes of a blob in chunks. Raises NotFound."""
        with self.path(sha256).open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk

    def _place(self, sha256: str) -> Path:
        if not _NAME.match(sha256):
            raise NotFound(text("{sha256} does not name a file", sha256=sha256[:80]))
        return self._root / sha256[:2] / sha256

    def _publish(self, temporary: Path, sha256: str) -> None:
        target = self._place(sha256)
        target.parent.mkdir(mode=0o700, exist_ok=True)
        temporary.replace(target)
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _check_space(self) -> None:
        if shutil.disk_usage(self._root).free < FREE_BYTES_MIN:
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
