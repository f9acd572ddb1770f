"""Reads a folder that a tenant's code has written: no link is followed, nothing but regular files is opened, all is bounded."""

from __future__ import annotations

import contextlib
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEPTH_MAX = 64
"""Levels of folders; a walk does not enter deeper ones."""
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""O_NONBLOCK: opening a FIFO or a device does not wait for its other end."""


class NotAFile(OSError):
    """Raised for a path that names no regular file inside the folder."""

    def __init__(self) -> None:
        super().__init__(0, "it is not an ordinary file in the folder")


@contextlib.contextmanager
def opened(top: int, path: str) -> Iterator[int]:
    """Open the regular file at a relative path beneath the open folder `top`. Raises OSError.

    Each part of the path is opened by itself, so that none can be a link, however the tree changes meanwhile.
    """
    parts = path.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise NotAFile
    with contextlib.ExitStack() as stack:
        folder = top
        for part in parts[:-1]:
            folder = os.open(part, FOLDER, dir_fd=folder)
            stack.callback(os.close, folder)
        handle = os.open(parts[-1], FILE, dir_fd=folder)
        stack.callback(os.close, handle)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise NotAFile
        yield handle


def walk(
    top: int, is_wanted: Callable[[str], bool], entries_max: int
) -> Iterator[tuple[str, os.stat_result, str]]:
    """Yield (path, status, target of a link) of what is beneath the open folder `top`, folders before their content.

    `is_wanted` decides by path; what is inside an unwanted folder is left out. Raises TooMany beyond `entries_max`.
    """
    waiting = [("", 0)]
    left = entries_max
    while waiting:
        place, depth = waiting.pop()
        with contextlib.suppress(OSError), _folder(top, place) as folder:
            for name, stats in _content(folder):
                left -= 1
                if left < 0:
                    raise TooMany
                path = f"{place}{name}"
                if not is_wanted(path):
                    continue
                if stat.S_ISDIR(stats.st_mode) and depth < DEPTH_MAX:
                    waiting.append((f"{path}/", depth + 1))
                yield path, stats, _target(folder, name) if stat.S_ISLNK(stats.st_mode) else ""


class TooMany(Exception):
    """Raised if a folder has more entries than are looked at."""


@contextlib.contextmanager
def _folder(top: int, place: str) -> Iterator[int]:
    """Open a folder beneath `top`, part by part; `place` is empty or ends in a slash."""
    with contextlib.ExitStack() as stack:
        folder = os.open(".", FOLDER, dir_fd=top)
        stack.callback(os.close, folder)
        for part in place.split("/")[:-1]:
            folder = os.open(part, FOLDER, dir_fd=folder)
            stack.callback(os.close, folder)
        yield folder


def _content(folder: int) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                yield entry.name, entry.stat(follow_symlinks=False)


def _target(folder: int, name: str) -> str:
    with contextlib.suppress(OSError):
        return os.readlink(name, dir_fd=folder)
    return ""
