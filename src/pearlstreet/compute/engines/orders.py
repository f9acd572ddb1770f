"""Checks that every engine makes before it starts an order: form, paths, capacity and isolation. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from pearlstreet.base.outcome import Refused
from pearlstreet.base.text import text
from pearlstreet.compute.engines.placing import TOLERANCE, FreeMachines, is_open, modes_of
from pearlstreet.compute.engines.placing import device_share as device_share
from pearlstreet.compute.engines.protocol import AttemptOrder, NodeReport, PlacementMode, TaskOrder
from pearlstreet.compute.engines.services import bad_service
from pearlstreet.compute.hardware.isolation import is_enough, shortfall
from pearlstreet.objects.model import BlobReference

_SAFE_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")
_DIGEST = re.compile(r"[0-9a-f]{64}")
TOO_WEAK = "isolation"
"""Refusal code of a node that isolates jobs less than the order requires; another node may accept the order."""


def plain_id(attempt_id: str) -> bool:
    """Return whether an attempt's id is safe as the name of a folder, a control group or a job of another system."""
    return _SAFE_ID.fullmatch(attempt_id) is not None


def stays_inside(path: str) -> bool:
    """Return whether a relative path stays inside the folder that it is joined to (`.` included). Does not access the disk."""
    pure = PurePosixPath(path)
    return path != "" and not pure.is_absolute() and ".." not in pure.parts and "\0" not in path


def refusal(
    order: AttemptOrder, nodes: Mapping[str, NodeReport], placements: Sequence[PlacementMode] = ("device",)
) -> Refused | None:
    """Return why an order cannot be started on `nodes` (by name), or None if it can.

    `placements`: modes that the engine offers. An order that leaves its place to the engine must fit on machines that are idle.
    """
    return (
        _bad_form(order)
        or _bad_paths(order)
        or _bad_mode(order, placements)
        or _does_not_fit(order, nodes)
        or (_never_fits(order, nodes) if is_open(order) else None)
        or _too_weak(order, nodes)
    )


def _bad_mode(order: AttemptOrder, placements: Sequence[PlacementMode]) -> Refused | None:
    modes = modes_of(order.tasks)
    if not modes:
        reason = text("The tasks of an order must leave the same to the engine: nodes, devices or neither")
        return Refused("bad_placement", reason)
    if not set(modes) & set(placements):
        return Refused(
            "bad_placement",
            text(
                "This engine does not take orders by {mode}; it takes them by {modes}",
                mode=modes[0],
                modes=", ".join(placements),
            ),
        )
    return None


def _never_fits(order: AttemptOrder, nodes: Mapping[str, NodeReport]) -> Refused | None:
    """Return why an order fits on no machines of the engine, even when they are idle."""
    impossible = any(task.cpus < 0 or task.memory_gib < 0 for task in order.tasks) or any(
        task.wants is not None and task.wants.count < 1 for task in order.tasks
    )
    if impossible or FreeMachines(nodes, all_healthy=True).place(order.tasks) is None:
        return Refused(
            "over_capacity", text("The order fits on no machines of this engine, even when they are idle")
        )
    strong = {
        name: node for name, node in nodes.items() if is_enough(node.isolation, order.minimum_isolation)
    }
    if len(strong) < len(nodes) and FreeMachines(strong, all_healthy=True).place(order.tasks) is None:
        reason = text(
            "Too few machines of this engine isolate jobs by {minimum}", minimum=order.minimum_isolation
        )
        return Refused(TOO_WEAK, reason)
    return None


def _bad_form(order: AttemptOrder) -> Refused | None:
    if not plain_id(order.attempt_id):
        return Refused("bad_id", text("{id} cannot be an attempt's id", id=repr(order.attempt_id[:80])))
    if order.checkpoint and not plain_id(order.checkpoint):
        return Refused("bad_id", text("{id} cannot name a checkpoint folder", id=repr(order.checkpoint[:80])))
    if not order.command or any("\0" in part for part in order.command):
        return Refused("bad_command", text("The command is empty or holds a NUL character"))
    if [task.rank for task in order.tasks] != list(range(len(order.tasks))) or not order.tasks:
        return Refused("bad_ranks", text("The tasks of an attempt must have ranks 0, 1, 2 … in order"))
    for name, value in (*order.variables.items(), *order.path_variables.items()):
        if not name or "=" in name or "\0" in name or "\0" in value:
            return Refused(
                "bad_variable", text("{name} cannot be an environment variable", name=repr(name[:80]))
            )
    if order.limits.time_s is not None and order.limits.time_s <= 0:
        return Refused("bad_limit", text("The time limit must be more than zero"))
    return None if order.service is None else bad_service(order.service)


def _bad_paths(order: AttemptOrder) -> Refused | None:
    for stage in order.stages:
        if not stays_inside(stage.target) or not _can_be_read(stage.source):
            return Refused(
                "path_escape", text("{path} leads out of the job's folder", path=repr(stage.target[:200]))
            )
    for entry in order.restore or ():
        if not stays_inside(entry.path) or not (entry.source is None or _can_be_read(entry.source)):
            return Refused(
                "path_escape", text("{path} leads out of the job's folder", path=repr(entry.path[:200]))
            )
    for path in order.path_variables.values():
        if not stays_inside(path):
            return Refused("path_escape", text("{path} leads out of the job's folder", path=repr(path[:200])))
    for path in (binding.path for binding in order.bindings):
        if not stays_inside(path):
            return Refused("path_escape", text("{path} leads out of the job's folder", path=repr(path[:200])))
    targets = [mount.target for mount in order.mounts] + [binding.target for binding in order.bindings]
    for target in targets:
        if not PurePosixPath(target).is_absolute() or ".." in PurePosixPath(target).parts or "\0" in target:
            return Refused("path_escape", text("{path} cannot be a mount point", path=repr(target[:200])))
    return None


def _can_be_read(source: str | BlobReference) -> bool:
    """Return whether a source is an absolute path, or a stored file with one or with an address."""
    if isinstance(source, str):
        return PurePosixPath(source).is_absolute()
    if _DIGEST.fullmatch(source.sha256) is None or source.size_bytes < 0:
        return False
    return PurePosixPath(source.path).is_absolute() or source.url.startswith(("https://", "http://"))


def _does_not_fit(order: AttemptOrder, nodes: Mapping[str, NodeReport]) -> Refused | None:
    cpus: dict[str, float] = {}
    memory_gib: dict[str, float] = {}
    shares: dict[tuple[str, int], float] = {}
    for task in (task for task in order.tasks if task.node):
        node = nodes.get(task.node)
        if node is None:
            return Refused("unknown_node", text("There is no node {name}", name=task.node))
        cpus[task.node] = cpus.get(task.node, 0.0) + task.cpus
        memory_gib[task.node] = memory_gib.get(task.node, 0.0) + task.memory_gib
        if task.cpus < 0 or cpus[task.node] > node.cpus + TOLERANCE:
            return _too_much(task, text("CPUs"), cpus[task.node], node.cpus)
        if task.memory_gib < 0 or memory_gib[task.node] > node.memory_gib + TOLERANCE:
            return _too_much(task, text("GiB of memory"), memory_gib[task.node], node.memory_gib)
        refused = _bad_devices(task, node, shares)
        if refused is not None:
            return refused
    return None


def _too_weak(order: AttemptOrder, nodes: Mapping[str, NodeReport]) -> Refused | None:
    for task in (task for task in order.tasks if task.node):
        reason = shortfall(task.node, nodes[task.node].isolation, order.minimum_isolation)
        if reason is not None:
            return Refused(TOO_WEAK, reason)
    return None


def _bad_devices(task: TaskOrder, node: NodeReport, shares: dict[tuple[str, int], float]) -> Refused | None:
    sizes = {device.index: device.memory_gib for device in node.devices}
    for grant in task.devices:
        if grant.index not in sizes:
            return Refused(
                "no_such_device",
                text(
                    "Node {node} has no device {index}; it has {count}",
                    node=task.node,
                    index=grant.index,
                    count=len(sizes),
                ),
            )
        place = (task.node, grant.index)
        shares[place] = shares.get(place, 0.0) + device_share(grant, sizes[grant.index])
        if shares[place] > 1 + TOLERANCE:
            return Refused(
                "over_capacity",
                text(
                    "The order requests more than the whole device {index} of node {node}",
                    index=grant.index,
                    node=task.node,
                ),
            )
    return None


def _too_much(task: TaskOrder, what: object, wanted: float, has: float) -> Refused:
    return Refused(
        "over_capacity",
        text(
            "Node {node} has {has} {what}; the order asks for {wanted}",
            node=task.node,
            has=f"{has:g}",
            what=what,
            wanted=f"{wanted:g}",
        ),
    )
