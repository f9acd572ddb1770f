"""Detection of the strongest isolation that works on this host, by a trial attempt for each candidate."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.text import Text, text
from pearlstreet.compute.engines.local import bubblewrap, hostcgroups, seccomp
from pearlstreet.compute.engines.local.clearing import delete_tree, end_leftovers
from pearlstreet.compute.engines.local.folders import Folders
from pearlstreet.compute.engines.local.launching import launch
from pearlstreet.compute.engines.local.plan import make_plan, offline_filter
from pearlstreet.compute.engines.local.policy import (
    SMALL_TENANT_UIDS,
    TENANT_UIDS,
    SandboxPolicy,
    Walls,
    python_prefixes,
)
from pearlstreet.compute.engines.local.supervisor import files, linux
from pearlstreet.compute.engines.protocol import AttemptOrder, Limits, TaskOrder
from pearlstreet.compute.hardware.isolation import ISOLATIONS, Isolation, is_enough
from pearlstreet.compute.hardware.model import NodeReport

TRIAL_WITHIN_S = 10.0
SIGNALS_SINCE_ABI = 6
"""First Landlock ABI that restricts signals."""
TCP_SINCE_ABI = 4
"""First Landlock ABI that restricts TCP."""
TRIAL_MEMORY_GIB = 0.0625


@dataclass(frozen=True, slots=True)
class HostFacts:
    """Facts about the host that need no trial."""

    bwrap: str
    landlock_abi: int
    cgroups: hostcgroups.Found
    root: bool
    uid_map: str


Basis = tuple[object, ...]
"""Facts on which the choice of isolation depends, as values that can be compared."""
USER_NAMESPACE_SETTINGS = (
    *(f"/proc/sys/user/max_{kind}_namespaces" for kind in ("user", "mnt", "pid", "net", "ipc", "uts")),
    "/proc/sys/kernel/unprivileged_userns_clone",
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
)
"""Settings by which an administrator disables namespaces for bubblewrap; the last two exist on Debian and Ubuntu only."""


def look_at_basis() -> Basis:
    """Return the facts on which the strongest isolation depends: the bubblewrap program and the namespace settings.

    This takes about 0.1 ms, so every start of an attempt checks it. Other changes show when a sandbox fails.
    """
    bwrap = shutil.which("bwrap")
    basis: list[object] = [bwrap]
    with contextlib.suppress(OSError):
        program = Path(bwrap or "").stat()
        basis += [program.st_dev, program.st_ino, program.st_mtime_ns, program.st_mode, program.st_uid]
    for name in USER_NAMESPACE_SETTINGS:
        try:
            basis.append(Path(name).read_bytes())
        except OSError:
            basis.append(None)
    return tuple(basis)


@functools.cache
def detect(policy: SandboxPolicy, root: Path, basis: Basis) -> Walls:
    """Return the strongest isolation for jobs beneath `root` that works and that the policy allows.

    `basis`: the current result of `look_at_basis`; a changed one causes a new detection. Raises ConfigurationError if
    the sandbox that the policy names does not work.
    """
    host = _host(policy)
    for walls in _candidates(policy, host, root):
        if policy.sandbox in ("auto", walls.sandbox) and _works(walls, policy, root):
            return dataclasses.replace(walls, notices=tuple(_notices(walls, policy)))
    raise ConfigurationError(
        text("This host cannot isolate jobs with {wall}", wall=policy.sandbox),
        hint=text("Install bubblewrap and allow user namespaces, or choose a weaker sandbox in the settings"),
    )


def _host(policy: SandboxPolicy) -> HostFacts:
    groups = hostcgroups.Found()
    if policy.cgroups == "auto":
        groups = hostcgroups.find(
            Path("/proc/self/mountinfo").read_text(), Path("/proc/self/cgroup").read_text()
        )
    return HostFacts(
        bwrap=shutil.which("bwrap") or "",
        landlock_abi=linux.landlock_abi(),
        cgroups=groups,
        root=os.geteuid() == 0,
        uid_map=Path("/proc/self/uid_map").read_text(),
    )


def _candidates(policy: SandboxPolicy, host: HostFacts, root: Path) -> Iterator[Walls]:
    """Yield candidates, strongest first; the last one always works."""
    groups = [host.cgroups, hostcgroups.Found()] if host.cgroups.version else [hostcgroups.Found()]
    uids = _tenant_uids(host.uid_map) if host.root and policy.drop_root else None
    for sandbox in reversed(ISOLATIONS):
        if (sandbox == "bubblewrap" and not host.bwrap) or (sandbox == "landlock" and not host.landlock_abi):
            continue
        reachable = sandbox == "bubblewrap" or _open_to_all([root, *map(Path, python_prefixes())])
        for found in groups:
            for own_network, own_memory in _NAMESPACES[sandbox]:
                walls = Walls(
                    sandbox=sandbox,
                    bwrap=host.bwrap,
                    landlock_abi=host.landlock_abi,
                    own_network=own_network,
                    own_memory=own_memory,
                    cgroup_version=found.version,
                    cgroup_parents=found.parents,
                    supervisor_groups=found.trackers if Path("/run/systemd/system").is_dir() else (),
                    tenant_uids=uids if reachable else None,
                )
                for bpf in dict.fromkeys([_filter_for(walls) if policy.seccomp else b"", b""]):
                    offline = _filter_for(walls, tcp_only=True) if bpf and _needs_offline(walls) else b""
                    yield dataclasses.replace(walls, seccomp=bpf, seccomp_offline=offline)


_NAMESPACES: Mapping[Isolation, tuple[tuple[bool, bool], ...]] = {
    "bubblewrap": ((True, True), (False, True)),
    "landlock": ((True, True), (True, False), (False, True), (False, False)),
    "none": ((True, False), (False, False)),
}
"""Sandbox → candidates (private network namespace, private shared memory), strongest first."""


def _needs_offline(walls: Walls) -> bool:
    """Return whether Landlock must block the network of jobs without one; it restricts TCP only, from ABI 4 on."""
    return walls.sandbox == "landlock" and walls.landlock_abi >= TCP_SINCE_ABI and not walls.own_network


def _filter_for(walls: Walls, *, tcp_only: bool = False) -> bytes:
    """Return the system call filter; for Landlock it also blocks calls that namespaces or user ids would block."""
    alone = (
        walls.sandbox != "landlock"
    )  # bubblewrap has namespaces; without a sandbox these calls stay allowed
    return seccomp.program(
        platform.machine(),
        shared_user=not alone and walls.tenant_uids is None,
        shared_ipc=not alone and not walls.own_memory,
        tcp_only=tcp_only,
    )


def _tenant_uids(uid_map: str) -> tuple[int, int] | None:
    """Return first and number of a range of user ids that exists in this user namespace, or None."""
    ranges = [tuple(int(part) for part in line.split()) for line in uid_map.splitlines()]
    for first, count in (TENANT_UIDS, SMALL_TENANT_UIDS):
        if any(start <= first and first + count <= start + length for start, _, length in ranges):
            return first, count
    return None


def _open_to_all(paths: list[Path]) -> bool:
    """Return whether every user may traverse the folders that lead to `paths`."""
    parents = {parent for path in paths for parent in path.resolve().parents}
    return all(parent.stat().st_mode & 0o001 for parent in parents if parent.exists())


def _works(walls: Walls, policy: SandboxPolicy, root: Path) -> bool:
    """Return whether a trial attempt that runs `true` under `walls` succeeds."""
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
    """Write the files that replace the host's in the /etc of jobs."""
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
    """Write the system call filters as files for supervisors; return the path of the general one, None without filter."""
    if not walls.seccomp:
        return None
    path = root / "seccomp.bpf"
    for place, program in ((path, walls.seccomp), (root / offline_filter(path.name), walls.seccomp_offline)):
        if program and (not place.exists() or place.read_bytes() != program):
            partial = root / f".seccomp.{os.getpid()}.{time.monotonic_ns():x}"
            partial.write_bytes(program)
            partial.rename(place)
    return str(path)


def make_attempt_folder(folders: Folders, attempt_id: str, walls: Walls) -> None:
    """Create the empty folders of an attempt. Raises OSError."""
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


def refuse_weaker(walls: Walls, minimum: Isolation) -> None:
    """Raise ConfigurationError if `walls` are weaker than `minimum`."""
    if not is_enough(walls.sandbox, minimum):
        raise ConfigurationError(
            text(
                "This host can isolate jobs with {wall} only; the settings require {minimum}",
                wall=walls.name(),
                minimum=minimum,
            ),
            hint=text(
                "Install bubblewrap and allow user namespaces, or choose a weaker sandbox in the settings"
            ),
        )


def _notices(walls: Walls, policy: SandboxPolicy) -> Iterator[Text]:
    """Yield the warnings that the operator must see."""
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
        if not walls.own_memory:
            yield text(
                "Jobs of all tenants share /dev/shm, because no namespaces can be made: a job that knows the name of "
                "another's shared memory can read and change it. Names cannot be listed"
            )
        if walls.tenant_uids is None and not walls.seccomp:
            yield text(
                "Jobs of all tenants share a user id and no system calls are filtered: they can change the priority "
                "and the affinity of each other's processes"
            )
    if not walls.own_network and not walls.seccomp_offline:
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
