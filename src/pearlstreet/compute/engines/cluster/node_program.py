"""Program that a cluster starts on each node of an attempt: runs the node's tasks under the supervisor of the local engine.

It needs Python and the shared folder, and runs as the Unix user of the tenant's organisation. The sandbox is the strongest that
works for this user on this node.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pearlstreet.compute.engines.cluster.node_folders import ORDER, NodeFolders, node_folder
from pearlstreet.compute.engines.cluster.order_json import order_from_json
from pearlstreet.compute.engines.local import checkpoints, detect
from pearlstreet.compute.engines.local.devices import VENDORS
from pearlstreet.compute.engines.local.plan import make_plan
from pearlstreet.compute.engines.local.policy import SandboxPolicy, Walls
from pearlstreet.compute.engines.local.supervisor import files
from pearlstreet.compute.engines.local.supervisor import main as supervisor
from pearlstreet.compute.engines.local.supervisor.files import text
from pearlstreet.compute.engines.protocol import AttemptOrder, DeviceGrant, DeviceReport, NodeReport
from pearlstreet.compute.hardware.isolation import is_enough

REFUSED = 78
"""Exit code if the node cannot run the attempt (EX_CONFIG)."""
STARTED_BEFORE = 75
"""Exit code of a second job for an attempt (EX_TEMPFAIL): its program never runs twice."""
FIRST_PORT, PORTS = 20_000, 10_000
"""Ports at which the ranks of gangs meet; the attempt's id chooses one, so that gangs on one node rarely share it."""


def main(words: Sequence[str]) -> int:
    """Run the tasks of one node and return the exit code: 0 if all of them succeeded."""
    attempt, number = Path(words[1]), int(os.environ.get("SLURM_NODEID", "0"))
    settings = json.loads((attempt / ORDER).read_text("utf-8"))
    folders = NodeFolders(attempt.parent.parent, node_folder(attempt, number))
    place = str(folders.place)
    if (folders.place / files.LAUNCHED).exists():
        return STARTED_BEFORE
    try:
        plan = _plan(settings, folders, number)
        files.write_json(place, files.ORDER, plan, sync=False)
    except Exception as error:  # noqa: BLE001  # whatever is wrong with the node must be told, not only be in a log of Slurm's
        _refuse(place, f"{error}")
        return REFUSED
    handle = os.open("/dev/null", os.O_WRONLY)
    supervisor.main(place, handle)
    state = files.read_json(place, files.STATE)
    return 0 if state is not None and state["end_reason"] == "exited" and state["exit_code"] == 0 else 1


def _refuse(folder: str, reason: str) -> None:
    print(reason, file=sys.stderr)  # noqa: T201
    message = text("The node cannot run the attempt: {reason}", reason=reason[:300])
    ended: dict[str, object] = {
        "state": "exited",
        "tasks": [],
        "started_us": None,
        "end_reason": "engine_lost",
    }
    ended |= {"ended_us": files.WallClock().now_us(), "exit_code": None, "message": message, "saved_us": None}
    files.write_json(folder, files.STATE, ended)


def _plan(settings: Mapping[str, Any], folders: NodeFolders, number: int) -> dict[str, Any]:
    """Return the plan of this node's tasks for the supervisor."""
    whole = order_from_json(settings["order"])
    ranks = range(number * settings["ranks_per_node"], (number + 1) * settings["ranks_per_node"])
    name = settings["node_prefix"] + os.environ.get("SLURMD_NODENAME", "node")
    visible = _words("CUDA_VISIBLE_DEVICES")
    physical = [
        int(word)
        for word in _words("SLURM_STEP_GPUS", "SLURM_JOB_GPUS", "CUDA_VISIBLE_DEVICES")
        if word.isdigit()
    ]
    count = settings["devices_per_task"]
    given = {
        rank: physical if settings["shares"] else physical[position * count : (position + 1) * count]
        for position, rank in enumerate(ranks)
    }
    tasks = tuple(
        replace(
            whole.tasks[rank],
            node=name,
            devices=tuple(DeviceGrant(index) for index in given[rank]),
            wants=None,
        )
        for rank in ranks
    )
    many = settings["nodes"] > 1
    # A network of its own would cut a gang's nodes off from each other.
    order = replace(whole, tasks=tasks, network="internet" if many else whole.network)
    devices = tuple(DeviceReport(index, settings["vendor"], settings["model"], 0.0) for index in physical)
    policy = SandboxPolicy(minimum=settings["minimum"], hidden=tuple(settings["hidden"]))
    walls = _walls(policy, folders)
    if not is_enough(walls.sandbox, whole.minimum_isolation) or not is_enough(walls.sandbox, policy.minimum):
        raise RuntimeError(
            f"this node isolates jobs by {walls.name()} only, which the center does not accept"
        )
    if many:
        walls = replace(walls, own_network=False)
    detect.write_stubs(folders.stubs)
    node = NodeReport(name, float(os.cpu_count() or 1), 0.0, 0.0, devices)
    seccomp = detect.write_seccomp(folders.root, walls)
    order = checkpoints.with_checkpoint(order, folders)
    plan: dict[str, Any] = make_plan(order, node, walls, policy, folders, seccomp)
    plan["stages"] = []  # the server has put the inputs in place
    for position, task in enumerate(plan["tasks"]):
        task["variables"] |= _variables(whole, settings, number, position, plan, many=many)
        own = visible if settings["shares"] else visible[position * count : (position + 1) * count]
        vendor = VENDORS.get(settings["vendor"])
        if own and vendor is not None:
            task["variables"][vendor.variable] = ",".join(own)
    return plan


def _variables(
    order: AttemptOrder,
    settings: Mapping[str, Any],
    number: int,
    position: int,
    plan: Mapping[str, Any],
    *,
    many: bool,
) -> dict[str, str]:
    """Return the variables that tell a task its place in the whole gang."""
    size = str(len(order.tasks))
    values = {
        "PEARL_TASKS": size,
        "WORLD_SIZE": size,
        "LOCAL_RANK": str(position),
        "LOCAL_WORLD_SIZE": str(settings["ranks_per_node"]),
        "NODE_RANK": str(number),
    }
    if many:
        port = FIRST_PORT + int.from_bytes(order.attempt_id.encode()[-4:], "big") % PORTS
        values |= {"MASTER_ADDR": os.environ.get("PEARL_MASTER", "127.0.0.1"), "MASTER_PORT": str(port)}
    return values


def _words(*names: str) -> list[str]:
    for name in names:
        words = [word for word in os.environ.get(name, "").split(",") if word]
        if words and words != ["NoDevFiles"]:
            return words
    return []


def _walls(policy: SandboxPolicy, folders: NodeFolders) -> Walls:
    """Return the strongest isolation that works here; trials take 0.1 s or more, so the node's last answer is kept."""
    basis = [files.boot_id(), repr(detect.look_at_basis()), repr(policy), sys.version, os.uname().nodename]
    cache = folders.root / "nodes"
    cache.mkdir(mode=0o700, exist_ok=True)
    name = f"{os.environ.get('SLURMD_NODENAME', os.uname().nodename)}.json"
    known = files.read_json(str(cache), name)
    if known is not None and known["basis"] == basis:
        return walls_from_json(known["walls"])
    with tempfile.TemporaryDirectory(prefix="trial-", dir=cache) as trial:
        walls = detect.detect(policy, Path(trial), detect.look_at_basis())
    files.write_json(str(cache), name, {"basis": basis, "walls": walls_to_json(walls)}, sync=False)
    return walls


def walls_to_json(walls: Walls) -> dict[str, Any]:
    """Return isolation measures as JSON, without their notices."""
    value = {item.name: getattr(walls, item.name) for item in dataclasses.fields(walls)}
    value |= {"seccomp": walls.seccomp.hex(), "seccomp_offline": walls.seccomp_offline.hex()}
    value |= {"cgroup_parents": dict(walls.cgroup_parents), "notices": []}
    return value


def walls_from_json(value: Mapping[str, Any]) -> Walls:
    """Return the isolation measures that `walls_to_json` wrote."""
    uids = value["tenant_uids"]
    return Walls(
        **{
            **value,
            "seccomp": bytes.fromhex(value["seccomp"]),
            "seccomp_offline": bytes.fromhex(value["seccomp_offline"]),
            "supervisor_groups": tuple(value["supervisor_groups"]),
            "tenant_uids": tuple(uids) if uids else None,
            "notices": (),
        }
    )
