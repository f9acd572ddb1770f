"""Translation of an order into the plan that its supervisor executes; the supervisor decides nothing itself."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pearlstreet.base.outcome import Refused
from pearlstreet.base.text import text
from pearlstreet.base.units import GIB
from pearlstreet.compute.engines.local import bubblewrap, devices, images, mps
from pearlstreet.compute.engines.local.folders import INSIDE, Folders, seen_at
from pearlstreet.compute.engines.local.policy import SandboxPolicy, Walls, python_prefixes
from pearlstreet.compute.engines.local.supervisor import files
from pearlstreet.compute.engines.local.variables import relocated, task_variables
from pearlstreet.compute.engines.protocol import AttemptOrder, DeviceGrant, TaskOrder
from pearlstreet.compute.engines.staging.model import restored_json, source_json
from pearlstreet.compute.hardware.model import NodeReport

OWN_NETWORK_PORT = 29500
"""MASTER_PORT of an attempt with a network namespace of its own: the usual port of distributed training."""
VARIABLE_BYTES = 131_071
"""Limit for one argument or variable: the kernel's MAX_ARG_STRLEN less the terminating NUL."""
ALL_BYTES = 1_500_000
"""Limit for all arguments and variables together; the kernel allows a quarter of an 8 MiB stack."""
MOST_WORDS = 2000
"""Limit for the number of arguments and variables: bubblewrap takes 9,000 options, three for each variable."""
OVERHEAD_PIDS = 8
"""Processes of the sandbox itself, added to the limit of a task."""
ADDRESS_SPACE = (4, 8 * GIB)
"""Address space limit where no control group limits memory: this multiple of the memory limit plus this many bytes."""
LEAST_MEMORY_BYTES = 16 << 20
"""Smallest memory limit of a task."""


def misfit(order: AttemptOrder, walls: Walls) -> Refused | None:
    """Return why the local engine cannot run an order that other engines may run, or None."""
    refused = images.image_refusal(order, walls.sandbox)
    if refused is not None:
        return refused
    try:
        for word in (*order.command, *order.variables, *order.variables.values()):
            word.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return Refused(
            "bad_text", text("The command or a variable holds characters that are no Unicode text")
        )
    for name, value in order.variables.items():
        if len(name) + len(value.encode("utf-8", "surrogateescape")) + 1 > VARIABLE_BYTES:
            reason = text("{name} is longer than the 128 KiB a variable may have", name=name[:80])
            return Refused("variable_too_large", reason)
    words = [*order.command, *(f"{name}={value}" for name, value in order.variables.items())]
    if any(len(word.encode("utf-8", "surrogateescape")) > VARIABLE_BYTES for word in order.command):
        return Refused("command_too_large", text("One word of the command is longer than 128 KiB"))
    if sum(len(word) for word in words) > ALL_BYTES or len(words) > MOST_WORDS:
        return Refused("order_too_large", text("The command and its variables are too large together"))
    own_network = walls.own_network and order.network == "none"
    if order.service is not None and order.service.ports and not own_network and walls.sandbox != "none":
        # On a network that it shares, other tenants' jobs could connect to the task directly.
        return Refused(
            "no_ports",
            text("Ports need a network of the attempt's own: network none, and a host that allows it"),
        )
    if order.limits.disk_gib <= 0 or order.limits.pids <= 0 or order.limits.log_bytes <= 0:
        return Refused("bad_limit", text("Limits of disk, processes and log must be more than zero"))
    sources = [stage.source for stage in order.stages] + [
        entry.source for entry in order.restore or () if entry.source is not None
    ]
    paths = [source if isinstance(source, str) else source.path for source in sources]
    for path in [*filter(None, paths), *(mount.source for mount in order.mounts)]:
        if "\0" in path or not os.path.lexists(path):
            return Refused("source_missing", text("{path} does not exist", path=repr(path[:300])))
    return None


def tenant_user(walls: Walls, tenant_id: str, nodes: Sequence[str]) -> dict[str, object] | None:
    """Return user id, group id and device groups for a tenant's jobs; None: they run as the server's user."""
    if walls.tenant_uids is None:
        return None
    first, count = walls.tenant_uids
    digest = hashlib.blake2b(tenant_id.encode(), digest_size=8).digest()
    uid = first + int.from_bytes(digest, "big") % count
    groups = {os.stat(path).st_gid for path in nodes} - {0}  # noqa: PTH116
    return {"uid": uid, "gid": uid, "groups": sorted(groups)}


def offline_filter(path: str) -> str:
    """Return the path of the seccomp filter for jobs without network, beside the filter for other jobs."""
    return f"{path}.offline"


def make_plan(
    order: AttemptOrder,
    node: NodeReport,
    walls: Walls,
    policy: SandboxPolicy,
    folders: Folders,
    seccomp: str | None,
) -> dict[str, object]:
    """Return the plan for the supervisor of `order`, as JSON."""
    folder = folders.attempt(order.attempt_id)
    inside = walls.sandbox == "bubblewrap"
    own_network = order.network == "none" and walls.own_network
    offline = order.network == "none" and bool(walls.seccomp_offline)
    port = OWN_NETWORK_PORT if own_network else free_port()
    ports = inner_ports(order, own_network=own_network)
    nodes = {task.rank: _present(devices.nodes_of(task.devices, node.devices)) for task in order.tasks}
    user = tenant_user(walls, order.tenant_id, [path for found in nodes.values() for path in found])
    libraries = {
        path: None for task in order.tasks for path in devices.libraries_of(task.devices, node.devices)
    }
    uses_mps = bool(policy.mps_pipe) and any(mps.is_shared(task.devices) for task in order.tasks)
    pipes = [policy.mps_pipe] if uses_mps else []
    shown = [*(() if order.image else python_prefixes()), *policy.read_only, *libraries, *pipes]
    read_only = [
        path
        for path in _present(shown)
        if not order.image or images.is_mountable(Path(order.image_folder), path)
    ]
    every_node = list(dict.fromkeys(path for found in nodes.values() for path in found))
    return {
        "attempt_id": order.attempt_id,
        "job_id": order.job_id,
        "tenant_id": order.tenant_id,
        "ranks": len(order.tasks),
        "node": node.name,
        "wall": walls.name(),
        "boot_id": files.boot_id(),
        "command": list(order.command)
        if inside
        else [relocated(word, order.mounts) for word in order.command],
        "sandbox": walls.sandbox,
        "bwrap": walls.bwrap,
        "landlock_abi": walls.landlock_abi,
        "own_network": own_network,
        "own_memory": walls.own_memory,
        "unlisted": [] if walls.own_memory else ["/dev/shm"],  # noqa: S108
        "seccomp": offline_filter(seccomp) if seccomp and offline else seccomp,
        "user": user,
        "owned": [mount.source for mount in order.mounts if mount.writable],
        "checkpoint": str(folders.checkpoint(order.checkpoint)) if order.checkpoint else None,
        "restore": [restored_json(entry) for entry in order.restore]
        if order.checkpoint and order.restore is not None
        else None,
        "cgroup": {"version": walls.cgroup_version, "parents": dict(walls.cgroup_parents)}
        if walls.cgroup_version
        else None,
        "supervisor_groups": list(walls.supervisor_groups),
        "shared_memory_bytes": sum(_memory_bytes(task) for task in order.tasks)
        if inside and len(order.tasks) > 1
        else 0,
        "work": str(folder / "work"),
        "inside_work": INSIDE["work"] if inside else str(folder / "work"),
        "readable": [*bubblewrap.SYSTEM, *bubblewrap.ETC, *bubblewrap.NAMES, "/proc", *read_only]
        + (["/sys"] if every_node else [])
        + [mount.source for mount in order.mounts if not mount.writable],
        "writable": [
            *(str(folder / name) for name in ("work", "outputs", "home", "tmp", "user-metrics")),
            *pipes,
        ]
        + (["/dev/shm"] if walls.own_memory else [])  # noqa: S108
        + ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", *every_node]
        + [mount.source for mount in order.mounts if mount.writable],
        "stages": [
            {"source": source_json(item.source), "target": item.target, "kind": item.kind}
            for item in order.stages
        ],
        "service": service_plan(order, ports, inside=inside),
        "secrets": [order.variables[name] for name in sorted(order.secret_names) if name in order.variables],
        "log_bytes": order.limits.log_bytes,
        "disk_bytes": int(order.limits.disk_gib * GIB),
        "time_s": order.limits.time_s,
        "grace_s": order.limits.grace_s,
        "tasks": [
            _task(order, task, node, walls, folders, port, ports, nodes[task.rank], read_only, policy)
            for task in order.tasks
        ],
    }


def inner_ports(order: AttemptOrder, *, own_network: bool) -> Mapping[int, Mapping[str, int]]:
    """Return rank → name → port on loopback. On the host's network free ones are taken; else ranks follow each other."""
    named = order.service.ports if order.service is not None else ()
    return {
        task.rank: {one.name: one.port + task.rank if own_network else free_port() for one in named}
        for task in order.tasks
    }


def service_plan(
    order: AttemptOrder, ports: Mapping[int, Mapping[str, int]], *, inside: bool
) -> dict[str, object] | None:
    """Return the service of an order as the supervisor reads it; None if it is none."""
    service = order.service
    if service is None:
        return None
    probes = {}
    for kind, probe in (("readiness", service.readiness), ("liveness", service.liveness)):
        probes[kind] = None if probe is None else asdict(probe)
        if probe is not None and not inside:
            probes[kind] = {
                **asdict(probe),
                "command": [relocated(word, order.mounts) for word in probe.command],
            }
    return {
        "ports": {str(rank): dict(of_rank) for rank, of_rank in ports.items()},
        **probes,
        "startup_grace_s": service.startup_grace_s,
        "restart": asdict(service.restart),
    }


def running_tasks(plan: Mapping[str, Any], node: str) -> list[TaskOrder]:
    """Return the tasks of a plan with the devices that they hold, and without CPU and memory."""
    return [
        TaskOrder(
            task["rank"],
            node,
            0.0,
            0.0,
            tuple(
                DeviceGrant(index, *share)
                for index, share in zip(
                    task["devices"], task.get("shares") or [[None, None]] * len(task["devices"]), strict=True
                )
            ),
        )
        for task in plan["tasks"]
    ]


def _task(
    order: AttemptOrder,
    task: TaskOrder,
    node: NodeReport,
    walls: Walls,
    folders: Folders,
    port: int,
    ports: Mapping[int, Mapping[str, int]],
    nodes: Sequence[str],
    read_only: Sequence[str],
    policy: SandboxPolicy,
) -> dict[str, object]:
    folder = folders.attempt(order.attempt_id)
    inside = walls.sandbox == "bubblewrap"
    memory_bytes = _memory_bytes(task)
    words: list[bubblewrap.Argument] = []
    driver = devices.driver_files(task.devices, node.devices) if order.image else {}
    if inside:
        words = bubblewrap.arguments(
            folder=folder,
            rank=task.rank,
            stubs=folders.stubs,
            internet=order.network == "internet",
            unshare_network=order.network == "none" and not walls.own_network,
            read_only=read_only,
            hidden=[*policy.hidden, str(folders.root)],
            mounts=order.mounts,
            bindings=order.bindings,
            device_nodes=nodes,
            shared_memory_bytes=memory_bytes if len(order.tasks) == 1 else None,
            image=order.image_folder if order.image else "",
            driver=driver,
        )
    return {
        "rank": task.rank,
        "devices": [grant.index for grant in task.devices],
        "shares": [[grant.memory_gib, grant.compute_percent] for grant in task.devices],
        "group": f"{_short(folders.root)}.{order.attempt_id}.{task.rank}",
        "limits": {
            "memory_bytes": memory_bytes,
            "cpus": task.cpus,
            "pids": order.limits.pids + OVERHEAD_PIDS,
        },
        "rlimits": _rlimits(order, walls, memory_bytes, bool(task.devices)),
        "variables": task_variables(
            order, task, node, seen_at(folder, task.rank, inside=inside), port=port, inside=inside
        )
        | mps.variables(task.devices, node.devices, policy.mps_pipe)
        | {f"PEARL_PORT_{name.upper()}": str(number) for name, number in ports[task.rank].items()},
        "endpoints": [
            [name, f"unix:{folder}/{files.PORTS}/{task.rank}.{name}.sock"] for name in ports[task.rank]
        ],
        "walls": words,
        "tcp_ports": ([port] if len(order.tasks) > 1 else [])
        if order.network == "none" and not walls.own_network
        else None,
    }


def _memory_bytes(task: TaskOrder) -> int:
    return max(int(task.memory_gib * GIB), LEAST_MEMORY_BYTES)


def _rlimits(order: AttemptOrder, walls: Walls, memory_bytes: int, has_devices: bool) -> Mapping[str, int]:
    found = {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": int(order.limits.disk_gib * GIB)}
    if walls.cgroup_version:
        return found
    found["pids"] = order.limits.pids + OVERHEAD_PIDS
    if not has_devices:  # device drivers reserve far more address space than they use
        found["RLIMIT_AS"] = memory_bytes * ADDRESS_SPACE[0] + ADDRESS_SPACE[1]
    return found


def _short(root: Path) -> str:
    """Return a short hash of the engine's folder, so that engines on one machine use different control groups."""
    return hashlib.blake2b(str(root.resolve()).encode(), digest_size=6).hexdigest()


def _present(paths: Sequence[str]) -> list[str]:
    return [path for path in paths if os.path.exists(path)]  # noqa: PTH110


def free_port() -> int:
    """Return a port that is free on loopback now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
