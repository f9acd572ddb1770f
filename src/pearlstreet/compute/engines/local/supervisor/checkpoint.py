"""The checkpoint folder of an attempt's owner: when something was last saved there, and removal of what is half-written.

A file or folder counts once it is in place under its final name. Names that end in `.tmp` or `.partial`, at the top or in a folder
at the top (the folder of a rank), are being written: they never count and are deleted before the next attempt starts.
"""

from __future__ import annotations

import contextlib
import os
import stat

from ...staging.runner.names import is_unfinished as is_unfinished

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

DEPTH_MAX = 4
"""Levels of folders in which files are looked for."""
ENTRIES_MAX = 100_000
"""Entries looked at; more are ignored, so that the folder of a hostile job cannot hold up its supervisor."""
NS_PER_US = 1000


def saved_us(folder: str) -> int | None:
    """Return when a file last came in place in the folder or changed there (µs since 1970); None if there is no file.

    It is the time of the kernel (ctime), which no program can set.
    """
    times = [
        stats.st_ctime_ns
        for _, stats, unfinished in _walk(folder)
        if not unfinished and not _is_folder(stats)
    ]
    return max(times) // NS_PER_US if times else None


def drop_unfinished(folder: str) -> None:
    """Delete what an earlier attempt did not finish writing. No link is followed, not even one put in place meanwhile."""
    for place, folders, names, handle in _open_folders(folder):
        for name in filter(is_unfinished, [*names, *folders]):
            _delete(name, handle)
        folders[:] = [name for name in folders if not is_unfinished(name)] if place == folder else []


def _delete(name: str, folder: int) -> None:
    """Delete a file, a link or a whole folder in an open folder."""
    try:
        os.unlink(name, dir_fd=folder)
    except OSError:
        import shutil  # importing it takes long, so only for a folder

        shutil.rmtree(name, ignore_errors=True, dir_fd=folder)


def _open_folders(folder: str) -> Iterator[tuple[str, list[str], list[str], int]]:
    """Yield (path, folders, other names, descriptor) of a folder and of those `folders` that the caller leaves in the list."""
    try:
        yield from os.fwalk(folder)
    except OSError:
        return


def _walk(folder: str) -> Iterator[tuple[str, os.stat_result, bool]]:
    """Yield (path, status, whether it is unfinished) level by level; what is inside unfinished folders is left out."""
    left, level = ENTRIES_MAX, [folder]
    for depth in range(DEPTH_MAX):
        following: list[str] = []
        for place in level:
            for entry, stats in _entries(place):
                left -= 1
                if left < 0:
                    return
                unfinished = depth < 2 and is_unfinished(entry.name)
                yield entry.path, stats, unfinished
                if _is_folder(stats) and not unfinished:
                    following.append(entry.path)
        level = following


def _entries(folder: str) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    with (
        contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError),
        os.scandir(folder) as entries,
    ):
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                yield entry, entry.stat(follow_symlinks=False)


def _is_folder(stats: os.stat_result) -> bool:
    return stat.S_ISDIR(stats.st_mode)
