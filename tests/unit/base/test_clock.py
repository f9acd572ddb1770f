"""Time that never steps back, and its written form."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.base.clock import SystemClock, VirtualClock, from_rfc3339, to_rfc3339


def test_a_wall_clock_stepping_back_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SystemClock()
    before = clock.now_us()
    real = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: real - 3600 * 10**9)
    after = clock.now_us()
    assert 0 <= after - before < 60_000_000


def test_a_wall_clock_jumping_ahead_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SystemClock()
    before = clock.now_us()
    real = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: real + 3600 * 10**9)
    assert clock.now_us() - before >= 3600 * 10**6


def test_what_is_on_record_is_never_undercut() -> None:
    clock = SystemClock()
    future = clock.now_us() + 10**12
    clock.not_before(future)
    assert clock.now_us() >= future


def test_a_virtual_clock_moves_only_when_told() -> None:
    clock = VirtualClock(5)
    assert clock.now_us() == clock.now_us() == 5
    clock.sleep(1.5)
    assert clock.now_us() == 1_500_005


@given(st.integers(0, 253_402_300_799_999_999))
def test_a_written_time_reads_back_the_same(us: int) -> None:
    assert from_rfc3339(to_rfc3339(us)) == us


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        from_rfc3339("2026-01-31T08:00:00")
    assert from_rfc3339("1970-01-01T08:00:00+08:00") == 0
