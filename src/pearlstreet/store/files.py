"""Safe access to files below a folder, opened component by component without following links, and durable writes.

Names are checked by `base.paths.safe_relative` first. As a second protection the system call refuses a link that a
tenant's program puts in place between check and use.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO

from pearlstreet.base.errors import NotFound, TooLarge, Unavailable
from pearlstreet.base.paths import safe_relative
from pearlstreet.base.rng import Rng
from pearlstreet.base.text import text

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO, errno.EISDIR)
_FULL = (errno.ENOSPC, errno.EDQUOT)
CHUNK = 1 << 20


def open_beneath(root: Path, name: str | PurePosixPath) -> IO[bytes]:
    """Open a regular file below `root` for reading.

    Raises NotFound when it does not exist or is no regular file, InvalidInput for a name that leaves `root`.
    """
    path = safe_relative(str(name))
    with _parent(root, path) as folder:
        try:
            descriptor = os.open(path.name, _READ, dir_fd=folder)
        except OSError as error:
            raise _translated(error, path) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotFound(text("{path} is not a file", path=str(path)))
    return os.fdopen(descriptor, "rb")


def create_beneath(root: Path, name: str | PurePosixPath, *, mode: int = 0o600) -> IO[bytes]:
    """Create a file below `root`, with missing folders, and open it for writing. Raises FileExistsError if it exists."""
    path = safe_relative(str(name))
    with _parent(root, path, make=True) as folder:
        try:
            descriptor = os.open(path.name, _CREATE, mode, dir_fd=folder)
        except FileExistsError:
            raise
        except OSError as error:
            raise _translated(error, path) from error
    return os.fdopen(descriptor, "wb")


def write_atomic(path: Path, data: bytes, rng: Rng, *, mode: int = 0o600) -> None:
    """Write `data` to `path` atomically and durably: after a crash the file has either the old or the new content.

    Raises Unavailable when the disk is full, and then leaves no temporary file.
    """
    temporary = path.with_name(f".{path.name[:100]}.{rng.token_bytes(8).hex()}")
    try:
        descriptor = os.open(temporary, _CREATE, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise _translated(error, PurePosixPath(path.name)) from error
    sync_folder(path.parent)


def copy_limited(source: IO[bytes], target: IO[bytes], limit: int) -> int:
    """Copy a stream of at most `limit` bytes, sync it to disk and return its length. Raises TooLarge, Unavailable."""
    count = 0
    try:
        while chunk := source.read(CHUNK):
            count += len(chunk)
            if count > limit:
                raise TooLarge(text("The file is larger than {limit} bytes", limit=f"{limit:,}"))
            target.write(chunk)
        target.flush()
        os.fsync(target.fileno())
    except OSError as error:
        raise _translated(error, PurePosixPath(".")) from error
    return count


def sync_folder(folder: Path) -> None:
    """Sync a folder to disk, so that new names in it survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _parent(root: Path, path: PurePosixPath, *, make: bool = False) -> Iterator[int]:
    """Open the folder that contains `path`, one component at a time from `root`, and yield its descriptor."""
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in path.parts[:-1]:
            below = _step(here, part, path, make=make)
            os.close(here)
            here = below
        yield here
    finally:
        os.close(here)


def _step(here: int, part: str, path: PurePosixPath, *, make: bool) -> int:
    try:
        if make:
            with suppress(FileExistsError):
                os.mkdir(part, 0o700, dir_fd=here)
        return os.open(part, _FOLDER, dir_fd=here)
    except OSError as error:
        raise _translated(error, path) from error


def _translated(error: OSError, path: PurePosixPath) -> Exception:
    if error.errno in _FULL:
        return Unavailable(text("The disk is full"), retry_after_s=60)
    if error.errno in _GONE:
        return NotFound(text("There is no file {path}", path=str(path)))
    return error
