"""Clean-up after an attempt: kill processes whose supervisor died, and delete files and control groups."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pearlstreet.compute.engines.local.folders import Folders
from pearlstreet.compute.engines.local.supervisor import files
from pearlstreet.compute.engines.local.supervisor.cgroup import Group
from pearlstreet.compute.engines.local.supervisor.logs import list_segments, segment_name

KILL_WITHIN_S = 2.0
TRIALS_LAST_S = 120.0
"""Age after which the folder of a trial attempt counts as abandoned."""


def end_leftovers(plan: Mapping[str, Any]) -> None:
    """Kill every process of an attempt whose supervisor is dead, and remove its control groups."""
    remove_groups(plan)
    if plan["sandbox"] == "bubblewrap":
        return  # the kernel ended the sandbox's process namespace together with the supervisor
    deadline = time.monotonic() + KILL_WITHIN_S
    while (left := marked_processes(plan["attempt_id"])) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def remove_groups(plan: Mapping[str, Any]) -> None:
    """Delete the attempt's control groups, if they still exist, and kill the processes in them."""
    groups = plan["cgroup"]
    for task in plan["tasks"] if groups else ():
        Group(groups["version"], groups["parents"], task["group"]).remove(KILL_WITHIN_S)


def marked_processes(attempt_id: str) -> list[int]:
    """Return the ids of living processes that have the attempt's id in their environment.

    For hosts where neither a control group nor a process namespace lists the processes of an attempt.
    """
    mark = b"PEARL_ATTEMPT_ID=" + attempt_id.encode()
    pids = []
    for name in (path.name for path in Path("/proc").iterdir()):
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(OSError):
                variables = Path("/proc", name, "environ").read_bytes().split(b"\0")
                status = files.stat_fields(int(name))
                if mark in variables and status is not None and status[1][0] not in "ZX":
                    pids.append(int(name))
    return pids


def log_bytes(folder: Path) -> int:
    """Return bytes of an attempt's logs."""
    size = 0
    with contextlib.suppress(FileNotFoundError), os.scandir(folder / "logs") as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                size += entry.stat(follow_symlinks=False).st_size
    return size


def trim_log(folder: Path, tasks: int, size_bytes: int, *, over: bool) -> int:
    """Delete the oldest parts of an attempt's logs until `size_bytes` are freed; return the number of freed bytes.

    The last part of each task's log is being written and stays; `over`: of an ended attempt an empty file takes its
    place, so that the log is still known to have been that long.
    """
    deletable = []
    for rank in range(tasks):
        parts = list_segments(str(folder / "logs"), rank)
        if over and parts and parts[-1][1]:
            end = parts[-1][0] + parts[-1][1]
            parts.append((end, 0, str(folder / "logs" / segment_name(rank, end))))
            Path(parts[-1][2]).touch(mode=0o600)
        deletable += parts[:-1]
    freed = 0
    for _, size, path in sorted(deletable):
        if freed >= size_bytes:
            break
        with contextlib.suppress(FileNotFoundError):
            Path(path).unlink()
            freed += size
    return freed


def delete_tree(folder: Path, trash: Path) -> None:
    """Delete `folder` and its content by moving it into `trash` on the same file system. Raises OSError.

    Inner folders are moved into the trash one by one, so that deep nesting, links and missing permissions do no harm.
    """
    trash.mkdir(mode=0o700, exist_ok=True)
    number = time.monotonic_ns()
    top = trash / f"{folder.name[:100]}.{number:x}"
    folder.rename(top)
    waiting = [top]
    while waiting:
        current = waiting.pop()
        if not os.access(current, os.R_OK | os.W_OK | os.X_OK):
            current.chmod(0o700)
        with os.scandir(current) as entries:
            content = [(Path(entry.path), entry.stat(follow_symlinks=False).st_mode) for entry in entries]
        for path, mode in content:
            if not stat.S_ISDIR(mode):
                path.unlink()
                continue
            if not os.access(path, os.W_OK):
                path.chmod(0o700)  # moving a folder writes into it
            number += 1
            moved = trash / f"{top.name}.{number:x}"
            path.rename(moved)
            waiting.append(moved)
        current.rmdir()


def empty_trash(folders: Folders) -> None:
    """Delete the files that an interrupted `delete_tree` or trial attempt left."""
    long_ago_s = time.time() - TRIALS_LAST_S
    left = [path for path in folders.root.glob("trial-*") if path.lstat().st_mtime < long_ago_s]
    if folders.trash.is_dir():
        left += folders.trash.iterdir()
    for path in left:
        with contextlib.suppress(OSError):
            delete_tree(path, folders.trash)
