"""Every fault that can be asked for does what its line of the table says, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fakes.engines import value_of
from tests.unit.engines_simulated.making import make_engine, make_order

from pearlstreet.base.clock import US_PER_S, VirtualClock
from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.outcome import Done, Refused, Retry, Unknown
from pearlstreet.compute.engines.protocol import AttemptReport, EndReason, TaskState
from pearlstreet.compute.engines.simulated import (
    FAULTS,
    Fault,
    FaultPlan,
    FaultRule,
    SimulatedEngine,
    parse_faults,
)


def faulty(*rules: FaultRule) -> tuple[SimulatedEngine, VirtualClock]:
    """An engine with one healthy running attempt `att_1`, on which the faults are set afterwards."""
    clock = VirtualClock()
    engine = make_engine(clock)
    value_of(engine.start(make_order("att_1", lasts_s=1000)))
    clock.advance(10)
    engine.set_faults(FaultPlan(rules))
    return engine, clock


def state(engine: SimulatedEngine, attempt_id: str) -> TaskState | None:
    """What the cluster, behind all faults, knows of an attempt."""
    report: AttemptReport | None = value_of(engine.cluster.probe(attempt_id))
    return report.state if report else None


def test_the_table_has_every_fault() -> None:
    assert set(FAULTS) == set(Fault)
    assert all(kind.effect.endswith(".") for kind in FAULTS.values())
    assert all(bool(kind.amount) == bool(kind.amount_means) for kind in FAULTS.values())


def test_request_lost() -> None:
    engine, _ = faulty(FaultRule(Fault.REQUEST_LOST, methods=frozenset({"start"})))
    assert isinstance(engine.start(make_order("att_2", devices=0)), Unknown)
    assert state(engine, "att_2") is None
    assert isinstance(engine.probe("att_2"), Done)


def test_ack_lost() -> None:
    engine, _ = faulty(FaultRule(Fault.ACK_LOST, times=1))
    assert isinstance(engine.start(make_order("att_2", devices=0)), Unknown)
    assert state(engine, "att_2") is TaskState.STARTING
    assert isinstance(engine.start(make_order("att_2", devices=0)), Done)


def test_done_twice() -> None:
    engine, _ = faulty(FaultRule(Fault.DONE_TWICE))
    assert isinstance(engine.start(make_order("att_2", devices=0)), Done)
    assert len(value_of(engine.scan())) == 2


def test_slow() -> None:
    engine, clock = faulty(FaultRule(Fault.SLOW, amount=7))
    before = clock.now_us()
    value_of(engine.probe("att_1"))
    assert clock.now_us() - before == 7 * US_PER_S


def test_refuses() -> None:
    engine, _ = faulty(FaultRule(Fault.REFUSES))
    assert isinstance(engine.start(make_order("att_2", devices=0)), Refused)
    assert state(engine, "att_2") is None
    assert state(engine, "att_1") is TaskState.RUNNING
    assert isinstance(engine.start(make_order("att_1", devices=0)), Done), (
        "what runs is not refused when asked again"
    )


def test_errors_come_in_bursts() -> None:
    engine, _ = faulty(FaultRule(Fault.ERRORS, times=1, after=1, amount=3))
    kinds = [type(engine.probe("att_1")) for _ in range(6)]
    assert kinds == [Done, Retry, Retry, Retry, Done, Done]


def test_wrong_state() -> None:
    engine, _ = faulty(FaultRule(Fault.WRONG_STATE, times=1))
    assert value_of(engine.probe("att_1")).state is TaskState.STARTING
    assert value_of(engine.probe("att_1")).state is TaskState.RUNNING


def test_state_backwards() -> None:
    engine, clock = faulty(FaultRule(Fault.STATE_BACKWARDS, times=1))
    assert value_of(engine.probe("att_1")).state is TaskState.RUNNING
    clock.advance(2000)
    assert value_of(engine.scan())[0].state is TaskState.STARTING
    ended = value_of(engine.scan())[0]
    assert (ended.state, ended.end_reason) == (TaskState.EXITED, EndReason.EXITED)


def test_attempt_vanishes() -> None:
    engine, _ = faulty(FaultRule(Fault.ATTEMPT_VANISHES, times=1))
    assert value_of(engine.probe("att_1")) is None
    assert len(value_of(engine.scan())) == 0


def test_orphan_appears() -> None:
    engine, _ = faulty(FaultRule(Fault.ORPHAN_APPEARS, times=1))
    reports = value_of(engine.scan())
    orphan = next(report for report in reports if report.attempt_id != "att_1")
    assert value_of(engine.probe(orphan.attempt_id)) is not None
    value_of(engine.stop(orphan.attempt_id, grace_s=0))
    assert state(engine, orphan.attempt_id) is TaskState.EXITED


def test_partial_gang() -> None:
    engine, clock = faulty(FaultRule(Fault.PARTIAL_GANG))
    value_of(engine.start(make_order("att_2", tasks=4, devices=0, lasts_s=10)))
    clock.advance(100_000)
    report = value_of(engine.probe("att_2"))
    assert report.state is TaskState.STARTING
    assert [task.state.value for task in report.tasks] == ["running", "running", "starting", "starting"]
    value_of(engine.stop("att_2", grace_s=5))
    clock.advance(5)
    assert value_of(engine.probe("att_2")).end_reason is EndReason.STOPPED


def test_scan_truncated() -> None:
    engine, _ = faulty(FaultRule(Fault.SCAN_TRUNCATED, times=1))
    value_of(engine.start(make_order("att_2", devices=0)))
    assert [report.attempt_id for report in value_of(engine.scan())] == ["att_1"]
    assert len(value_of(engine.scan())) == 2


def test_scan_stale() -> None:
    engine, clock = faulty(FaultRule(Fault.SCAN_STALE, after=1, times=1))
    first = value_of(engine.scan())
    clock.advance(2000)
    assert value_of(engine.scan()) == first
    assert value_of(engine.scan())[0].state is TaskState.EXITED


def test_log_repeats() -> None:
    engine, _ = faulty(FaultRule(Fault.LOG_REPEATS, amount=10))
    chunk = value_of(engine.read_log("att_1", 0, offset=50, limit=20))
    straight = value_of(engine.cluster.read_log("att_1", 0, offset=40, limit=20))
    assert chunk == straight
    assert chunk.next_offset == 60


def test_node_flaps() -> None:
    engine, _ = faulty(FaultRule(Fault.NODE_FLAPS, only=frozenset({"h100-0002"}), times=1))
    assert "h100-0002" not in {node.name for node in value_of(engine.nodes())}
    assert len(value_of(engine.nodes())) == 4


def test_devices_shrink() -> None:
    engine, _ = faulty(FaultRule(Fault.DEVICES_SHRINK, only=frozenset({"h100-0002"}), amount=3))
    assert [len(node.devices) for node in value_of(engine.nodes())] == [8, 5, 8, 8]


def test_device_fails() -> None:
    engine, clock = faulty(FaultRule(Fault.DEVICE_FAILS, only=frozenset({"h100-0001"}), times=1))
    value_of(engine.start(make_order("att_all", node="h100-0001", devices=8, lasts_s=1000)))
    clock.advance(10)
    broken = [device for node in value_of(engine.nodes()) for device in node.devices if not device.healthy]
    assert len(broken) == 1
    assert str(broken[0].health_reason)
    lost = value_of(engine.probe("att_all"))
    assert (lost.state, lost.end_reason) == (TaskState.EXITED, EndReason.ENGINE_LOST)
    assert "failed" in str(lost.message)
    assert isinstance(engine.start(make_order("att_3", devices=8)), Retry)
    engine.set_faults(None)
    value_of(engine.cluster.repair())
    assert all(device.healthy for node in value_of(engine.nodes()) for device in node.devices)
    value_of(engine.start(make_order("att_3", devices=8)))


def test_clock_off() -> None:
    engine, _ = faulty(FaultRule(Fault.CLOCK_OFF, times=1, amount=-60))
    off, right = value_of(engine.probe("att_1")), value_of(engine.probe("att_1"))
    assert right.started_us - off.started_us == 60 * US_PER_S


def test_a_rule_sleeps_outside_its_time() -> None:
    engine, clock = faulty(FaultRule(Fault.REFUSES, between_s=(60, 120)))
    kinds = []
    for number in range(4):
        kinds.append(type(engine.start(make_order(f"att_at_{number}", devices=0))))
        clock.advance(50)
    assert kinds == [Done, Done, Refused, Done]


def test_faults_replay_from_the_seed() -> None:
    def kinds() -> list[type]:
        engine, _ = faulty(FaultRule(Fault.ACK_LOST, probability=0.3))
        return [type(engine.start(make_order(f"att_p{number}", devices=0))) for number in range(100)]

    first = kinds()
    assert first == kinds()
    assert 15 <= first.count(Unknown) <= 45


def test_faults_are_read_from_one_line() -> None:
    plan = parse_faults("ack_lost:0.1, node_flaps")
    assert [(rule.fault, rule.probability) for rule in plan.rules] == [
        (Fault.ACK_LOST, 0.1),
        (Fault.NODE_FLAPS, 1.0),
    ]
    assert parse_faults("").rules == ()


@pytest.mark.parametrize("spec", ["gremlins", "slow:2", "slow:x", "slow:-1", "slow:nan", ":0.1"])
def test_what_is_no_fault_is_refused_with_the_known_ones(spec: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_faults(spec)
    assert "node_flaps" in str(caught.value.hint)


def test_the_documentation_lists_every_fault_with_its_effect() -> None:
    page = (Path(__file__).parents[3] / "docs/concepts/engines.md").read_text(encoding="utf-8")
    for fault, kind in FAULTS.items():
        assert f"| `{fault}` | {kind.effect} |" in page
