"""Columns of nodes from their rows. Arrays stay the same objects in successive snapshots while what they say is the same."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields, replace
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np

from pearlstreet.compute.pool.slices import FULL_BP, Share, card_bp
from pearlstreet.compute.scheduling.model import I64, Nodes
from pearlstreet.compute.scheduling.rows import NodeRow, PflopsOf, RunningAttempt, TaskUse

GFLOPS_PER_PFLOPS = 1_000_000
_FREE = ("cpu_free", "memory_free", "device_memory_free", "device_compute_free")
"""Columns from which running attempts are subtracted, so each snapshot has its own."""


class NodeTable:
    """Nodes of successive snapshots. Rows that are the same objects as before cost nothing but the comparison."""

    def __init__(self) -> None:
        self._rows: list[NodeRow] = []
        self._nodes = _columns(())
        self.models: tuple[str, ...] = ()
        self.domains: tuple[str, ...] = ()
        """Names of the domains by their index."""
        self._gflops: I64 = np.zeros(0, dtype=np.int64)
        self.positions: list[dict[int, int]] = []
        """Position of each device in its node, by the engine's number: one table a node."""
        self._held: dict[str, tuple[tuple[TaskUse, ...], I64, I64]] = {}
        self.number: dict[str, int] = {}
        """Index of each node by name."""

    def update(self, rows: Mapping[str, NodeRow]) -> Nodes:
        """Return the columns of the rows, with nothing in use."""
        found = list(rows.values())
        if len(found) != len(self._rows) or any(a is not b for a, b in zip(found, self._rows, strict=True)):
            self._rows = found
            self._replace(_columns(found), _models(found), _domains(found))
        return replace(self._nodes, **{name: getattr(self._nodes, name).copy() for name in _FREE})

    def _replace(self, nodes: Nodes, models: tuple[str, ...], domains: tuple[str, ...]) -> None:
        before, same = self._nodes, {}
        for field in fields(Nodes):
            old, new = getattr(before, field.name), getattr(nodes, field.name)
            same[field.name] = old if field.name != "names" and np.array_equal(old, new) else new
        self._nodes = nodes = Nodes(**same)
        if (
            nodes.names != before.names
            or nodes.device_index is not before.device_index
            or nodes.device_memory_total is not before.device_memory_total
        ):
            self._held.clear()
        self.models = self.models if models == self.models else models
        self.domains = domains
        self.number = {name: n for n, name in enumerate(nodes.names)}
        if nodes.device_index is not before.device_index:
            self.positions = [
                {index: position for position, index in enumerate(row) if index >= 0}
                for row in nodes.device_index.tolist()
            ]

    def held_by(self, attempt: RunningAttempt) -> tuple[I64, I64]:
        """Return what an attempt holds: rows of the tables of tasks and of devices, without the attempt's number.

        Tasks on missing nodes and devices that no node has are left out. A placement seen before is not resolved again.
        """
        known = self._held.get(attempt.id)
        if known is None or known[0] is not attempt.tasks:
            known = self._held[attempt.id] = attempt.tasks, *self._resolve(attempt.tasks)
        return known[1:]

    def forget_ended(self, running: Collection[str]) -> None:
        """Forget what attempts held that do not run any more."""
        if len(self._held) > 2 * len(running) + 64:
            self._held = {name: known for name, known in self._held.items() if name in running}

    def _resolve(self, tasks_of: tuple[TaskUse, ...]) -> tuple[I64, I64]:
        total_of, tasks, devices = self._nodes.device_memory_total, [], []
        for task in tasks_of:
            n = self.number.get(task.node)
            if n is None:
                continue
            tasks.append((n, task.cpu_milli, task.memory_mib))
            for use in task.devices:
                d = self.positions[n].get(use.index)
                if d is None:
                    continue
                total = Share(int(total_of[n, d]), FULL_BP)
                share = Share(
                    total.memory_mib if use.memory_mib is None else use.memory_mib,
                    FULL_BP if use.compute_bp is None else use.compute_bp,
                )
                devices.append((n, d, share.memory_mib, share.compute_bp, card_bp(share, total)))
        return (
            np.array(tasks, dtype=np.int64).reshape(-1, 3),
            np.array(devices, dtype=np.int64).reshape(-1, 5),
        )

    def gflops(self, pflops_of: PflopsOf) -> I64:
        """Return the normalised compute of a card of each model."""
        found = np.array(
            [round(pflops_of(model) * GFLOPS_PER_PFLOPS) for model in self.models], dtype=np.int64
        )
        if not np.array_equal(found, self._gflops):
            self._gflops = found
        return self._gflops


def _models(rows: Iterable[NodeRow]) -> tuple[str, ...]:
    return tuple(sorted({device.model for row in rows for device in row.devices}))


def _domains(rows: Iterable[NodeRow]) -> tuple[str, ...]:
    return tuple(sorted({row.domain for row in rows}))


def _columns(rows: Iterable[NodeRow]) -> Nodes:
    """Return the columns of nodes; positions at which a node has no device have the model and number -1."""
    rows = list(rows)
    number = {model: i for i, model in enumerate(_models(rows))}
    domains = {name: i for i, name in enumerate(_domains(rows))}
    racks: dict[tuple[str, str], int] = {}
    pods: dict[str, int] = {}
    devices = list(chain.from_iterable(map(attrgetter("devices"), rows)))
    counts = np.fromiter((len(row.devices) for row in rows), dtype=np.int64, count=len(rows))
    present = np.arange(int(counts.max(initial=0))) < counts[:, None]

    def of_nodes(values: Iterable[Any], dtype: Any) -> Any:
        return np.fromiter(values, dtype=dtype, count=len(rows))

    def of_devices(values: Iterable[Any], dtype: Any, without: int) -> Any:
        table = np.full(present.shape, without, dtype=dtype)
        table[present] = np.fromiter(values, dtype=dtype, count=len(devices))
        return table

    cpu, memory = (of_nodes(map(attrgetter(name), rows), np.int64) for name in ("cpu_milli", "memory_mib"))
    device_memory = of_devices(map(attrgetter("memory_mib"), devices), np.int64, 0)
    return Nodes(
        names=tuple(row.name for row in rows),
        cpu_total=cpu,
        cpu_free=cpu,
        memory_total=memory,
        memory_free=memory,
        schedulable=of_nodes(map(attrgetter("schedulable"), rows), np.bool_),
        rack=of_nodes(
            (racks.setdefault((row.pod, row.rack), len(racks)) if row.rack else -1 for row in rows), np.int32
        ),
        pod=of_nodes((pods.setdefault(row.pod, len(pods)) if row.pod else -1 for row in rows), np.int32),
        domain=of_nodes((domains[row.domain] for row in rows), np.int32),
        device_model=of_devices((number[device.model] for device in devices), np.int32, -1),
        device_index=of_devices(map(attrgetter("index"), devices), np.int32, -1),
        device_link=of_devices(map(attrgetter("link_group"), devices), np.int32, 0),
        device_healthy=of_devices(map(attrgetter("healthy"), devices), np.bool_, 0),
        device_memory_total=device_memory,
        device_memory_free=device_memory,
        device_compute_free=np.where(present, FULL_BP, 0).astype(np.int64),
    )
