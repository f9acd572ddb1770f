"""Checks of the local engine: what this machine has of the parts that isolate jobs, measure them and fetch their images."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from pearlstreet.base.text import text
from pearlstreet.compute.engines.checks import EngineCheck
from pearlstreet.compute.engines.local.policy import SandboxPolicy, Walls
from pearlstreet.compute.hardware.isolation import is_enough
from pearlstreet.workload.environments.images import TOOLS

GIB = 1 << 30
MAX_USER_NAMESPACES = Path("/proc/sys/user/max_user_namespaces")
APPARMOR_USERNS = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")


def local_checks(walls: Walls, policy: SandboxPolicy, root: Path) -> Sequence[EngineCheck]:
    """Return the checks for the isolation `walls` that works now and the engine's folder `root`."""
    return [
        _isolation(walls, policy),
        _bubblewrap(walls),
        _user_namespaces(walls),
        _cgroups(walls),
        _seccomp(walls),
        *_disk(root, policy.min_free_gib),
        _images(walls),
    ]


def _isolation(walls: Walls, policy: SandboxPolicy) -> EngineCheck:
    title = text("Isolation of jobs: {wall}", wall=walls.name())
    wanted = policy.minimum if policy.sandbox == "auto" else policy.sandbox
    if is_enough(walls.sandbox, wanted):
        return EngineCheck("isolation", title)
    return EngineCheck(
        "isolation",
        title,
        text("The settings demand at least {wanted}", wanted=wanted),
        text("Repair what the other checks name, or lower the setting isolation"),
        blocking=True,
    )


def _bubblewrap(walls: Walls) -> EngineCheck:
    title = text("bubblewrap")
    if walls.sandbox == "bubblewrap":
        return EngineCheck("bubblewrap", title)
    if shutil.which("bwrap") is None:
        problem, fix = (
            text("It is not installed"),
            text("Install it: {command}", command="apt-get install bubblewrap"),
        )
    else:
        problem = text("It is installed, but a trial command in its sandbox failed")
        fix = text("Allow user namespaces, or run the server where it may create namespaces")
    return EngineCheck("bubblewrap", title, problem, fix)


def _user_namespaces(walls: Walls) -> EngineCheck:
    title = text("User namespaces")
    if walls.sandbox == "bubblewrap":
        return EngineCheck("user_namespaces", title)
    if _read(MAX_USER_NAMESPACES) == "0":
        problem = text("The kernel permits none: user.max_user_namespaces is 0")
        fix = text("Set it: sysctl -w user.max_user_namespaces=15000")
    elif _read(APPARMOR_USERNS) == "1":
        problem = text("AppArmor restricts them for programs without a profile")
        fix = text("Give bubblewrap an AppArmor profile that permits userns")
    else:
        return EngineCheck("user_namespaces", title)
    return EngineCheck("user_namespaces", title, problem, fix)


def _cgroups(walls: Walls) -> EngineCheck:
    title = text("Control groups")
    if walls.cgroup_version:
        return EngineCheck("cgroups", title)
    return EngineCheck(
        "cgroups",
        title,
        text("The server cannot create any, so CPU is not limited and memory is limited by polling"),
        text("Run the server as a systemd service with Delegate=yes, or as root"),
    )


def _seccomp(walls: Walls) -> EngineCheck:
    title = text("System call filter (seccomp)")
    if walls.seccomp:
        return EngineCheck("seccomp", title)
    return EngineCheck(
        "seccomp",
        title,
        text("No filter could be set, so jobs may use every system call"),
        text("Use a kernel with CONFIG_SECCOMP_FILTER on x86-64 or arm64"),
    )


def _disk(root: Path, min_free_gib: float) -> Iterator[EngineCheck]:
    title = text("Disk of {folder}", folder=str(root))
    free_gib = shutil.disk_usage(root).free / GIB
    if free_gib >= min_free_gib:
        yield EngineCheck("disk", title)
        return
    yield EngineCheck(
        "disk",
        title,
        text(
            "{free} GiB are free, and no job starts below {least} GiB",
            free=f"{free_gib:.2f}",
            least=min_free_gib,
        ),
        text("Delete files, or move the data folder to a larger disk"),
        blocking=True,
    )


def _images(walls: Walls) -> EngineCheck:
    title = text("Container images: {tools}", tools=", ".join(TOOLS))
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        problem = text("Not installed: {tools}", tools=", ".join(missing))
        return EngineCheck(
            "images",
            title,
            problem,
            text("Install it: {command}", command=f"apt-get install {' '.join(missing)}"),
        )
    if walls.sandbox != "bubblewrap":
        problem = text("Container images need bubblewrap, which does not work here")
        return EngineCheck("images", title, problem, text("Repair bubblewrap first"))
    return EngineCheck("images", title)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
