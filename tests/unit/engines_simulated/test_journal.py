"""The simulated cluster's file: what a crash, a full disk, a second server and a long life do to it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.fakes.engines import value_of
from tests.unit.engines_simulated.making import make_engine, make_order

from pearlstreet.base.clock import VirtualClock
from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.outcome import Done, Retry
from pearlstreet.compute.engines.simulated import Habits


def test_a_line_cut_off_by_a_crash_was_never_acknowledged(tmp_path: Path) -> None:
    path, clock = tmp_path / "state", VirtualClock()
    engine = make_engine(clock, state_path=path)
    value_of(engine.start(make_order("att_1")))
    value_of(engine.start(make_order("att_2", devices=0)))
    engine.close()
    whole = path.read_bytes()
    for cut in range(len(whole) - 1, whole.rindex(b"\n", 0, -1), -7):
        path.write_bytes(whole[:cut])
        again = make_engine(clock, state_path=path)
        assert [report.attempt_id for report in value_of(again.scan())] == ["att_1"]
        value_of(again.start(make_order("att_3", devices=0)))
        again.close()
        last = make_engine(clock, state_path=path)
        assert [report.attempt_id for report in value_of(last.scan())] == ["att_1", "att_3"]
        last.close()


def test_a_damaged_line_is_named_and_nothing_is_dropped(tmp_path: Path) -> None:
    path, clock = tmp_path / "state", VirtualClock()
    engine = make_engine(clock, state_path=path)
    value_of(engine.start(make_order("att_1")))
    engine.close()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\x00\x00garbage\n" + b"".join(lines[1:]))
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="Line 2"):
        make_engine(clock, state_path=path)
    assert path.read_bytes() == before


def test_a_second_engine_on_the_same_file_is_turned_away(tmp_path: Path) -> None:
    engine = make_engine(VirtualClock(), state_path=tmp_path / "state")
    with pytest.raises(ConfigurationError, match="in use"):
        make_engine(VirtualClock(), state_path=tmp_path / "state")
    engine.close()
    make_engine(VirtualClock(), state_path=tmp_path / "state").close()


def test_another_seed_given_at_a_restart_changes_nothing(tmp_path: Path) -> None:
    clock = VirtualClock()
    habits = Habits()
    engine = make_engine(clock, state_path=tmp_path / "state", seed=1, habits=habits)
    value_of(engine.start(make_order("att_1", lasts_s=None)))
    clock.advance(30)
    log = engine.read_log("att_1", 0, offset=0, limit=1 << 16)
    engine.close()
    again = make_engine(clock, state_path=tmp_path / "state", seed=2, habits=habits)
    assert again.read_log("att_1", 0, offset=0, limit=1 << 16) == log
    again.close()


def test_the_file_holds_no_command_no_variable_and_is_ours_alone(tmp_path: Path) -> None:
    path = tmp_path / "state"
    engine = make_engine(VirtualClock(), state_path=path)
    order = make_order("att_1", variables={"TOKEN": "hunter2-secret", "PLAIN": "plain-value"})
    value_of(engine.start(order))
    value_of(engine.stop("att_1", grace_s=1))
    engine.close()
    content = path.read_bytes()
    assert b"att_1" in content
    assert b"secret" not in content and b"plain-value" not in content and b"train" not in content
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_is_forgotten_leaves_the_file_in_time(tmp_path: Path) -> None:
    path, clock = tmp_path / "state", VirtualClock()
    engine = make_engine(clock, state_path=path)
    value_of(engine.start(make_order("att_kept", lasts_s=1e6)))
    for number in range(1500):
        value_of(engine.start(make_order(f"att_{number}", lasts_s=1, devices=0)))
        clock.advance(5)
        value_of(engine.forget(f"att_{number}"))
    assert len(path.read_bytes().splitlines()) < 2500
    engine.close()
    again = make_engine(clock, state_path=path)
    assert [report.attempt_id for report in value_of(again.scan())] == ["att_kept"]
    again.close()


def test_a_full_disk_starts_nothing_and_recovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make_engine(VirtualClock(), state_path=tmp_path / "state")
    real = os.write

    def full(descriptor: int, data: bytes) -> int:
        real(descriptor, data[:10])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        answer = engine.start(make_order("att_1"))
    assert isinstance(answer, Retry)
    assert "No space left" in str(answer.reason)
    assert engine.probe("att_1") == Done(None)
    value_of(engine.start(make_order("att_1")))
    engine.close()
    again = make_engine(VirtualClock(), state_path=tmp_path / "state")
    assert len(value_of(again.scan())) == 1
    again.close()


def test_a_broken_device_stays_broken_across_a_restart(tmp_path: Path) -> None:
    engine = make_engine(VirtualClock(), state_path=tmp_path / "state")
    value_of(engine.cluster.break_device("h100-0001", 3))
    value_of(engine.cluster.break_node("h100-0002"))
    engine.close()
    again = make_engine(VirtualClock(), state_path=tmp_path / "state")
    nodes = value_of(again.nodes())
    assert [device.healthy for device in nodes[0].devices].index(False) == 3
    assert [node.healthy for node in nodes] == [True, False, True, True]
    again.close()


def test_devices_granted_twice_come_to_light() -> None:
    clock = VirtualClock()
    engine = make_engine(clock)
    value_of(engine.start(make_order("att_1", lasts_s=10)))
    clock.advance(100)
    value_of(engine.start(make_order("att_2", lasts_s=10)))
    assert engine.cluster.double_grants() == []
    value_of(engine.start(make_order("att_3", lasts_s=10)))
    assert "att_3" in engine.cluster.double_grants()[0]
