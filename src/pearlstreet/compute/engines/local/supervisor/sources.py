"""Mounts that the supervisor makes for its tasks in a mount namespace of its own, invisible outside.

They are the shared memory of a gang's tasks, and host folders for bubblewrap after it has dropped root: the attempt's folder
and often the interpreter are beneath folders that only root may enter, so each is bind-mounted at a path that all may enter.
"""

from __future__ import annotations

import os
import stat

from . import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    pass

PLACES = ("/mnt", "/media", "/srv", "/opt", "/tmp")  # noqa: S108  # hidden from this process only


def paths_in(arguments: list[object]) -> list[str]:
    """Return the host paths in bubblewrap's arguments, each once."""
    return list(dict.fromkeys(item["path"] for item in arguments if isinstance(item, dict)))


def share_memory(path: str, size_bytes: int) -> bool:
    """Mount a tmpfs at `path`, which disappears with the last process of its mount namespace.

    Return whether a new user namespace was needed. Raises OSError.
    """
    alone = False
    try:
        linux.unshare(linux.CLONE_NEWNS)
    except PermissionError:
        alone = True
        linux.user_namespace(linux.CLONE_NEWNS)
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    options = f"mode=1777,size={size_bytes}"
    linux.mount("pearl", path, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, options)
    return alone


def own_memory(size_bytes: int) -> bool:
    """Create a private /dev/shm and IPC namespace. Return whether a new user namespace was needed. Raises OSError."""
    alone = False
    try:
        linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWIPC)
    except PermissionError:
        alone = True
        linux.user_namespace(linux.CLONE_NEWNS | linux.CLONE_NEWIPC)
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    options = f"mode=1777,size={size_bytes}"
    linux.mount("pearl", "/dev/shm", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, options)  # noqa: S108
    return alone


def bind_reachable(paths: list[str], keep: list[str]) -> dict[str, str]:
    """Return a path that every user may enter for each of `paths`. `keep`: folders to keep visible. Raises OSError."""
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    # Open the paths in the new namespace, because mounts of another cannot be bound, and before a tmpfs hides any.
    handles = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in paths}
    place = next(
        item
        for item in PLACES
        if os.path.isdir(item) and not any(f"{path}/".startswith(f"{item}/") for path in keep)
    )
    linux.mount("pearl", place, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=0755,size=1m")
    reachable = {}
    for number, (path, handle) in enumerate(handles.items()):
        target = f"{place}/{number}"
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            os.mkdir(target, 0o755)
        else:
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
        linux.mount(f"/proc/self/fd/{handle}", target, None, linux.MS_BIND | linux.MS_REC)
        reachable[path] = target
        os.close(handle)
    return reachable
