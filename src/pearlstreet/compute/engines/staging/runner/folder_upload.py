"""Puts a file into a blob folder: a clone where the file system has them, a hard link if nobody can write to the file, else a copy.

A blob folder has each file under the first two digits of its SHA-256 and then all of them; unfinished files are in `tmp`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import stat

UNFINISHED = "tmp"
"""Folder of unfinished files in a blob folder."""
COPY_BYTES = 1 << 20
HOLE_BYTES_MIN = 4096
"""Length from which a piece of zeros is written as a hole, so that sparse files stay sparse."""
FREE_BYTES_MIN = 256 << 20
"""Free space in bytes below which nothing is copied, since the center's database may be on the same disk."""
SPACE_EVERY = 64
"""Pieces of a copy after which free space is checked again."""
FICLONE = 0x40049409
"""ioctl that makes a file share the blocks of another one (XFS, btrfs)."""
_ZEROS = bytes(COPY_BYTES)


class Changed(OSError):
    """Raised if a file is not what it was when it was listed."""

    def __init__(self) -> None:
        super().__init__(0, "it changed while it was stored")


class BlobFolder:
    """A folder of blobs on a file system that this process reaches. `name`: prefix of its unfinished files, unique to this process."""

    def __init__(self, root: str, name: str) -> None:
        self._root, self._name, self._count = root, name, 0

    def put(self, handle: int, size_bytes: int, *, may_link: bool, expected: str = "") -> tuple[str, int]:
        """Store the first `size_bytes` of an open file and return its SHA-256 and size, at most that. It is durable then.

        `may_link`: no process of a tenant runs that could know the file. `expected`: SHA-256 that it must have. Raises OSError.
        """
        self._count += 1
        temporary = os.path.join(self._root, UNFINISHED, f"{self._name}-{self._count}")
        try:
            sha256, size = self._fill(handle, temporary, size_bytes, may_link)
            if expected and sha256 != expected:
                raise Changed
            self._publish(temporary, sha256)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
        return sha256, size

    def has(self, sha256: str, size_bytes: int) -> bool:
        """Return whether a blob is stored; if so, garbage collection counts it as new."""
        path = self._place(sha256)
        try:
            os.utime(path)
            return os.stat(path).st_size == size_bytes
        except FileNotFoundError:
            return False

    def _fill(self, handle: int, temporary: str, size_bytes: int, may_link: bool) -> tuple[str, int]:
        is_whole = os.fstat(handle).st_size == size_bytes and size_bytes > 0
        if is_whole and _clone(handle, temporary):
            with open(temporary, "rb") as clone:
                return digest_of(clone.fileno(), size_bytes)
        if is_whole and may_link and _seal(handle):
            found = digest_of(handle, size_bytes)
            os.utime(handle)
            os.fsync(handle)
            if _link(handle, temporary):
                return found
        return _copy(handle, temporary, size_bytes)

    def _publish(self, temporary: str, sha256: str) -> None:
        target = self._place(sha256)
        with contextlib.suppress(FileExistsError):
            os.mkdir(os.path.dirname(target), 0o700)
        os.rename(temporary, target)
        folder = os.open(os.path.dirname(target), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _place(self, sha256: str) -> str:
        return f"{self._root}/{sha256[:2]}/{sha256}"


def _clone(handle: int, temporary: str) -> bool:
    out = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.ioctl(out, FICLONE, handle)
        os.fsync(out)
    except OSError:
        os.unlink(temporary)
        return False
    finally:
        os.close(out)
    return True


def _seal(handle: int) -> bool:
    """Take a file away from its user, and return whether nobody but this process' user can write to it any more.

    That needs root, another owner, a single name and no open writer (a read lease is granted only then): a second name or an open
    descriptor would let a later job of the tenant change the blob. Mode and owner change before the lease is asked for, so that
    it cannot be opened for writing in between.
    """
    before = os.fstat(handle)
    if os.geteuid() != 0 or before.st_uid == os.geteuid() or before.st_nlink != 1:
        return False
    try:
        os.fchown(handle, os.geteuid(), os.getegid())
        os.fchmod(handle, 0o600)
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return False
    return os.fstat(handle).st_nlink == 1


def _link(handle: int, temporary: str) -> bool:
    try:
        # With a folder's descriptor Python calls linkat, which follows the link in /proc to the open file itself.
        os.link(f"/proc/self/fd/{handle}", temporary, src_dir_fd=handle, follow_symlinks=True)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOENT):
            return False  # another file system, or one without links
        raise
    return True


def digest_of(handle: int, size_bytes: int) -> tuple[str, int]:
    """Return the SHA-256 of the first `size_bytes` of an open file, and how many there were. Raises OSError."""
    digest, at = hashlib.sha256(), 0
    while data := os.pread(handle, min(COPY_BYTES, size_bytes - at), at):
        digest.update(data)
        at += len(data)
    return digest.hexdigest(), at


def _copy(handle: int, temporary: str, size_bytes: int) -> tuple[str, int]:
    digest, at, count = hashlib.sha256(), 0, 0
    out = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        while data := os.pread(handle, min(COPY_BYTES, size_bytes - at), at):
            if count % SPACE_EVERY == 0 and shutil.disk_usage(temporary).free < FREE_BYTES_MIN:
                raise OSError(errno.ENOSPC, "the disk is nearly full")
            count += 1
            digest.update(data)
            if not _is_hole(data):
                written = 0
                while written < len(data):
                    written += os.pwrite(out, data[written:], at + written)
            at += len(data)
        os.ftruncate(out, at)
        os.fsync(out)
    finally:
        os.close(out)
    return digest.hexdigest(), at


def _is_hole(data: bytes) -> bool:
    return HOLE_BYTES_MIN <= len(data) <= COPY_BYTES and data[0] == 0 and data == _ZEROS[: len(data)]


def is_same(before: os.stat_result, after: os.stat_result) -> bool:
    """Return whether a file has not changed between two looks; ctime is the kernel's and cannot be set by a program."""
    return (
        before.st_ctime_ns,
        before.st_size,
        before.st_ino,
        before.st_dev,
        stat.S_IFMT(before.st_mode),
    ) == (
        after.st_ctime_ns,
        after.st_size,
        after.st_ino,
        after.st_dev,
        stat.S_IFMT(after.st_mode),
    )
