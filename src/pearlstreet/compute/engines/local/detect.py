"""Finds the strongest walls this host allows, by running a trial attempt behind each candidate."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.text import Text, text
from pearlstreet.compute.engines.local import bubblewrap, hostcgroups, seccomp
from pearlstreet.compute.engines.local.clearing import delete_tree, end_leftovers
from pearlstreet.compute.engines.local.folders import Folders
from pearlstreet.compute.engines.local.launching import launch
from pearlstreet.compute.engines.local.plan import make_plan
from pearlstreet.compute.engines.local.policy import (
    SMALL_TENANT_UIDS,
    STRENGTH,
    TENANT_UIDS,
    SandboxPolicy,
    Walls,
    python_prefixes,
)
from pearlstreet.compute.engines.local.supervisor import files, linux
from pearlstreet.compute.engines.protocol import AttemptOrder, Limits, TaskOrder
from pearlstreet.compute.hardware.model import NodeReport

TRIAL_WITHIN_S = 10.0
SIGNALS_SINCE_ABI = 6
TRIAL_MEMORY_GIB = 0.0625


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What can be known of the host without trying it."""

    bwrap: str
    landlock_abi: int
    cgroups: hostcgroups.Found
    root: bool
    uid_map: str


@functools.cache
def detect(policy: SandboxPolicy, root: Path) -> Walls:
    """The walls for jobs beneath `root`. Raises ConfigurationError when they are weaker than the policy's minimum."""
    host = _host(policy)
    for walls in _candidates(policy, host, root):
        if policy.sandbox in ("auto", walls.sandbox) and _works(walls, policy, root):
            return _judged(walls, policy)
    raise ConfigurationError(
        text("This host cannot run jobs behind the wall {wall}", wall=policy.sandbox),
        hint=text("Install bubblewrap and allow user namespaces, or choose a weaker sandbox in the settings"),
    )


def _host(policy: SandboxPolicy) -> HostFacts:
    found = hostcgroups.Found()
    if policy.cgroups == "auto":
        found = hostcgroups.find(
            Path("/proc/self/mountinfo").read_text(), Path("/proc/self/cgroup").read_text()
        )
    return HostFacts(
        bwrap=shutil.which("bwrap") or "",
        landlock_abi=linux.landlock_abi(),
        cgroups=found,
        root=os.geteuid() == 0,
        uid_map=Path("/proc/self/uid_map").read_text(),
    )


def _candidates(policy: SandboxPolicy, host: HostFacts, root: Path) -> Iterator[Walls]:
    """Strongest first; the last one always works."""
    filters = [seccomp.program(platform.machine())] if policy.seccomp else []
    groups = [host.cgroups, hostcgroups.Found()] if host.cgroups.version else [hostcgroups.Found()]
    uids = _tenant_uids(host.uid_map) if host.root and policy.drop_root else None
    for sandbox in reversed(STRENGTH):
        if (sandbox == "bubblewrap" and not host.bwrap) or (sandbox == "landlock" and not host.landlock_abi):
            continue
        reachable = sandbox == "bubblewrap" or _open_to_all([root, *map(Path, python_prefixes())])
        for found in groups:
            for own_network in (True, False):
                for bpf in dict.fromkeys([*filters, b""]):
                    yield Walls(
                        sandbox=sandbox,
                        bwrap=host.bwrap,
                        landlock_abi=host.landlock_abi,
                        own_network=own_network,
                        seccomp=bpf,
                        cgroup_version=found.version,
                        cgroup_parents=found.parents,
                        supervisor_groups=found.trackers if Path("/run/systemd/system").is_dir() else (),
                        tenant_uids=uids if reachable else None,
                    )


def _tenant_uids(uid_map: str) -> tuple[int, int] | None:
    """A range of user ids that exists here."""
    ranges = [tuple(int(part) for part in line.split()) for line in uid_map.splitlines()]
    for first, count in (TENANT_UIDS, SMALL_TENANT_UIDS):
        if any(start <= first and first + count <= start + length for start, _, length in ranges):
            return first, count
    return None


def _open_to_all(paths: list[Path]) -> bool:
    """Whether any user may pass through the folders that lead to `paths`."""
    parents = {parent for path in paths for parent in path.resolve().parents}
    return all(parent.stat().st_mode & 0o001 for parent in parents if parent.exists())


def _works(walls: Walls, policy: SandboxPolicy, root: Path) -> bool:
    """Run `true` behind the walls, as any attempt would."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    folders = Folders(Path(tempfile.mkdtemp(prefix="trial-", dir=root)))
    node = NodeReport("trial", 1.0, 1.0, 1.0)
    order = AttemptOrder(
        attempt_id="trial",
        job_id="trial",
        tenant_id="trial",
        command=("true",),
        tasks=(TaskOrder(0, node.name, 0.5, TRIAL_MEMORY_GIB),),
        limits=Limits(time_s=TRIAL_WITHIN_S, disk_gib=0.01),
    )
    try:
        write_stubs(folders.stubs)
        plan = make_plan(order, node, walls, policy, folders, write_seccomp(folders.root, walls))
        make_attempt_folder(folders, order.attempt_id, walls)
        folder = folders.attempt(order.attempt_id)
        files.write_json(str(folder), files.ORDER, plan, sync=False)
        launch(folder)
        state = _wait(folder)
        end_leftovers(plan)
        return state is not None and state["end_reason"] == "exited" and state["exit_code"] == 0
    finally:
        delete_tree(folders.root, root / "trash")


def _wait(folder: Path) -> dict[str, object] | None:
    deadline = time.monotonic() + TRIAL_WITHIN_S
    while time.monotonic() < deadline:
        state = files.read_json(str(folder), files.STATE)
        if state is not None and state["state"] == "exited" and not files.is_locked(str(folder / files.LOCK)):
            return state
        if state is None and not files.is_locked(str(folder / files.LOCK)):
            return None
        time.sleep(0.005)
    return None


def write_stubs(folder: Path) -> None:
    """The few files of /etc that jobs see."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    hosts = bubblewrap.STUBS["hosts"]
    with contextlib.suppress(OSError):
        hosts += Path("/etc/hosts").read_text("utf-8", "replace")
    for name, content in {**bubblewrap.STUBS, bubblewrap.INTERNET_HOSTS: hosts}.items():
        path = folder / name
        if not path.exists() or path.read_text() != content:
            partial = folder / f".{name}.{os.getpid()}.{time.monotonic_ns():x}"
            partial.write_text(content)
            partial.chmod(0o644)
            partial.rename(path)


def write_seccomp(root: Path, walls: Walls) -> str | None:
    """The filter as a file for supervisors to read."""
    if not walls.seccomp:
        return None
    path = root / "seccomp.bpf"
    if not path.exists() or path.read_bytes() != walls.seccomp:
        partial = root / f".seccomp.{os.getpid()}.{time.monotonic_ns():x}"
        partial.write_bytes(walls.seccomp)
        partial.rename(path)
    return str(path)


def make_attempt_folder(folders: Folders, attempt_id: str, walls: Walls) -> None:
    """The empty folders of an attempt. Raises OSError."""
    mode = 0o711 if walls.tenant_uids and walls.sandbox != "bubblewrap" else 0o700
    for path in (folders.root, folders.attempts, folders.attempt(attempt_id)):
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        if mode != 0o700:
            path.chmod(mode)
    for name in files.FOLDERS:
        place = folders.attempt(attempt_id) / name
        place.mkdir(mode=mode if name == "user-metrics" else 0o700, exist_ok=True)
        if name == "user-metrics":
            place.chmod(mode)


def _judged(walls: Walls, policy: SandboxPolicy) -> Walls:
    if STRENGTH.index(walls.sandbox) < STRENGTH.index(policy.minimum):
        raise ConfigurationError(
            text(
                "Jobs would run behind {wall} only; the settings want {minimum}",
                wall=walls.name(),
                minimum=policy.minimum,
            ),
            hint=text(
                "Install bubblewrap and allow user namespaces, or choose a weaker sandbox in the settings"
            ),
        )
    return dataclasses.replace(walls, notices=tuple(_notices(walls, policy)))


def _notices(walls: Walls, policy: SandboxPolicy) -> Iterator[Text]:
    """What the operator must know."""
    if walls.sandbox == "none":
        yield text(
            "JOBS RUN WITHOUT A SANDBOX: they can read what this server's user can read and see other jobs. "
            "Install bubblewrap before you let in anybody you do not trust"
        )
    elif walls.sandbox == "landlock":
        yield text(
            "Jobs run behind Landlock only: they see the machine's processes and network. Install bubblewrap "
            "and allow user namespaces for a full sandbox"
        )
        if walls.landlock_abi < SIGNALS_SINCE_ABI:
            yield text("The kernel's Landlock is too old to keep jobs from ending processes of the same user")
    if not walls.own_network:
        yield text(
            "Jobs without network still reach this machine's loopback: no network namespace can be made"
        )
    if not walls.cgroup_version:
        yield text(
            "Limits of memory and processes are kept by polling and rlimits, and CPU is not limited: "
            "no control groups can be made"
        )
    if not walls.seccomp:
        yield text(
            "No system calls are filtered: there is no seccomp filter for this host, or it is switched off"
        )
    if os.geteuid() == 0 and walls.tenant_uids is None and policy.drop_root:
        yield text(
            "Jobs keep the server's user id 0, without its rights: run the server as an ordinary user, or "
            "keep its data where every user may pass through"
        )
