"""The course of simulated attempts: lengths, failures, scale, stops; and that a seed replays it all."""

from __future__ import annotations

import math
import signal
from pathlib import Path

import pytest
from tests.fakes.engines import value_of
from tests.unit.engines_simulated.making import make_engine, make_order

from pearlstreet.base.clock import US_PER_S, VirtualClock
from pearlstreet.base.rng import SeededRng
from pearlstreet.compute.engines.protocol import EndReason, Limits, TaskState
from pearlstreet.compute.engines.simulated import Habits, SimulatedEngine, nodes_from


def history(seed: int, **wishes: object) -> list[object]:
    """What an engine of that seed tells over a few hours."""
    clock = VirtualClock()
    engine = make_engine(clock, seed=seed, **wishes)
    orders = [make_order(f"att_{number}", lasts_s=None, tasks=1 + number % 3) for number in range(20)]
    told: list[object] = [engine.start(order) for order in orders]
    for _ in range(30):
        clock.advance(300)
        told += [engine.scan(), engine.nodes(), engine.read_log("att_3", 0, offset=100, limit=500)]
        told.append(engine.read_metrics("att_3", since_us=clock.now_us() - 300 * US_PER_S))
    return told


def test_the_same_seed_tells_the_same_history() -> None:
    assert history(3) == history(3)


def test_another_seed_tells_another_history() -> None:
    assert history(3) != history(4)


def test_the_order_of_calls_does_not_change_an_attempt() -> None:
    ends = []
    for names in (["att_a", "att_b"], ["att_b", "att_a"]):
        clock = VirtualClock()
        engine = make_engine(clock)
        for name in names:
            value_of(engine.start(make_order(name, lasts_s=None)))
        clock.advance(1_000_000)
        ends.append([value_of(engine.probe(name)) for name in ("att_a", "att_b")])
    assert ends[0] == ends[1]


def test_drawn_lengths_are_heavy_tailed_and_as_many_fail_as_told() -> None:
    clock = VirtualClock()
    engine = make_engine(clock, habits=Habits(failure_share=0.03))
    for number in range(2000):
        value_of(engine.start(make_order(f"att_{number}", lasts_s=None, devices=0)))
    clock.advance(200_000)
    reports = value_of(engine.scan())
    lengths = sorted((report.ended_us - report.started_us) / US_PER_S for report in reports)
    failed = sum(report.exit_code != 0 for report in reports)
    assert 600 < lengths[1000] < 2400
    assert lengths[-1] > 20 * lengths[1000]
    assert lengths[-1] <= 86_400
    assert 30 <= failed <= 95, failed


def test_a_scale_shortens_everything(tmp_path: Path) -> None:
    clock = VirtualClock()
    engine = make_engine(clock, time_scale=60.0)
    value_of(engine.start(make_order("att_1", lasts_s=3600)))
    value_of(engine.start(make_order("att_2", lasts_s=3600, limits=Limits(time_s=600), devices=0)))
    clock.advance(70)
    one, two = value_of(engine.probe("att_1")), value_of(engine.probe("att_2"))
    assert one.ended_us - one.started_us == 60 * US_PER_S
    assert two.end_reason is EndReason.TIME_LIMIT
    assert two.ended_us - two.started_us == pytest.approx(10 * US_PER_S, rel=0.3)


def test_some_programs_ignore_the_request_to_end_and_are_killed() -> None:
    clock = VirtualClock()
    engine = make_engine(clock)
    names = [f"att_{number}" for number in range(200)]
    for name in names:
        value_of(engine.start(make_order(name, lasts_s=10_000, devices=0)))
    clock.advance(10)
    for name in names:
        value_of(engine.stop(name, grace_s=20))
    clock.advance(5)
    early = {name for name in names if value_of(engine.probe(name)).state is TaskState.EXITED}
    clock.advance(15)
    late = {name: value_of(engine.probe(name)) for name in names if name not in early}
    assert 0 < len(late) < 40
    assert {report.tasks[0].signal for report in late.values()} == {signal.SIGKILL}
    assert {report.exit_code for report in late.values()} == {137}
    assert value_of(engine.probe(min(early))).exit_code == 143


def test_a_later_stop_with_less_grace_brings_the_end_forward() -> None:
    clock = VirtualClock()
    engine = make_engine(clock)
    value_of(engine.start(make_order("att_1", lasts_s=10_000)))
    clock.advance(10)
    value_of(engine.stop("att_1", grace_s=300))
    value_of(engine.stop("att_1", grace_s=0))
    assert value_of(engine.probe("att_1")).state is TaskState.EXITED
    value_of(engine.stop("att_1", grace_s=300))
    assert value_of(engine.probe("att_1")).ended_us == clock.now_us()


def test_environments_and_sources_are_prepared_in_a_moment_and_never_fail() -> None:
    clock = VirtualClock()
    engine = make_engine(clock, habits=Habits(failure_share=1.0))
    value_of(engine.start(make_order("att_1", lasts_s=None, purpose="environment")))
    clock.advance(10)
    assert value_of(engine.probe("att_1")).exit_code == 0


def test_use_grows_with_time_and_stays_within_what_was_given() -> None:
    clock = VirtualClock()
    engine = make_engine(clock)
    value_of(engine.start(make_order("att_1", lasts_s=3600, cpus=8)))
    used = []
    for _ in range(5):
        clock.advance(600)
        used.append(value_of(engine.probe("att_1")).tasks[0].cpu_s)
    assert used == sorted(used)
    assert 0 < used[-1] <= 8 * 3000
    assert value_of(engine.probe("att_1")).tasks[0].memory_peak_gib <= 64


def test_metrics_show_learning_and_load() -> None:
    clock = VirtualClock()
    engine = make_engine(clock)
    value_of(engine.start(make_order("att_1", lasts_s=1000, tasks=2)))
    clock.advance(900)
    samples = value_of(engine.read_metrics("att_1", since_us=0))
    losses = [sample.values["loss"] for sample in samples if sample.kind == "user"]
    assert losses[0] > 2 * losses[-1] > 0
    use = [sample.values for sample in samples if sample.kind == "use" and sample.rank == 1]
    assert all(0 < values["device_1_utilization_percent"] <= 100 for values in use)
    assert all(values["device_1_power_w"] <= 700 for values in use)


def test_a_node_shows_what_its_devices_do() -> None:
    clock = VirtualClock()
    engine = make_engine(clock)
    value_of(engine.start(make_order("att_1", lasts_s=1000)))
    clock.advance(10)
    first, second = value_of(engine.nodes())[0].devices[:2]
    assert first.utilization_percent > 50 and second.utilization_percent == 0
    assert first.power_w > second.power_w > 0
    assert first.memory_used_gib > second.memory_used_gib == 0
    clock.advance(2000)
    assert value_of(engine.nodes())[0].devices[0].utilization_percent == 0


def test_a_clock_set_back_across_a_restart_does_not_undo_an_end(tmp_path: Path) -> None:
    clock = VirtualClock()
    engine = make_engine(clock, state_path=tmp_path / "state")
    value_of(engine.start(make_order("att_1", lasts_s=10)))
    clock.advance(100)
    ended = value_of(engine.probe("att_1"))
    assert ended.state is TaskState.EXITED
    engine.close()
    earlier = VirtualClock(clock.now_us() - 95 * US_PER_S)
    again = make_engine(earlier, state_path=tmp_path / "state")
    assert value_of(again.probe("att_1")) == ended
    again.close()


def test_a_log_beyond_its_limit_keeps_head_and_tail() -> None:
    clock = VirtualClock()
    engine = make_engine(clock)
    value_of(engine.start(make_order("att_1", lasts_s=5000, limits=Limits(log_bytes=4096))))
    value_of(engine.start(make_order("att_2", lasts_s=5000, devices=0)))
    clock.advance(10_000)
    data, offset, dropped, ended = b"", 0, 0, False
    while not ended:
        chunk = value_of(engine.read_log("att_1", 0, offset=offset, limit=1000))
        data, offset, ended = data + chunk.data, chunk.next_offset, chunk.ended
        dropped += chunk.dropped_bytes
    assert len(data) == 4096
    assert dropped + len(data) == offset
    assert data.startswith(b"simulated attempt att_1") and b"finished after" in data[-60:]
    whole = value_of(engine.read_log("att_2", 0, offset=0, limit=1 << 20))
    assert len(whole.data) == whole.next_offset > 10_000
    assert math.isclose(len(whole.data), offset, rel_tol=0.01)


def test_time_must_move_forward() -> None:
    from pearlstreet.base.errors import BugError

    with pytest.raises(BugError):
        SimulatedEngine(nodes_from("1xcpu"), clock=VirtualClock(), rng=SeededRng(1), time_scale=0)
