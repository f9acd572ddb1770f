"""Small files that two processes share: atomic JSON files and locks that end with their process."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import struct
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FLOCK = "hhxxxxqqixxxx"
"""Format of struct flock on 64-bit Linux: l_type, l_whence, l_start, l_len, l_pid."""


def text(template: str, /, **params: object) -> dict[str, object]:
    """Return the JSON form of a `base.text.Text`, which this process cannot import."""
    return {"template": template, "params": params}


def write_json(folder: str, name: str, value: object, *, sync: bool = True, fresh: bool = False) -> None:
    """Write `value` atomically as folder/name. `fresh`: raise FileExistsError if the file exists."""
    final = f"{folder}/{name}"
    partial = f"{folder}/.{name}.{os.getpid()}.{time.monotonic_ns():x}"
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            data = json.dumps(value, separators=(",", ":")).encode()
            while data:
                data = data[os.write(handle, data) :]
            if sync:
                os.fsync(handle)
        finally:
            os.close(handle)
        if fresh:
            os.link(partial, final)
        else:
            os.rename(partial, final)
            partial = ""
    finally:
        if partial:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(partial)
    if sync:
        sync_folder(folder)


def sync_folder(folder: str) -> None:
    """Sync a folder, so that the names of its files survive a power failure."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_json(folder: str, name: str) -> dict[str, Any] | None:
    """Return the object that `write_json` wrote, or None if it is missing or not valid JSON (never completed)."""
    try:
        with open(f"{folder}/{name}", "rb") as file:
            value = json.loads(file.read())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def hold_lock(path: str, wait_s: float) -> int | None:
    """Take the write lock on `path` and return its descriptor; None if another process holds it for `wait_s`.

    The lock ends when the last copy of the descriptor is closed.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.fcntl(handle, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES) or time.monotonic() >= deadline:
                os.close(handle)
                return None
            time.sleep(0.01)
        else:
            return handle


def is_locked(path: str) -> bool:
    """Return whether a process holds the lock. Does not take the lock, which could make a starting process give up."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        request = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        answer = struct.unpack(_FLOCK, fcntl.fcntl(handle, fcntl.F_OFD_GETLK, request))
    finally:
        os.close(handle)
    return bool(answer[0] != fcntl.F_UNLCK)
