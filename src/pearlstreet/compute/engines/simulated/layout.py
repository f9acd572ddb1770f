"""Layout of a simulated cluster: nodes in racks and pods, from a specification such as `4x8xH100-80G`."""

from __future__ import annotations

from collections import Counter

from pearlstreet.compute.hardware.catalogue.accelerator import Accelerator
from pearlstreet.compute.hardware.catalogue.cluster import parse_cluster
from pearlstreet.compute.hardware.model import DeviceReport, NodeReport

CPUS_PER_DEVICE = 16.0
MEMORY_GIB_PER_DEVICE = 128.0
"""Memory of a node per device; a node of eight devices has 128 CPUs and 1,024 GiB."""
CPU_NODE = (64.0, 256.0)
"""CPUs and memory in GiB of a node without accelerators."""
DISK_GIB = 7_000.0
LINK_GROUP = 8
NODES_PER_RACK = 4
RACKS_PER_POD = 8
IDLE_POWER_SHARE = 0.15
"""Share of its rated power that an idle simulated device draws."""


def nodes_from(spec: str) -> list[NodeReport]:
    """Return the nodes of a specification: NODESxDEVICESxMODEL parts joined by commas. Raises InvalidInput."""
    nodes: list[NodeReport] = []
    numbers: Counter[str] = Counter()
    for group in parse_cluster(spec):
        family = group.accelerator.family if group.accelerator else "cpu"
        for _ in range(group.nodes):
            numbers[family] += 1
            name = f"{family}-{numbers[family]:04d}"
            nodes.append(_node(name, len(nodes), group.devices_per_node, group.accelerator))
    return nodes


def _node(name: str, position: int, devices: int, accelerator: Accelerator | None) -> NodeReport:
    rack, pod = position // NODES_PER_RACK, position // (NODES_PER_RACK * RACKS_PER_POD)
    cpus, memory_gib = CPU_NODE
    if devices:
        cpus, memory_gib = devices * CPUS_PER_DEVICE, devices * MEMORY_GIB_PER_DEVICE
    return NodeReport(
        name=name,
        cpus=cpus,
        memory_gib=memory_gib,
        disk_gib=DISK_GIB,
        devices=tuple(_device(name, index, accelerator) for index in range(devices)) if accelerator else (),
        rack=f"rack-{rack + 1:03d}",
        pod=f"pod-{pod + 1:02d}",
        facts={"machine": "simulated"},
    )


def _device(node: str, index: int, accelerator: Accelerator) -> DeviceReport:
    power_w = accelerator.power_w
    return DeviceReport(
        index=index,
        vendor=accelerator.vendor,
        model=accelerator.id,
        memory_gib=accelerator.device_memory_gib,
        uuid=f"SIM-{node}-{index}",
        link_group=index // LINK_GROUP,
        temperature_c=34.0,
        utilization_percent=0.0,
        memory_used_gib=0.0,
        power_w=round(power_w / accelerator.dies * IDLE_POWER_SHARE, 1) if power_w else None,
    )
