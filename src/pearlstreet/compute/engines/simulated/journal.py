"""Journal of the simulated cluster: an append-only file of JSON lines that survives a crash of the server."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.text import text

VERSION = 1


class Journal:
    """Append-only file that one engine at a time may open. Threads may append; one sync covers all earlier appends."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigurationError when another engine holds it."""
        self._path = path
        self._write_lock = threading.Lock()
        self._sync_lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = _open(path)
        self._lines = 0
        self._written = 0
        self._synced = 0

    @property
    def lines(self) -> int:
        """The number of lines in the file."""
        return self._lines

    def load(self) -> list[Mapping[str, Any]]:
        """Return all records, oldest first, and remove an incomplete last line, which was never acknowledged.

        Raises ConfigurationError if any other line cannot be read.
        """
        content = self._path.read_bytes()
        end = content.rfind(b"\n") + 1
        if end != len(content):
            os.ftruncate(self._descriptor, end)
        records = []
        for number, line in enumerate(content[:end].splitlines(), start=1):
            try:
                records.append(json.loads(line))
            except ValueError:
                raise ConfigurationError(
                    text("Line {line} of {path} is damaged", line=number, path=str(self._path)),
                    hint=text(
                        "Restore the file from a backup, or move it away to start with an empty cluster"
                    ),
                ) from None
        if records and records[0].get("version") != VERSION:
            raise ConfigurationError(
                text("{path} was not written by this version of the simulated engine", path=str(self._path))
            )
        self._lines = len(records)
        return records

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record; `sync` makes it durable. Raises OSError with nothing written (a full disk)."""
        line = _encode(record)
        with self._write_lock:
            size = os.fstat(self._descriptor).st_size
            try:
                _write_all(self._descriptor, line)
            except OSError:
                os.ftruncate(self._descriptor, size)
                raise
            self._lines += 1
            self._written += 1

    def sync(self) -> None:
        """Sync all appended records to disk. Raises OSError."""
        wanted = self._written
        with self._sync_lock:
            if self._synced >= wanted:
                return
            reached = self._written
            os.fdatasync(self._descriptor)
            self._synced = reached

    def rewrite(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Replace the whole content atomically: after a crash either the old or the new file exists.

        Raises OSError; the old file then stays in use.
        """
        with self._sync_lock, self._write_lock:
            fresh = self._path.with_name(self._path.name + ".new")
            fresh.unlink(missing_ok=True)
            descriptor = _open(fresh)
            lines = 0
            try:
                for record in records:
                    _write_all(descriptor, _encode(record))
                    lines += 1
                os.fsync(descriptor)
                fresh.replace(self._path)
                _sync_folder(self._path.parent)
            except OSError:
                os.close(descriptor)
                raise
            os.close(self._descriptor)
            self._descriptor, self._lines, self._synced = descriptor, lines, self._written

    def close(self) -> None:
        """Close the file."""
        with self._sync_lock, self._write_lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
            self._descriptor = -1


def _open(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise ConfigurationError(
            text("{path} is in use by another simulated engine", path=str(path)),
            hint=text("Stop the other server, or give this one its own data folder"),
        ) from None
    return descriptor


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _encode(record: Mapping[str, object]) -> bytes:
    return json.dumps(record, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
