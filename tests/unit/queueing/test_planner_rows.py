"""What the planner is told of machines whose reports lack what runs on them."""

from __future__ import annotations

from pearlstreet.compute.queueing.planner_rows import with_devices_in_use
from pearlstreet.compute.scheduling.builder import build
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.cycle import plan
from pearlstreet.compute.scheduling.rows import (
    DeviceRow,
    DeviceUse,
    NodeRow,
    Quota,
    Request,
    RunningAttempt,
    TaskUse,
    WaitingJob,
)

CARD = ("h100-sxm-80g", 81_920)


def _node(name: str, *indices: int) -> NodeRow:
    return NodeRow(name, 64_000, 1 << 19, tuple(DeviceRow(index, *CARD) for index in indices))


def _on(name: str, index: int, model: str = CARD[0]) -> RunningAttempt:
    use = TaskUse(name, 1000, 1024, (DeviceUse(index),))
    return RunningAttempt(f"att-{name}-{index}", "job_r", "acme", "p", (use,), model=model)


def test_a_card_that_vanished_under_its_job_still_counts_for_the_quota() -> None:
    rows, running = [_node("a", 0), _node("b", 0, 1)], [_on("a", 1)]
    waiting = [WaitingJob("job_w", "acme", "p", Request(count=1), submitted_us=1)]
    quotas = [Quota("acme", "cards", maximum=1)]
    seen = with_devices_in_use(rows, running)
    assert [device.index for device in seen[0].devices] == [0, 1]
    assert not seen[0].devices[1].healthy
    snapshot = build(now_us=10, nodes=seen, waiting=waiting, running=running, quotas=quotas)
    answer = plan(snapshot, PlannerConfig())
    assert answer.placements == ()
    assert answer.waits[0].reason.code.value == "quota"


def test_a_card_that_vanished_offers_nothing() -> None:
    rows, running = [_node("a"), _node("b", 0)], [_on("a", 0)]
    waiting = [WaitingJob(f"job_{n}", "acme", "p", Request(count=1), submitted_us=n) for n in range(2)]
    snapshot = build(now_us=10, nodes=with_devices_in_use(rows, running), waiting=waiting, running=running)
    placed = plan(snapshot, PlannerConfig()).placements
    assert [task.node for placement in placed for task in placement.tasks] == ["b"]


def test_what_is_all_there_stays_as_it_is() -> None:
    rows = [_node("a", 0, 1)]
    assert with_devices_in_use(rows, [_on("a", 0)]) == rows
    assert with_devices_in_use(rows, [_on("elsewhere", 0)]) == rows
    assert with_devices_in_use(rows, [_on("a", 7, model="nobody-has-it")]) == rows
