"""Nodes and devices out of service that keep a job waiting are counted and named; what merely runs is not blamed."""

from __future__ import annotations

import pytest

from pearlstreet.compute.queueing.blockers import Blocked, find_blocked
from pearlstreet.compute.scheduling.builder import build
from pearlstreet.compute.scheduling.rows import DeviceRow, NodeRow, Request

EIGHT = Request(accelerators=("H100",), count=8)


def node(name: str, *, healthy: int = 8, schedulable: bool = True, model: str = "H100-80G") -> NodeRow:
    devices = tuple(DeviceRow(i, model, 80 << 10, healthy=i < healthy) for i in range(8))
    return NodeRow(name, 64_000, 512 << 10, devices, schedulable)


def blocked(*nodes: NodeRow, request: Request = EIGHT, tasks: int = 1) -> Blocked | None:
    return find_blocked(build(now_us=0, nodes=nodes), {}, request, tasks)


def test_eight_healthy_devices_on_no_node() -> None:
    found = blocked(node("a", healthy=6), node("b", healthy=7), node("c", model="A100-80G"))
    assert found is not None and found.is_all
    assert str(found.message) == "No node has 8 × H100 that are all healthy; the most is 7, on b"


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([node("a", schedulable=False)], "The only matching node, a, is unhealthy"),
        (
            [node("a", schedulable=False), node("b", schedulable=False)],
            "All 2 matching nodes are unhealthy",
        ),
        (
            [node("a", schedulable=False), node("b", healthy=7), node("c")],
            "Of 3 matching nodes too many are out of service (drained: 0, unhealthy: 1, with too few healthy devices: 1); "
            "the others hold 1 of its 2 tasks even when empty",
        ),
    ],
)
def test_what_is_out_of_service_is_counted(nodes: list[NodeRow], said: str) -> None:
    found = blocked(*nodes, tasks=2)
    single = blocked(*nodes)
    assert (found or single) is not None
    told = found if len(nodes) > 1 else single
    assert told is not None and str(told.message) == said


def test_nothing_is_blamed_when_what_is_in_service_would_do() -> None:
    assert blocked(node("a")) is None
    assert blocked(node("a"), node("b", model="A100-80G", schedulable=False)) is None


def test_processors_alone_are_looked_for_too() -> None:
    found = blocked(node("a", schedulable=False), request=Request(cpu_milli=1000))
    assert found is not None and "a, is unhealthy" in str(found.message)
