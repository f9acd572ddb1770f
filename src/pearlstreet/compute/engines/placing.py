"""Choice of nodes and devices for orders that leave it to the engine. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pearlstreet.compute.engines.protocol import (
    AttemptOrder,
    DeviceGrant,
    DeviceRequest,
    NodeReport,
    PlacementMode,
    TaskOrder,
)

TOLERANCE = 1e-6
"""Tolerance for sums of decimal fractions: 0.1 + 0.2 must still fit into 0.3."""


def is_open(order: AttemptOrder) -> bool:
    """Return whether an order leaves nodes or devices to the engine."""
    return any(not task.node or task.wants is not None for task in order.tasks)


def modes_of(tasks: Sequence[TaskOrder]) -> Sequence[PlacementMode]:
    """Return the placement modes that the order of these tasks may have; none if it mixes them."""
    if all(not task.node for task in tasks):
        return () if any(task.devices for task in tasks) else ("engine",)
    if not all(task.node for task in tasks):
        return ()
    given, wanted = any(task.devices for task in tasks), any(task.wants is not None for task in tasks)
    if given and wanted:
        return ()
    return ("device",) if given else ("node",) if wanted else ("device", "node")


@dataclass(slots=True)
class _FreeNode:
    """Free CPU, memory and shares (0–1) of the devices of one node."""

    cpus: float
    memory_gib: float
    shares: dict[int, float]


@dataclass(slots=True)
class FreeMachines:
    """Free capacity of some nodes by name. A node is looked into only when a task may run there."""

    nodes: Mapping[str, NodeReport]
    all_healthy: bool = False
    """Whether to count unhealthy nodes and devices, too."""
    _free: dict[str, _FreeNode] = field(default_factory=dict)

    def take(self, task: TaskOrder, sign: int = 1) -> None:
        """Subtract what a placed task uses; with `sign` -1 add it back."""
        free = self._look(task.node)
        if free is None:
            return
        free.cpus -= sign * task.cpus
        free.memory_gib -= sign * task.memory_gib
        sizes = {device.index: device.memory_gib for device in self.nodes[task.node].devices}
        for grant in task.devices:
            if grant.index in free.shares:
                free.shares[grant.index] -= sign * device_share(grant, sizes[grant.index])

    def take_all(self, gangs: Iterable[Iterable[TaskOrder]]) -> None:
        """Subtract what the tasks of several attempts use."""
        for tasks in gangs:
            for task in tasks:
                self.take(task)

    def place(self, tasks: Sequence[TaskOrder]) -> tuple[TaskOrder, ...] | None:
        """Choose nodes and devices for all tasks and subtract them; None, with nothing subtracted, if they do not fit now."""
        placed: list[TaskOrder] = []
        for task in tasks:
            chosen = self._place_task(task)
            if chosen is None:
                for one in placed:
                    self.take(one, -1)
                return None
            self.take(chosen)
            placed.append(chosen)
        return tuple(placed)

    def _look(self, name: str) -> _FreeNode | None:
        node = self.nodes.get(name)
        if node is None or not (node.healthy or self.all_healthy):
            return None
        if name not in self._free:
            shares = {d.index: 1.0 for d in node.devices if d.healthy or self.all_healthy}
            self._free[name] = _FreeNode(node.cpus, node.memory_gib, shares)
        return self._free[name]

    def _place_task(self, task: TaskOrder) -> TaskOrder | None:
        for name in (task.node,) if task.node else self.nodes:
            free = self._look(name)
            if (
                free is None
                or free.cpus + TOLERANCE < task.cpus
                or free.memory_gib + TOLERANCE < task.memory_gib
            ):
                continue
            grants = task.devices if task.wants is None else self._choose_devices(name, free, task.wants)
            if grants is not None:
                return replace(task, node=name, devices=grants, wants=None)
        return None

    def _choose_devices(
        self, name: str, free: _FreeNode, wants: DeviceRequest
    ) -> tuple[DeviceGrant, ...] | None:
        """Return the fullest devices of a node that have space for the share, so that whole devices stay free."""
        fit: list[tuple[float, DeviceGrant]] = []
        for device in self.nodes[name].devices:
            share = free.shares.get(device.index)
            if share is None or device.model != wants.model:
                continue
            grant = DeviceGrant(device.index, wants.memory_gib, wants.compute_percent)
            if device_share(grant, device.memory_gib) <= share + TOLERANCE:
                fit.append((share, grant))
        fit.sort(key=lambda found: (found[0], found[1].index))
        return tuple(grant for _, grant in fit[: wants.count]) if len(fit) >= wants.count else None


def device_share(grant: DeviceGrant, memory_gib: float) -> float:
    """Return the share of a device of `memory_gib` that a grant takes, 0–1 (more than 1: it does not fit).

    The share is the larger of its memory and compute shares; a grant that names neither takes the whole device.
    """
    parts = []
    if grant.memory_gib is not None:
        parts.append(grant.memory_gib / memory_gib if memory_gib > 0 and grant.memory_gib > 0 else 2.0)
    if grant.compute_percent is not None:
        parts.append(grant.compute_percent / 100 if grant.compute_percent > 0 else 2.0)
    return max(parts, default=1.0)
