"""How an order that leaves its nodes to Slurm becomes a request for equal nodes."""

from __future__ import annotations

from dataclasses import replace

from pearlstreet.compute.engines.conformance.rig import build_order
from pearlstreet.compute.engines.protocol import (
    AttemptOrder,
    DeviceReport,
    DeviceRequest,
    NodeReport,
    TaskOrder,
)
from pearlstreet.compute.engines.slurm.demand import demand_of, spread
from pearlstreet.compute.engines.slurm.gres import parse_gres
from pearlstreet.compute.engines.slurm.inventory import free_part
from pearlstreet.compute.engines.slurm.model import SlurmNode

MODEL = "h100-sxm-80g"
SLURM = {
    name: SlurmNode(name, ("IDLE",), 32, 64_000, gres=parse_gres("gpu:big:4,shard:big:40"))
    for name in ("n1", "n2", "n3")
}


def reports(devices: int = 4) -> dict[str, NodeReport]:
    made = tuple(DeviceReport(index, "nvidia", MODEL, 80.0) for index in range(devices))
    return {name: NodeReport(name, 32.0, 62.5, 0.0, made) for name in SLURM}


def order(tasks: int, count: int) -> AttemptOrder:
    wanted = tuple(TaskOrder(rank, "", 1.0, 1.0, wants=DeviceRequest(MODEL, count)) for rank in range(tasks))
    return build_order(None, ("true",), wanted, {}, None, {})


def nodes_of(found: AttemptOrder | None) -> list[str]:
    assert found is not None
    return [task.node for task in found.tasks]


def test_a_gang_asks_for_the_fewest_nodes_that_have_its_devices() -> None:
    assert len(set(nodes_of(spread(order(4, 1), reports(), reports())))) == 1
    assert len(set(nodes_of(spread(order(4, 2), reports(), reports())))) == 2
    assert spread(order(4, 4), reports(), reports()) is None, "three nodes do not have four times four"


def test_a_gang_asks_for_more_nodes_if_it_fits_on_those_now() -> None:
    busy = {name: replace(node, devices=node.devices[:2]) for name, node in reports().items()}
    assert len(set(nodes_of(spread(order(4, 1), busy, reports())))) == 2
    taken = {name: replace(node, devices=()) for name, node in reports().items()}
    assert len(set(nodes_of(spread(order(4, 1), taken, reports())))) == 1, "it waits for one node"


def test_what_jobs_of_slurm_have_is_not_free() -> None:
    node = replace(
        SLURM["n1"], cpus_used=30, memory_used_mib=60_000, gres_used=parse_gres("gpu:big:1,shard:big:15")
    )
    free = free_part(node, reports()["n1"])
    assert (free.cpus, round(free.memory_gib, 2), len(free.devices)) == (2.0, 3.91, 1)


def test_the_type_of_the_wanted_model_is_asked_for() -> None:
    like = spread(order(2, 2), reports(), reports())
    assert like is not None
    demand = demand_of(like, SLURM, {MODEL: "big"})
    assert demand is not None
    (gres,) = demand.gres_per_node
    assert (demand.nodes, gres.name, gres.kind, gres.count) == (1, "gpu", "big", 4)
    assert demand.devices_per_task == 2
