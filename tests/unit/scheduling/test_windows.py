"""Nodes and devices held in a window, for an account or for maintenance."""

from __future__ import annotations

from pearlstreet.compute.scheduling.builder import build
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.cycle import plan
from pearlstreet.compute.scheduling.plan import Code, Plan
from pearlstreet.compute.scheduling.rows import DeviceRow, NodeRow, Request, Reservation, WaitingJob

NOW_US = 1_000_000_000_000
HOUR_US = 3_600_000_000
NODES = [NodeRow(f"n{i}", 8000, 64, tuple(DeviceRow(d, "t4", 16) for d in range(2))) for i in range(2)]


def job(
    name: str, org: str = "red", cards: int = 2, hours: float | None = None, project: str = "p"
) -> WaitingJob:
    limit_s = None if hours is None else hours * 3600
    return WaitingJob(name, org, project, Request(count=cards), submitted_us=1, time_limit_s=limit_s)


def held(node: str, begin_h: float, end_h: float, **more: object) -> Reservation:
    start_us, end_us = NOW_US + round(begin_h * HOUR_US), NOW_US + round(end_h * HOUR_US)
    return Reservation(f"hold-{node}", start_us, end_us, node, **more)  # type: ignore[arg-type]


def run(jobs: list[WaitingJob], *windows: Reservation) -> Plan:
    return plan(build(now_us=NOW_US, nodes=NODES, waiting=jobs, reservations=windows), PlannerConfig())


def placed(answer: Plan) -> dict[str, set[str]]:
    return {one.job_id: {task.node for task in one.tasks} for one in answer.placements}


def test_nobody_starts_on_a_node_in_maintenance() -> None:
    assert placed(run([job("a")], held("n0", -1, 1))) == {"a": {"n1"}}


def test_a_drain_lets_in_who_ends_before_it_begins() -> None:
    drains = held("n0", 2, 3), held("n1", 2, 3)
    answer = run([job("short", hours=1), job("long", hours=5), job("open")], *drains)
    assert set(placed(answer)) == {"short"}
    waits = {wait.job_id: wait.reason for wait in answer.waits}
    assert {waits["long"].code, waits["open"].code} == {Code.WINDOW}
    assert waits["open"].start is not None
    assert waits["open"].start.latest_us == NOW_US + 3 * HOUR_US


def test_what_is_held_for_an_account_is_for_it_alone() -> None:
    windows = held("n0", 0, 9, org="blue"), held("n1", 0, 9, org="blue", project="x")
    answer = run([job("foreign"), job("mine", "blue", project="y")], *windows)
    assert placed(answer) == {"mine": {"n0"}}, "the project's own node is not for its neighbours"
    assert placed(run([job("a", "blue", project="x"), job("b", "blue", project="x")], *windows)) == {
        "a": placed(run([job("a", "blue", project="x")], *windows))["a"],
        "b": {"n0", "n1"} - placed(run([job("a", "blue", project="x")], *windows))["a"],
    }


def test_one_device_of_a_node_can_be_held() -> None:
    windows = held("n0", 0, 1, device=1), held("n1", 0, 1)
    answer = run([job("pair"), job("one", cards=1)], *windows)
    assert placed(answer) == {"one": {"n0"}}
    assert answer.placements[0].tasks[0].devices[0].index == 0


def test_a_window_that_is_over_or_on_a_node_that_is_gone_holds_nothing() -> None:
    assert len(placed(run([job("a"), job("b")], held("n0", -3, -1), held("gone", 0, 1)))) == 2


def test_a_blocked_job_gets_no_reservation_on_nodes_held_for_others() -> None:
    """It would stand in the way of who may use them."""
    windows = (held("n0", 0, 9, org="blue"),)
    answer = run([job("red-gang", cards=2), job("red-next"), job("blue", "blue")], *windows)
    assert placed(answer)["blue"] == {"n0"}
