"""Search for a control group of the host under which the engine may create its own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

NAME = "pearlstreet"
NEEDED_V1 = ("memory", "cpu", "cpuacct", "pids")


@dataclass(frozen=True, slots=True)
class Found:
    """Control groups under which the engine can create its own; version 0: there is none."""

    version: int = 0
    parents: Mapping[str, str] = field(default_factory=dict)
    """Controller → folder under which the engine creates its groups."""
    trackers: tuple[str, ...] = ()
    """Groups in the hierarchies by which a service manager tracks processes."""


def find(mountinfo: str, own: str) -> Found:
    """Return a parent for the engine's groups and create it if needed.

    `mountinfo`, `own`: content of /proc/self/mountinfo and /proc/self/cgroup.
    """
    mounts = _mounts(mountinfo)
    paths = _own_paths(own)
    unified = mounts.get("unified")
    if unified is not None:
        place = _place_v2(unified, paths.get("unified", "/"))
        if place is not None:
            return Found(2, dict.fromkeys(("memory", "cpu", "pids"), place), (place,))
    parents = {}
    for controller in (*NEEDED_V1, "unified"):
        mount = mounts.get(controller)
        if mount is not None and (folder := _make_first(mount, paths.get(controller, "/"))):
            parents[controller] = folder
    if "memory" not in parents or "pids" not in parents:
        return Found()
    trackers = [parents["unified"]] if "unified" in parents else []
    if (systemd := mounts.get("name=systemd")) and (folder := _make_first(systemd, "/")):
        trackers.append(folder)
    return Found(1, parents, tuple(trackers))


def _mounts(mountinfo: str) -> dict[str, str]:
    """Return controller ("unified" for version 2) → mount point."""
    mounts: dict[str, str] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = [*right.split(" ", 2), "", ""][:3]
        place = left.split()[4] if len(left.split()) > 4 else ""
        if kind == "cgroup2":
            mounts["unified"] = place
        elif kind == "cgroup":
            for option in options.split(","):
                mounts.setdefault(option, place)
    return mounts


def _own_paths(own: str) -> dict[str, str]:
    """Return controller → control group of this process."""
    groups = {}
    for line in own.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for controller in controllers.split(",") if number != "0" else ["unified"]:
            groups[controller] = path
    return groups


def _make_first(mount: str, own: str) -> str | None:
    """Return a group for the engine at the top of a version 1 hierarchy, else in the server's own group."""
    for base in dict.fromkeys((mount, f"{mount}{own}".rstrip("/"))):
        place = f"{base}/{NAME}"
        with contextlib.suppress(OSError):
            Path(place).mkdir(0o755)
        if os.access(place, os.W_OK | os.X_OK):
            return place
    return None


def bases_v2(mount: str, own: str, *, root: bool) -> list[str]:
    """Return version 2 groups that may hold the engine's, best first.

    Root begins at the top; other users try the groups above the server's own, nearest first.
    """
    parts = [part for part in own.split("/") if part]
    above = ["/".join([mount, *parts[:length]]) for length in range(len(parts) - 1, -1, -1)]
    return list(dict.fromkeys([mount, *above] if root else above or [mount]))


def _place_v2(mount: str, own: str) -> str | None:
    """Return a group for the engine in the nearest version 2 group that delegates the memory controller, else None."""
    for base in bases_v2(mount, own, root=os.geteuid() == 0):
        place = f"{base}/{NAME}"
        if "memory" not in _read(f"{base}/cgroup.controllers").split() or not os.access(
            base, os.W_OK | os.X_OK
        ):
            continue
        with contextlib.suppress(OSError):
            _enable(base)
            Path(place).mkdir(exist_ok=True)
            _enable(place)
            if {"memory", "pids"} <= set(_read(f"{place}/cgroup.subtree_control").split()):
                return place
    return None


def _enable(folder: str) -> None:
    """Delegate the controllers memory, pids and, if available, cpu to the groups beneath."""
    available = set(_read(f"{folder}/cgroup.controllers").split())
    for controller in ("memory", "pids", "cpu"):
        if controller in available:
            Path(folder, "cgroup.subtree_control").write_text(f"+{controller}")


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
