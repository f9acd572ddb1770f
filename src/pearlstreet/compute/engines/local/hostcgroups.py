"""Finding a place in the host's control groups where we may make our own."""

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
    """Where groups can be made. Version 0: nowhere."""

    version: int = 0
    parents: Mapping[str, str] = field(default_factory=dict)
    trackers: tuple[str, ...] = ()
    """Trees a service manager follows processes by."""


def find(mountinfo: str, own: str) -> Found:
    """A place for our groups, made if it can be. `mountinfo`, `own`: /proc/self/mountinfo and /proc/self/cgroup."""
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
        if mount is not None and (found := _make_first(mount, paths.get(controller, "/"))):
            parents[controller] = found
    if "memory" not in parents or "pids" not in parents:
        return Found()
    trackers = [parents["unified"]] if "unified" in parents else []
    if (systemd := mounts.get("name=systemd")) and (found := _make_first(systemd, "/")):
        trackers.append(found)
    return Found(1, parents, tuple(trackers))


def _mounts(mountinfo: str) -> dict[str, str]:
    """Controller ("unified" for version 2) → where it is mounted."""
    found: dict[str, str] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = [*right.split(" ", 2), "", ""][:3]
        place = left.split()[4] if len(left.split()) > 4 else ""
        if kind == "cgroup2":
            found["unified"] = place
        elif kind == "cgroup":
            for option in options.split(","):
                found.setdefault(option, place)
    return found


def _own_paths(own: str) -> dict[str, str]:
    """Controller → the group this process is in."""
    found = {}
    for line in own.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for controller in controllers.split(",") if number != "0" else ["unified"]:
            found[controller] = path
    return found


def _make_first(mount: str, own: str) -> str | None:
    """Version 1: a folder of ours at the top, else in our own group."""
    for base in dict.fromkeys((mount, f"{mount}{own}".rstrip("/"))):
        place = f"{base}/{NAME}"
        with contextlib.suppress(OSError):
            Path(place).mkdir(0o755)
        if os.access(place, os.W_OK | os.X_OK):
            return place
    return None


def bases_v2(mount: str, own: str, *, root: bool) -> list[str]:
    """Groups of version 2 that may hold ours, best first: the top for root, else those above our own, nearest first."""
    parts = [part for part in own.split("/") if part]
    above = ["/".join([mount, *parts[:length]]) for length in range(len(parts) - 1, -1, -1)]
    return list(dict.fromkeys([mount, *above] if root else above or [mount]))


def _place_v2(mount: str, own: str) -> str | None:
    """Version 2: beneath the nearest group above us that holds no processes itself (or is the top) and gives memory."""
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
    """Give memory, pids and, where there is one, cpu to the groups beneath."""
    there = set(_read(f"{folder}/cgroup.controllers").split())
    for controller in ("memory", "pids", "cpu"):
        if controller in there:
            Path(folder, "cgroup.subtree_control").write_text(f"+{controller}")


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
