"""Counts what an attempt holds on disk: bytes and files. Standard library only: the supervisor runs this."""

from __future__ import annotations

import errno
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BYTES_PER_FILE = 16_384
"""Bytes of the disk limit for each file that may be made: ext4 makes one inode for so many bytes (mke2fs.conf, inode_ratio)."""
FILES_MIN = 100_000
"""Files that every attempt may make, however small its disk limit: packages and caches have many small ones."""
BLOCK_BYTES = 512
"""Unit of st_blocks (stat(2))."""


def files_limit(disk_bytes: int) -> int:
    """How many files, folders and links an attempt with this disk limit may have."""
    return max(FILES_MIN, disk_bytes // BYTES_PER_FILE)


class DiskCount:
    """What a walk over folders found. Counting ends soon after a limit is passed, so totals beyond it are lower bounds."""

    __slots__ = ("allocated_bytes", "counted_bytes", "files", "is_too_deep", "sparse_bytes", "sparse_path")

    def __init__(self) -> None:
        self.counted_bytes = 0
        """Bytes that count: allocated ones, and of each output file its apparent size where that is larger."""
        self.allocated_bytes = 0
        self.files = 0
        """Files, folders and links."""
        self.is_too_deep = False
        """A folder is nested so deeply that it cannot be opened."""
        self.sparse_path = ""
        """Path, from the outputs folder, of the output with the most bytes that are not allocated; empty: none has any."""
        self.sparse_bytes = 0
        """Apparent size of that output."""


class DiskWalk:
    """Walks folders and counts; never follows links."""

    def __init__(self, bytes_max: int, files_max: int) -> None:
        self.count = DiskCount()
        self._bytes_max, self._files_max = bytes_max, files_max
        self._seen: set[int] = set()
        self._most_missing = 0

    @property
    def is_over(self) -> bool:
        """Whether a limit is passed."""
        return self.count.counted_bytes > self._bytes_max or self.count.files > self._files_max

    def add(self, folders: list[str], *, outputs: bool = False) -> None:
        """Count everything beneath `folders`. `outputs`: files there are kept, each name as large as it appears.

        Walk outputs first: a file that also has a name elsewhere then counts only there.
        """
        waiting = [(folder, "") for folder in folders]
        while waiting:
            folder, prefix = waiting.pop()
            try:
                with open_folder(folder) as entries:
                    for entry in entries:
                        found = _stat(entry)
                        if found is None:
                            continue
                        path = f"{prefix}{entry.name}"
                        if stat.S_ISDIR(found.st_mode):
                            waiting.append((f"{folder}/{entry.name}", f"{path}/"))
                        self._add_entry(found, path, outputs)
                        if self.is_over:
                            return
            except OSError as error:
                if error.errno == errno.ENAMETOOLONG:
                    self.count.is_too_deep = True
                    return

    def _add_entry(self, found: os.stat_result, path: str, outputs: bool) -> None:
        count, allocated = self.count, found.st_blocks * BLOCK_BYTES
        count.files += 1
        is_first_name = True
        if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
            is_first_name = found.st_ino not in self._seen
            self._seen.add(found.st_ino)
        if is_first_name:
            count.allocated_bytes += allocated
        if not outputs or not stat.S_ISREG(found.st_mode):
            count.counted_bytes += allocated if is_first_name else 0
            return
        count.counted_bytes += max(allocated, found.st_size)
        missing = found.st_size - (allocated if is_first_name else 0)
        if missing > self._most_missing:
            self._most_missing, count.sparse_path, count.sparse_bytes = missing, path, found.st_size


def _stat(entry: Any) -> os.stat_result | None:
    """None for a name that went away since it was listed: the rest of its folder still counts."""
    try:
        found: os.stat_result = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    return found


def open_folder(path: str) -> Any:
    """Like os.scandir, but also of a folder whose owner, the job, took away the right to read it."""
    try:
        return os.scandir(path)
    except PermissionError:
        handle = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.chmod(f"/proc/self/fd/{handle}", 0o700)
        finally:
            os.close(handle)
        return os.scandir(path)
