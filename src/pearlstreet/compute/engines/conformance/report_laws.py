"""Laws of probe, scan, nodes and metrics: what is told is true, moves only forward and agrees with itself."""

from __future__ import annotations

import pytest

from pearlstreet.base.outcome import Done, Refused
from pearlstreet.compute.engines.conformance.rig import LONG_S, Rig, value_of
from pearlstreet.compute.engines.protocol import AttemptReport, EndReason, TaskState

STEPS = list(TaskState)


def test_an_attempt_never_started_is_certainly_unknown(rig: Rig) -> None:
    """An attempt never started is certainly unknown."""
    assert rig.engine.probe("att_00000000000000000000nobody") == Done(None)


def test_an_empty_engine_scans_empty(rig: Rig) -> None:
    """An empty engine scans empty."""
    assert len(value_of(rig.engine.scan())) == 0


def test_a_scan_equals_the_sum_of_probes(rig: Rig) -> None:
    """A scan equals the sum of probes."""
    over, running = rig.start(), rig.start(lasts_s=LONG_S, tasks=2)
    rig.ended(over)
    rig.running(running)
    fresh = rig.start(lasts_s=LONG_S)
    scanned = {report.attempt_id: report for report in value_of(rig.engine.scan())}
    assert set(scanned) == {over, running, fresh}
    assert scanned[over] == rig.report(over)
    for attempt_id in (running, fresh):
        probed = rig.report(attempt_id)
        assert STEPS.index(scanned[attempt_id].state) <= STEPS.index(probed.state)
        assert len(scanned[attempt_id].tasks) == len(probed.tasks)


def test_states_move_only_forward(rig: Rig) -> None:
    """States move only forward."""
    attempt_id = rig.start(lasts_s=0.5, tasks=2)
    seen: list[AttemptReport] = []

    def over() -> bool:
        seen.append(rig.report(attempt_id))
        return seen[-1].state is TaskState.EXITED

    rig.until(over)
    steps = [STEPS.index(report.state) for report in seen]
    assert steps == sorted(steps)
    for rank in (0, 1):
        of_task = [STEPS.index(report.tasks[rank].state) for report in seen]
        assert of_task == sorted(of_task)
    assert TaskState.RUNNING in {report.state for report in seen}


def test_a_report_agrees_with_its_tasks(rig: Rig) -> None:
    """A report agrees with its tasks."""
    attempt_id = rig.start(lasts_s=0.3, tasks=2)
    running = rig.running(attempt_id)
    assert [task.rank for task in running.tasks] == [0, 1]
    assert {task.state for task in running.tasks} == {TaskState.RUNNING}
    assert (running.end_reason, running.exit_code, running.ended_us) == (None, None, None)
    ended = rig.ended(attempt_id)
    assert {task.state for task in ended.tasks} == {TaskState.EXITED}
    assert [task.exit_code for task in ended.tasks] == [0, 0]


def test_moments_are_in_order_and_do_not_change(rig: Rig) -> None:
    """Moments are in order and do not change."""
    attempt_id = rig.start(lasts_s=0.3)
    running = rig.running(attempt_id)
    ended = rig.ended(attempt_id)
    assert running.started_us is not None and ended.ended_us is not None
    assert ended.started_us == running.started_us
    assert ended.ended_us - running.started_us >= 250_000
    rig.pause()
    assert rig.report(attempt_id) == ended


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_the_exit_code_is_told(rig: Rig, code: int) -> None:
    """The exit code is told."""
    ended = rig.ended(rig.start(exit_code=code))
    assert (ended.exit_code, ended.tasks[0].exit_code, ended.tasks[0].signal) == (code, code, None)
    assert ended.end_reason is EndReason.EXITED


def test_the_time_limit_ends_an_attempt(rig: Rig) -> None:
    """The time limit ends an attempt."""
    ended = rig.ended(rig.start(lasts_s=LONG_S, time_s=1.0))
    assert ended.end_reason is EndReason.TIME_LIMIT
    assert ended.started_us is not None and ended.ended_us is not None
    assert 900_000 <= ended.ended_us - ended.started_us <= 10_000_000


def test_an_attempt_within_its_time_limit_is_left_alone(rig: Rig) -> None:
    """An attempt within its time limit is left alone."""
    assert rig.ended(rig.start(lasts_s=0.2, time_s=30.0)).end_reason is EndReason.EXITED


def test_nodes_have_names_and_capacity(rig: Rig) -> None:
    """Nodes have names and capacity."""
    nodes = value_of(rig.engine.nodes())
    assert len({node.name for node in nodes}) == len(nodes) > 0
    for node in nodes:
        assert node.cpus > 0
        assert node.memory_gib > 0
        assert len({device.index for device in node.devices}) == len(node.devices)


def test_capabilities_do_not_change(rig: Rig) -> None:
    """Capabilities do not change."""
    before = rig.engine.capabilities()
    rig.ended(rig.start())
    assert rig.engine.capabilities() == before
    assert before.wall


def test_every_notice_can_be_read_by_people(rig: Rig) -> None:
    """Every notice can be read by people."""
    for notice in rig.engine.capabilities().notices:
        assert notice.render("en")
        assert notice.render("zh-CN") != notice.render("en")


def test_secrets_are_not_in_reports(rig: Rig) -> None:
    """Secrets are not in reports."""
    order = rig.order(lasts_s=0.2, variables={"TOKEN": "hunter2-secret"}, secret_names=frozenset({"TOKEN"}))
    started = rig.engine.start(order)
    ended = rig.ended(order.attempt_id)
    told = repr((started, ended, rig.engine.scan(), rig.engine.nodes(), rig.log(order.attempt_id)))
    assert "hunter2-secret" not in told


def test_metrics_are_read_on_from_any_moment(rig: Rig) -> None:
    """Metrics are read on from any moment."""
    attempt_id = rig.start(lasts_s=LONG_S)
    rig.running(attempt_id)

    def samples(since_us: int = 0) -> list[int]:
        return [sample.at_us for sample in value_of(rig.engine.read_metrics(attempt_id, since_us=since_us))]

    rig.until(lambda: len(set(samples())) >= 2)
    moments = samples()
    assert moments == sorted(moments)
    later = samples(moments[0])
    assert moments[0] not in later
    assert set(moments[1:]) - {moments[0]} <= set(later)


def test_metrics_of_an_unknown_attempt_are_refused(rig: Rig) -> None:
    """Metrics of an unknown attempt are refused."""
    assert isinstance(rig.engine.read_metrics("att_unknown", since_us=0), Refused)
