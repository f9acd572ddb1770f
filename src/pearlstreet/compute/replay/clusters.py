"""Descriptions of clusters: nodes, and which virtual cluster each belongs to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import text
from pearlstreet.compute.pool.slices import MIB_PER_GIB
from pearlstreet.compute.replay.reading.rows import BadField, Findings, Row, csv_rows
from pearlstreet.compute.scheduling.rows import DeviceRow, NodeRow

POOL = "all"
"""The one virtual cluster of a cluster that has no parts."""
DEVICES_MAX = 1_000_000
_CPU_MILLI, _MEMORY_MIB = 16_000, 131_072
"""CPU and memory for each device of a node whose description has none."""
_DEVICE_MIB = 81_920


@dataclass(frozen=True, slots=True)
class Cluster:
    """Nodes by virtual cluster, in the order of the description."""

    parts: Mapping[str, tuple[NodeRow, ...]]
    name: str = ""

    @property
    def nodes(self) -> tuple[NodeRow, ...]:
        """All nodes of the cluster."""
        return tuple(node for nodes in self.parts.values() for node in nodes)

    @property
    def per_node(self) -> int:
        """Devices of the largest node."""
        return max((len(node.devices) for node in self.nodes), default=0)

    @property
    def cards(self) -> int:
        """Devices in all."""
        return sum(len(node.devices) for node in self.nodes)

    def cards_of(self, part: str) -> int:
        """Return devices of one virtual cluster."""
        return sum(len(node.devices) for node in self.parts[part])

    def merged(self) -> Cluster:
        """Return the same nodes as one pool, numbered through."""
        nodes = tuple(replace(node, name=f"{POOL}/{number}") for number, node in enumerate(self.nodes))
        return Cluster({POOL: nodes}, self.name)


def one_pool(nodes: Iterable[NodeRow], name: str = "") -> Cluster:
    """Return a cluster of which all nodes are one pool."""
    return Cluster({POOL: tuple(nodes)}, name)


def read_cluster(lines: Iterable[str], file: str, model: str = "gpu") -> Cluster:
    """Return a cluster from a table: `vc,nodes,gpus_per_node`, or openb's list of nodes. Raises InvalidInput."""
    rest = iter(lines)
    first = next(rest, "")
    header = {cell.strip().lstrip("\ufeff") for cell in first.split(",")}
    findings = Findings(file)

    def chained() -> Iterable[str]:
        yield first
        yield from rest

    if {"sn", "cpu_milli", "gpu"} <= header:
        made = one_pool(
            _openb(csv_rows(chained(), findings, ("sn", "cpu_milli", "memory_mib", "gpu", "model")), findings)
        )
    elif {"vc", "nodes"} <= header:
        made = Cluster(
            _parts(csv_rows(chained(), findings, ("vc", "nodes", "gpus_per_node")), findings, model)
        )
    else:
        raise InvalidInput(
            text("{file} does not describe a cluster", file=file),
            hint=text(
                "Give columns vc,nodes,gpus_per_node or sn,cpu_milli,memory_mib,gpu,model, or write 4x8xH100-80G"
            ),
        )
    if findings.bad:
        findings.stop()
    if not made.nodes:
        raise InvalidInput(text("{file} describes no nodes", file=file))
    return Cluster(made.parts, file)


def _parts(rows: Iterable[Row], findings: Findings, model: str) -> dict[str, tuple[NodeRow, ...]]:
    parts: dict[str, tuple[NodeRow, ...]] = {}
    total = 0
    for row in rows:
        try:
            name = row.word("vc")
            count, devices = row.whole("nodes"), row.whole("gpus_per_node", most=1024)
            total += count * max(devices, 1)
            if name in parts:
                raise BadField("vc", text("{name} is described twice", name=name))
            if total > DEVICES_MAX:
                raise BadField("nodes", text("A cluster has at most {most} devices", most=DEVICES_MAX))
        except BadField as error:
            findings.note(row.line, error.name, error.message, error.hint)
            continue
        parts[name] = tuple(
            plain_node(f"{name}/{i}", devices, row.word("model", model)) for i in range(count)
        )
    return parts


def plain_node(name: str, devices: int, model: str) -> NodeRow:
    """Return a node whose CPUs and memory are large enough that only devices limit it."""
    return NodeRow(
        name=name,
        cpu_milli=max(devices, 1) * _CPU_MILLI,
        memory_mib=max(devices, 1) * _MEMORY_MIB,
        devices=tuple(DeviceRow(i, model, _DEVICE_MIB) for i in range(devices)),
    )


def _openb(rows: Iterable[Row], findings: Findings) -> list[NodeRow]:
    nodes: dict[str, NodeRow] = {}
    for row in rows:
        try:
            name, devices = row.word("sn"), row.whole("gpu", most=1024)
            model = row.word("model", "") if devices == 0 else row.word("model")
            if name in nodes:
                raise BadField("sn", text("{name} is described twice", name=name))
            nodes[name] = NodeRow(
                name=name,
                cpu_milli=row.whole("cpu_milli", most=1e9),
                memory_mib=row.whole("memory_mib", most=1e12),
                devices=tuple(DeviceRow(i, model, _DEVICE_MIB) for i in range(devices)),
            )
        except BadField as error:
            findings.note(row.line, error.name, error.message, error.hint)
    return list(nodes.values())


def from_center(nodes: Iterable[Mapping[str, Any]]) -> Cluster:
    """Return a cluster from the API's list of the center's nodes."""
    return one_pool(
        NodeRow(
            name=str(node["name"]),
            cpu_milli=math.floor(node["cpus"] * 1000),
            memory_mib=math.floor(node["memory_gib"] * MIB_PER_GIB),
            devices=tuple(
                DeviceRow(
                    device["index"],
                    device["model"],
                    math.floor(device["memory_gib"] * MIB_PER_GIB),
                    link_group=device.get("link_group") or 0,
                )
                for device in node["devices"]
            ),
            rack=node.get("rack") or "",
            pod=node.get("pod") or "",
        )
        for node in nodes
    )
