"""What each placement policy prefers, on centers small enough to see it."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from pearlstreet.compute.pool.slices import ShareRequest
from pearlstreet.compute.scheduling.builder import SnapshotBuilder, build
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.cycle import plan
from pearlstreet.compute.scheduling.model import snapshot_from_json
from pearlstreet.compute.scheduling.online_placer import OnlinePlacer
from pearlstreet.compute.scheduling.rows import (
    DeviceRow,
    DeviceUse,
    NodeRow,
    Request,
    RunningAttempt,
    TaskUse,
    WaitingJob,
)


def node(
    name: str, count: int, model: str = "x", *, cores: int = 64, links: int = 8, rack: str = ""
) -> NodeRow:
    devices = tuple(DeviceRow(i, model, 80, link_group=i // links) for i in range(count))
    return NodeRow(name, cores * 1000, 1000, devices, rack=rack)


def running(name: str, on: str, devices: tuple[int, ...], started_us: int = 0) -> RunningAttempt:
    uses = tuple(DeviceUse(d) for d in devices)
    return RunningAttempt(name, name, "o", "p", (TaskUse(on, 1000, 1, uses),), started_us=started_us)


def chosen(
    nodes: list[NodeRow],
    request: Request,
    placement: str,
    *,
    held: tuple[RunningAttempt, ...] = (),
    workload: Mapping[Request, int] | None = None,
    prices: Mapping[str, int] | None = None,
    pflops: Mapping[str, float] | None = None,
    tasks: int = 1,
) -> list[tuple[str, tuple[int, ...]]]:
    """Where one waiting job goes."""
    builder = SnapshotBuilder(lambda model: (pflops or {}).get(model, 1.0))
    builder.set_nodes(nodes)
    for attempt in held:
        builder.add_running(attempt)
    builder.add_waiting(WaitingJob("j", "o", "p", request, tasks=tasks))
    builder.set_workload(workload or {})
    builder.set_prices(prices or {})
    answer = plan(builder.build(10**12), PlannerConfig(placement=placement))
    return [(task.node, tuple(d.index for d in task.devices)) for p in answer.placements for task in p.tasks]


def test_first_fit_takes_the_node_opened_first() -> None:
    nodes = [node("a", 4), node("b", 4), node("c", 4)]
    held = (running("r1", "b", (0,), 5), running("r2", "c", (0,), 3))
    assert chosen(nodes, Request(("x",), 1), "first-fit", held=held)[0][0] == "c"
    assert chosen(nodes, Request(("x",), 4), "first-fit", held=held)[0][0] == "a"


def test_dot_product_leaves_the_roomy_node() -> None:
    held = (running("r", "a", (0, 1, 2)),)
    assert (
        chosen([node("a", 8), node("b", 8)], Request(("x",), 1, None, 1000), "dot-product", held=held)[0][0]
        == "a"
    )


def test_fragmentation_does_not_strand_what_the_workload_asks_for() -> None:
    """Half a device is left on one node; a workload of whole devices has no use for it, but for the whole ones."""
    nodes = [node("a", 2), node("b", 2)]
    half = Request(("x",), 0, ShareRequest(0, 5000))
    held = (RunningAttempt("r", "r", "o", "p", (TaskUse("a", 0, 0, (DeviceUse(1, 40, 5000),)),)),)
    workload = {Request(("x",), 1): 9, half: 1}
    assert chosen(nodes, half, "fragmentation", held=held, workload=workload) == [("a", (1,))]


def test_topology_keeps_link_domains_whole() -> None:
    """Two devices fit a half-used domain and a whole one: the half-used one is finished first."""
    nodes = [node("a", 8, links=4), node("b", 8, links=4)]
    held = (running("r", "b", (0, 1)),)
    assert chosen(nodes, Request(("x",), 2), "topology", held=held) == [("b", (2, 3))]
    assert chosen(nodes, Request(("x",), 4), "topology", held=held) == [("b", (4, 5, 6, 7))]


@pytest.mark.parametrize(
    ("prices", "speeds", "expected"),
    [
        ({}, (), "fast"),
        ({"fast-card": 4, "slow-card": 1}, (), "slow"),
        ({"fast-card": 4, "slow-card": 1}, (("fast-card", 9.0), ("slow-card", 1.0)), "fast"),
        ({}, (("slow", 2.0), ("fast", 1.0)), "slow"),
    ],
)
def test_per_yuan_takes_the_most_work_for_the_price(
    prices: Mapping[str, int], speeds: tuple[tuple[str, float], ...], expected: str
) -> None:
    nodes = [node("fast", 1, "fast-card"), node("slow", 1, "slow-card")]
    request = Request((), 1, speeds=speeds)
    pflops = {"fast-card": 2.0, "slow-card": 1.0}
    assert chosen(nodes, request, "per-yuan", prices=prices, pflops=pflops)[0][0] == expected


def test_expected_fill_keeps_a_scarce_model_for_those_who_name_it() -> None:
    nodes = [node("plenty", 8, "common"), node("few", 2, "scarce")]
    workload = {Request(("scarce",), 1): 5, Request((), 1): 5}
    assert chosen(nodes, Request((), 1), "expected-fill", workload=workload)[0][0] == "plenty"


def test_expected_fill_keeps_cores_where_devices_are_idle() -> None:
    """A task without a device goes where it takes no cores from devices that will be asked for with many."""
    nodes = [node("devices", 4, cores=32), node("bare", 0, cores=32)]
    workload = {Request(("x",), 1, None, 8000): 5, Request((), 0, None, 8000): 5}
    assert chosen(nodes, Request((), 0, None, 8000), "expected-fill", workload=workload)[0][0] == "bare"


def test_expected_fill_keeps_the_only_node_for_a_large_shape() -> None:
    """Both have eight devices; eight with all cores fit one of them alone."""
    nodes = [node("wide", 8, cores=128), node("narrow", 8, cores=64)]
    workload = {Request(("x",), 8, None, 120_000): 5, Request(("x",), 1, None, 1000): 5}
    assert chosen(nodes, Request(("x",), 1, None, 1000), "expected-fill", workload=workload)[0][0] == "narrow"


def test_a_gang_stays_together_whatever_the_policy_scores() -> None:
    nodes = [node(f"{rack}{i}", 2, rack=rack) for rack in ("a", "b") for i in range(2)]
    held = (running("r", "a0", (0,)),)
    for placement in ("expected-fill", "pack", "topology", "fragmentation"):
        places = chosen(nodes, Request(("x",), 2), placement, held=held, tasks=2)
        assert {name[0] for name, _ in places} == {"b"}, placement


def test_without_any_record_it_packs() -> None:
    placer = OnlinePlacer([node("a", 4), node("b", 4)], PlannerConfig(placement="expected-fill"))
    part = Request(("x",), 0, ShareRequest(0, 2500))
    first = placer.place(part)
    assert first is not None
    for _ in range(3):
        seat = placer.place(part)
        assert seat is not None
        assert (seat.node, seat.devices) == (first.node, first.devices)


def test_a_record_survives_the_decision_log() -> None:
    request = Request(("x",), 1, speeds=(("x", 2.0),))
    builder = SnapshotBuilder(lambda model: 1.0)
    builder.set_nodes([node("a", 1)])
    builder.set_workload({request: 3, Request(cpu_milli=1): 0})
    builder.set_prices({"x": 7})
    snapshot = builder.build(1)
    again = snapshot_from_json(json.loads(json.dumps(snapshot.to_json())))
    assert again.workload == ((request, 3),)
    assert again.model_price_micro == (7,)
    assert build(now_us=1, nodes=[node("a", 1)]).workload == ()
