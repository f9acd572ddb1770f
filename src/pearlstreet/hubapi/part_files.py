"""Files of uploads in parts: each part is written at its place in one file and hashed while it arrives in order.

`complete` publishes the file without reading it again if all parts came in order from the start; it reads on from the first that
did not, and from the beginning after a restart or when a part was sent twice. A lock on the file keeps a part that is still
arriving from changing bytes that were verified.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pearlstreet.base.errors import Conflict
from pearlstreet.base.text import text
from pearlstreet.objects.model import Blob

if TYPE_CHECKING:
    from hashlib import _Hash

PIECE_BYTES = 1 << 20
UPLOADS_MAX = 1000
"""Uploads whose hash is kept in memory; older ones are read again when they are complete."""


@dataclass
class _Hashed:
    """SHA-256 of the parts before `following`; None: they must be read again."""

    digest: _Hash | None = field(default_factory=hashlib.sha256)
    following: int = 1
    arriving: set[int] = field(default_factory=set)


class PartHashes:
    """Hashes of the unfinished uploads of this process."""

    def __init__(self) -> None:
        self._uploads: OrderedDict[Path, _Hashed] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, file: Path, number: int) -> _Hash | None:
        """Note that a part begins to arrive; return the hash to continue, None if it is not the next one."""
        with self._lock:
            if number == 1 and file not in self._uploads and not file.exists():
                self._uploads[file] = _Hashed()
                while len(self._uploads) > UPLOADS_MAX:
                    self._uploads.popitem(last=False)
            known = self._uploads.get(file)
            if known is None:
                return None
            if number < known.following or number in known.arriving:
                known.digest = None
            known.arriving.add(number)
            in_order = known.digest is not None and number == known.following
            return known.digest.copy() if in_order and known.digest else None

    def end(self, file: Path, number: int, digest: _Hash | None) -> None:
        """Note that a part has arrived, with the hash up to its end; None: it was not hashed, or did not arrive whole."""
        with self._lock:
            known = self._uploads.get(file)
            if known is None:
                return
            known.arriving.discard(number)
            if digest is not None and known.digest is not None and number == known.following:
                known.digest, known.following = digest, number + 1

    def take(self, file: Path) -> tuple[_Hash, int]:
        """Return and forget the hash of an upload and the number of the first part that it does not cover."""
        with self._lock:
            known = self._uploads.pop(file, None)
        if known is None or known.digest is None:
            return hashlib.sha256(), 1
        return known.digest, known.following


class PartWriter:
    """Writes one part at its place and hashes it if all parts before it are hashed."""

    def __init__(self, descriptor: int, at: int, digest: _Hash | None) -> None:
        self._descriptor = descriptor
        self._at = at
        self.digest = digest

    def write(self, data: bytes) -> None:
        """Write the next bytes of the part."""
        rest = memoryview(data)
        while rest:
            count = os.pwrite(self._descriptor, rest, self._at)
            self._at += count
            rest = rest[count:]
        if self.digest is not None:
            self.digest.update(data)


@contextlib.contextmanager
def open_part(hashes: PartHashes, file: Path, number: int, part_bytes: int) -> Iterator[PartWriter]:
    """Yield the writer of a part. The part counts as arrived if the block ends well. Raises Conflict while it is completed."""
    digest = hashes.begin(file, number)
    whole = False
    try:
        with _locked(file, fcntl.LOCK_SH, os.O_RDWR | os.O_CREAT) as descriptor:
            mark = _mark(file, number)
            mark.unlink(missing_ok=True)
            writer = PartWriter(descriptor, (number - 1) * part_bytes, digest)
            yield writer
            mark.touch(mode=0o600)
            whole = True
    finally:
        hashes.end(file, number, digest if whole else None)


def absent_parts(file: Path, count: int) -> list[int]:
    """Return the numbers of the parts that have not arrived."""
    return [number for number in range(1, count + 1) if not _mark(file, number).exists()]


def publish(
    hashes: PartHashes,
    file: Path,
    size: int,
    part_bytes: int,
    keep: Callable[[Path, Blob], None],
    expected: str,
) -> str:
    """Give a file with all its parts to `keep` if its SHA-256 is the expected one; return the SHA-256.

    The parts stay if it is another, so that only wrong ones are sent again. Raises Conflict while a part is being written.
    """
    with _locked(file, fcntl.LOCK_EX, os.O_RDWR) as descriptor:
        digest, following = hashes.take(file)
        at = (following - 1) * part_bytes
        while at < size and (piece := os.pread(descriptor, min(PIECE_BYTES, size - at), at)):
            digest.update(piece)
            at += len(piece)
        found = digest.hexdigest()
        if found != expected or os.fstat(descriptor).st_size != size:
            return found
        keep(file, Blob(found, size))
        file.unlink(missing_ok=True)
        for number in range(1, -(-size // part_bytes) + 1):
            _mark(file, number).unlink(missing_ok=True)
    return found


@contextlib.contextmanager
def _locked(file: Path, kind: int, flags: int) -> Iterator[int]:
    """Open the file under its name with a lock. Raises Conflict if another holds one against it, or the file is gone."""
    busy = Conflict(text("Parts of this file are arriving, or it is being completed; send them again"))
    try:
        descriptor = os.open(file, flags, 0o600)
    except FileNotFoundError:
        raise busy from None
    try:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            is_named = os.path.samestat(os.fstat(descriptor), file.stat())
        except (BlockingIOError, FileNotFoundError):
            raise busy from None
        if not is_named:
            raise busy
        yield descriptor
    finally:
        os.close(descriptor)


def _mark(file: Path, number: int) -> Path:
    """Return the empty file that says that a part has arrived."""
    return file.with_name(f"{file.name}.{number:05d}")
