"""Turns the tasks of an order into what is asked of Slurm: equal nodes, with an equal part of the ranks on each. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pearlstreet.compute.engines.placing import FreeMachines, device_share
from pearlstreet.compute.engines.protocol import AttemptOrder, DeviceGrant, NodeReport, TaskOrder
from pearlstreet.compute.engines.slurm.gres import Gres, total
from pearlstreet.compute.engines.slurm.model import SlurmNode

MIB_PER_GIB = 1024
OVERHEAD_MIB = 64
"""Memory that the supervisor of a node needs beside the tasks, which Slurm counts against the job."""
SLACK_S = 120.0
"""Time that Slurm gives a job beyond its limit and grace, which the supervisor enforces to the second."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What an order needs of each of its nodes."""

    nodes: int
    ranks_per_node: int
    cpus_per_node: int
    memory_mib_per_node: int
    gres_per_node: tuple[Gres, ...]
    node_names: tuple[str, ...]
    devices_per_task: int
    is_shared: bool
    """Whether the tasks have shares of devices."""


def spread(
    order: AttemptOrder, free: Mapping[str, NodeReport], whole: Mapping[str, NodeReport]
) -> AttemptOrder | None:
    """Return an order that leaves its nodes to Slurm with nodes of the kind that it needs; None: no equal nodes could have it.

    Slurm is told how many nodes, not which: the fewest on which it fits now, else the fewest on which it fits when they are
    idle. Ranks of one node reach each other fastest.
    """
    return _spread(order, free) or _spread(order, whole)


def _spread(order: AttemptOrder, nodes: Mapping[str, NodeReport]) -> AttemptOrder | None:
    ranks = len(order.tasks)
    for count in (count for count in range(1, ranks + 1) if ranks % count == 0):
        part = ranks // count
        placed: list[TaskOrder] = []
        free = dict(nodes)
        for first in range(0, ranks, part):
            tasks = order.tasks[first : first + part]
            name = next((name for name in free if _fits(tasks, free[name])), None)
            if name is None:
                break
            del free[name]
            placed += (replace(task, node=name) for task in tasks)
        if len(placed) == ranks:
            return replace(order, tasks=tuple(placed))
    return None


def _fits(tasks: Sequence[TaskOrder], node: NodeReport) -> bool:
    return FreeMachines({node.name: node}, all_healthy=True).place(tasks) is not None


def _with_grants(task: TaskOrder) -> TaskOrder:
    """Return a task with as many grants as it wants devices; which devices they are, Slurm decides."""
    if task.wants is None:
        return task
    wants = task.wants
    grants = (DeviceGrant(index, wants.memory_gib, wants.compute_percent) for index in range(wants.count))
    return replace(task, devices=tuple(grants))


def demand_of(
    order: AttemptOrder, nodes: Mapping[str, SlurmNode], kinds: Mapping[str, str] | None = None
) -> Demand | None:
    """Return what is asked for an order whose nodes are given by name; None: its tasks are not spread evenly.

    `kinds`: model of the catalogue → type of Slurm's generic resource.
    """
    ordered = [_with_grants(task) for task in order.tasks]
    places = list(dict.fromkeys(task.node for task in ordered))
    by_node = [[task for task in ordered if task.node == place] for place in places]
    sizes = {len(tasks) for tasks in by_node}
    counts = {len(task.devices) for task in ordered}
    in_order = [task.rank for tasks in by_node for task in tasks] == [task.rank for task in ordered]
    if len(sizes) != 1 or not in_order:
        return None
    is_shared = any(
        grant.memory_gib is not None or grant.compute_percent is not None
        for task in ordered
        for grant in task.devices
    )
    return Demand(
        nodes=len(places),
        ranks_per_node=sizes.pop(),
        cpus_per_node=max(1, max(math.ceil(sum(task.cpus for task in tasks)) for tasks in by_node)),
        memory_mib_per_node=OVERHEAD_MIB
        + max(math.ceil(sum(task.memory_gib for task in tasks) * MIB_PER_GIB) for tasks in by_node),
        gres_per_node=_gres(by_node, [nodes[place] for place in places], kinds or {}),
        node_names=tuple(places),
        devices_per_task=max(counts),
        is_shared=is_shared,
    )


def time_minutes(order: AttemptOrder) -> int | None:
    """Return the time limit that Slurm is told, in its unit; None: none."""
    if order.limits.time_s is None:
        return None
    return math.ceil((order.limits.time_s + order.limits.grace_s + SLACK_S) / 60)


def _gres(
    by_node: Sequence[Sequence[TaskOrder]], nodes: Sequence[SlurmNode], kinds: Mapping[str, str]
) -> tuple[Gres, ...]:
    """Return the devices that are asked for on each node: whole GPUs, or shards of them."""
    gpus = [sum(1 for task in tasks for grant in task.devices) for tasks in by_node]
    if not any(gpus):
        return ()
    node = nodes[0]
    wanted = {kinds.get(task.wants.model, "") for tasks in by_node for task in tasks if task.wants}
    offered = [item.kind for item in node.gres if item.name == "gpu"]
    kind = next((kind for kind in offered if kind in wanted), offered[0] if offered else "")
    shares = max(
        sum(
            device_share(grant, 1.0) if grant.compute_percent is not None else 0.0
            for task in tasks
            for grant in task.devices
        )
        for tasks in by_node
    )
    shards, count = total(node.gres, "shard"), total(node.gres, "gpu")
    if shares and shards and count:
        return (Gres("shard", "", max(1, math.ceil(shares * shards / count))),)
    return (Gres("gpu", kind, max(gpus)),)
