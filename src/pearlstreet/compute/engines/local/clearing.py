"""Ends what an attempt's dead supervisor left running, and deletes what an attempt left on disk."""

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

KILL_WITHIN_S = 2.0
TRIALS_LAST_S = 120.0


def end_leftovers(plan: Mapping[str, Any]) -> None:
    """Kill every process of an attempt whose supervisor is dead, and remove its control groups."""
    remove_groups(plan)
    if plan["sandbox"] == "bubblewrap":
        return  # the kernel ended the namespace with its parent
    deadline = time.monotonic() + KILL_WITHIN_S
    while (left := marked_processes(plan["attempt_id"])) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def remove_groups(plan: Mapping[str, Any]) -> None:
    """Delete the attempt's control groups, if they are still there, with everything in them."""
    groups = plan["cgroup"]
    for task in plan["tasks"] if groups else ():
        Group(groups["version"], groups["parents"], task["group"]).remove(KILL_WITHIN_S)


def marked_processes(attempt_id: str) -> list[int]:
    """Processes that carry an attempt's id in their environment: where no group or namespace holds them together."""
    mark = b"PEARL_ATTEMPT_ID=" + attempt_id.encode()
    found = []
    for name in (path.name for path in Path("/proc").iterdir()):
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(OSError):
                variables = Path("/proc", name, "environ").read_bytes().split(b"\0")
                status = files.stat_fields(int(name))
                if mark in variables and status is not None and status[1][0] not in "ZX":
                    found.append(int(name))
    return found


def delete_tree(folder: Path, trash: Path) -> None:
    """Delete `folder` with everything in it, by way of `trash` on the same file system. Raises OSError.

    Folders within are moved up into the trash one by one, so that no depth, no link and no right taken away matters.
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
            found = [(Path(entry.path), entry.stat(follow_symlinks=False).st_mode) for entry in entries]
        for path, mode in found:
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
    """Delete what an interrupted `delete_tree` or trial left."""
    long_ago_s = time.time() - TRIALS_LAST_S
    left = [path for path in folders.root.glob("trial-*") if path.lstat().st_mtime < long_ago_s]
    if folders.trash.is_dir():
        left += folders.trash.iterdir()
    for path in left:
        with contextlib.suppress(OSError):
            delete_tree(path, folders.trash)
