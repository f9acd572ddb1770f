"""A task's log on disk: beginning and end are kept; the middle of a log beyond the size limit is dropped and counted.

Files are named `RANK-OFFSET.log`, where OFFSET is the position of the file's first byte in the task's output. A gap
between two files means dropped bytes.
"""

from __future__ import annotations

import contextlib
import os

from .files import FULL

SEGMENTS = 8
"""Least number of files that hold the end of the log; at least (SEGMENTS - 1) / SEGMENTS of half the limit is kept."""
LEAST_SEGMENT_BYTES = 4096
SEGMENT_BYTES_MAX = 8 << 20
"""Size of the largest log file: the file that is being written cannot be deleted to free space."""
PIECE_BYTES = 1024
LEAST_SECRET_BYTES = 4
"""Shortest secret that is redacted; redacting shorter values would make the log unreadable."""


def segment_name(rank: int, offset: int) -> str:
    """Return the name of a log file, such as `0-00000000000000000000.log`."""
    return f"{rank}-{offset:020d}.log"


def list_segments(folder: str, rank: int) -> list[tuple[int, int, str]]:
    """Return (offset, size, path) of the kept parts of a log, in order."""
    segments = []
    prefix = f"{rank}-"
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return []
    for entry in entries:
        if entry.name.startswith(prefix) and entry.name.endswith(".log"):
            with contextlib.suppress(FileNotFoundError):
                size = entry.stat(follow_symlinks=False).st_size
                segments.append((int(entry.name[len(prefix) : -4]), size, entry.path))
    return sorted(segments)


class LogWriter:
    """Writer of a task's log. A full disk raises nothing: bytes that do not fit count as dropped."""

    def __init__(self, folder: str, rank: int, limit_bytes: int) -> None:
        self.offset = 0
        self._folder, self._rank = folder, rank
        self._head_bytes = max(limit_bytes // 2, LEAST_SEGMENT_BYTES)
        self._segment_bytes = max(min(limit_bytes // 2 // SEGMENTS, SEGMENT_BYTES_MAX), LEAST_SEGMENT_BYTES)
        self._segments = max(limit_bytes // 2 // self._segment_bytes, SEGMENTS)
        self._handle: int | None = None
        self._free_bytes = 0
        self._tail: list[str] = []

    def append(self, data: bytes) -> None:
        """Append `data` to the log."""
        view = memoryview(data)
        while view:
            try:
                if self._handle is None:
                    self._open()
                written = os.write(self._handle or 0, view[: self._free_bytes])
            except OSError as error:
                if error.errno not in FULL:
                    raise
                self._close()
                self.offset += len(view)
                return
            view = view[written:]
            self.offset += written
            self._free_bytes -= written
            if self._free_bytes <= 0:
                self._close()

    def _open(self) -> None:
        path = f"{self._folder}/{segment_name(self._rank, self.offset)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._handle = os.open(path, flags, 0o600)
        if self.offset < self._head_bytes:
            self._free_bytes = min(self._head_bytes - self.offset, SEGMENT_BYTES_MAX)
            return
        self._free_bytes = self._segment_bytes
        self._tail.append(path)
        while len(self._tail) > self._segments:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._tail.pop(0))

    def _close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def finish(self) -> None:
        """Sync the last bytes to disk and close the log."""
        if self._handle is not None:
            with contextlib.suppress(OSError):
                os.fsync(self._handle)
        self._close()


def pieces_of(secrets: list[bytes]) -> set[bytes]:
    """Return the byte strings to redact: every line of every secret, long lines in parts so that search stays cheap."""
    pieces: set[bytes] = set()
    for secret in secrets:
        for line in secret.splitlines():
            parts = [line[at : at + PIECE_BYTES] for at in range(0, len(line), PIECE_BYTES)]
            pieces.update(part for part in parts if len(part) >= LEAST_SECRET_BYTES)
    return pieces


class Redactor:
    """Redaction of secrets in a stream, by as many asterisks, so that offsets do not change."""

    def __init__(self, secrets: list[bytes]) -> None:
        self._pieces = sorted(pieces_of(secrets), key=len, reverse=True)
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Return the redacted bytes that may be written now; a possible beginning of a secret at the end is held back."""
        if not self._pieces:
            return data
        data = self._held + data
        for piece in self._pieces:
            data = data.replace(piece, b"*" * len(piece))
        keep = max(self._begun(data, piece) for piece in self._pieces)
        self._held = data[len(data) - keep :] if keep else b""
        return data[: len(data) - keep] if keep else data

    @staticmethod
    def _begun(data: bytes, piece: bytes) -> int:
        """Return the number of bytes at the end of `data` that may be the beginning of `piece`."""
        tail = data[-(len(piece) - 1) :]
        place = tail.find(piece[:1])
        while place >= 0:
            if piece.startswith(tail[place:]):
                return len(tail) - place
            place = tail.find(piece[:1], place + 1)
        return 0

    def rest(self) -> bytes:
        """Return the bytes held back, at the end of the stream."""
        held, self._held = self._held, b""
        return held
