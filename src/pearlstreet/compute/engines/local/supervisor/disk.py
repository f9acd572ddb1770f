"""Counts the bytes and files of an attempt on disk. Imports the standard library only, because the supervisor runs it."""

from __future__ import annotations

import errno
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BYTES_PER_FILE = 16_384
"""Bytes of the disk limit per permitted file: the inode_ratio of ext4 (mke2fs.conf)."""
FILES_MIN = 100_000
"""Number of files permitted to every attempt whatever its disk limit; packages and caches have many small ones."""
BLOCK_BYTES = 512
"""Unit of st_blocks (stat(2)) in bytes."""


def files_limit(disk_bytes: int) -> int:
    """Return the number of files, folders and links that an attempt with this disk limit may have."""
    return max(FILES_MIN, disk_bytes // BYTES_PER_FILE)


class DiskCount:
    """Totals of a walk over folders. The walk ends soon after a limit is passed, so larger totals are lower bounds."""

    __slots__ = (
        "allocated_bytes",
        "counted_bytes",
        "files",
        "is_too_deep",
        "largest_bytes",
        "largest_path",
        "sparse_bytes",
        "sparse_path",
    )

    def __init__(self) -> None:
        self.counted_bytes = 0
        """Bytes that count against the limit: the allocated ones, but for an output file its apparent size if larger."""
        self.allocated_bytes = 0
        self.files = 0
        """Number of files, folders and links."""
        self.is_too_deep = False
        """Whether a folder is nested so deeply that it cannot be opened."""
        self.sparse_path = ""
        """Path in the outputs folder of the file with the most unallocated bytes; empty: every byte is allocated."""
        self.sparse_bytes = 0
        """Apparent size of that output."""
        self.largest_path = ""
        """Path of the file with the largest apparent size, beginning with the folder that the walk was given."""
        self.largest_bytes = 0
        """Apparent size of that file."""


class DiskWalk:
    """Walk over folders that counts files and bytes and does not follow links."""

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
        """Count the content of `folders`. `outputs`: count each file name at its apparent size, as it is collected.

        Add the outputs first, so that a file which also has a hard link elsewhere counts once, as an output.
        """
        waiting = [(folder, "") for folder in folders]
        while waiting:
            folder, prefix = waiting.pop()
            try:
                with open_folder(folder) as entries:
                    for entry in entries:
                        stats = _stat(entry)
                        if stats is None:
                            continue
                        path = f"{prefix}{entry.name}"
                        if stat.S_ISDIR(stats.st_mode):
                            waiting.append((f"{folder}/{entry.name}", f"{path}/"))
                        self._add_entry(stats, path, outputs)
                        if stats.st_size > self.count.largest_bytes and stat.S_ISREG(stats.st_mode):
                            self.count.largest_bytes = stats.st_size
                            self.count.largest_path = f"{folder}/{entry.name}"
                        if self.is_over:
                            return
            except OSError as error:
                if error.errno == errno.ENAMETOOLONG:
                    self.count.is_too_deep = True
                    return

    def _add_entry(self, stats: os.stat_result, path: str, outputs: bool) -> None:
        count, allocated = self.count, stats.st_blocks * BLOCK_BYTES
        count.files += 1
        is_first_name = True
        if stats.st_nlink > 1 and not stat.S_ISDIR(stats.st_mode):
            is_first_name = stats.st_ino not in self._seen
            self._seen.add(stats.st_ino)
        if is_first_name:
            count.allocated_bytes += allocated
        if not outputs or not stat.S_ISREG(stats.st_mode):
            count.counted_bytes += allocated if is_first_name else 0
            return
        count.counted_bytes += max(allocated, stats.st_size)
        missing = stats.st_size - (allocated if is_first_name else 0)
        if missing > self._most_missing:
            self._most_missing, count.sparse_path, count.sparse_bytes = missing, path, stats.st_size


def _stat(entry: Any) -> os.stat_result | None:
    """Return the status of a directory entry, None if it was deleted after the listing; other entries still count."""
    try:
        stats: os.stat_result = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    return stats


def open_folder(path: str) -> Any:
    """Open a folder like os.scandir, and grant the read permission first if the job has removed it."""
    try:
        return os.scandir(path)
    except PermissionError:
        handle = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.chmod(f"/proc/self/fd/{handle}", 0o700)
        finally:
            os.close(handle)
        return os.scandir(path)
