"""Turns the tasks of an order into what is asked of Slurm: equal nodes, with an equal part of the ranks on each. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pearlstreet.compute.engines.orders import device_share
from pearlstreet.compute.engines.protocol import AttemptOrder, TaskOrder
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


def demand_of(order: AttemptOrder, nodes: Mapping[str, SlurmNode]) -> Demand | None:
    """Return what is asked for an order whose nodes are given by name; None: its tasks are not spread evenly."""
    places = list(dict.fromkeys(task.node for task in order.tasks))
    by_node = [[task for task in order.tasks if task.node == place] for place in places]
    sizes = {len(tasks) for tasks in by_node}
    counts = {len(task.devices) for task in order.tasks}
    in_order = [task.rank for tasks in by_node for task in tasks] == [task.rank for task in order.tasks]
    if len(sizes) != 1 or not in_order:
        return None
    is_shared = any(
        grant.memory_gib is not None or grant.compute_percent is not None
        for task in order.tasks
        for grant in task.devices
    )
    return Demand(
        nodes=len(places),
        ranks_per_node=sizes.pop(),
        cpus_per_node=max(1, max(math.ceil(sum(task.cpus for task in tasks)) for tasks in by_node)),
        memory_mib_per_node=OVERHEAD_MIB
        + max(math.ceil(sum(task.memory_gib for task in tasks) * MIB_PER_GIB) for tasks in by_node),
        gres_per_node=_gres(by_node, [nodes[place] for place in places]),
        node_names=tuple(places),
        devices_per_task=max(counts),
        is_shared=is_shared,
    )


def time_minutes(order: AttemptOrder) -> int | None:
    """Return the time limit that Slurm is told, in its unit; None: none."""
    if order.limits.time_s is None:
        return None
    return math.ceil((order.limits.time_s + order.limits.grace_s + SLACK_S) / 60)


def _gres(by_node: Sequence[Sequence[TaskOrder]], nodes: Sequence[SlurmNode]) -> tuple[Gres, ...]:
    """Return the devices that are asked for on each node: whole GPUs, or shards of them."""
    gpus = [sum(1 for task in tasks for grant in task.devices) for tasks in by_node]
    if not any(gpus):
        return ()
    node = nodes[0]
    kind = next((item.kind for item in node.gres if item.name == "gpu"), "")
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
