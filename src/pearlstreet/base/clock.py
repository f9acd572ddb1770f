"""Clocks, passed as parameters to all code that needs the time. Wall time is int microseconds since 1970 UTC (`_us`)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

US_PER_S = 1_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """A source of time; every package gets one as a parameter."""

    def now_us(self) -> int:
        """Return the time in microseconds since 1970 UTC; it never decreases between calls."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds since an arbitrary start; changes of the wall clock do not affect them."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        ...


class SystemClock:
    """The machine's clock, made non-decreasing.

    It adds the monotonic clock's progress to the time of its start. If the wall clock jumps ahead (suspend, a late time
    sync), it follows; if the wall clock steps back, it does not.
    """

    def __init__(
        self,
        wall_ns: Callable[[], int] = lambda: time.time_ns(),
        elapsed_ns: Callable[[], int] = lambda: time.monotonic_ns(),
    ) -> None:
        """`wall_ns`: wall time in ns, which may jump; `elapsed_ns`: a clock in ns that never decreases."""
        self._wall_ns, self._elapsed_ns = wall_ns, elapsed_ns
        self._lock = threading.Lock()
        self._last_us = wall_ns() // 1000
        self._last_monotonic_ns = elapsed_ns()

    def now_us(self) -> int:
        with self._lock:
            monotonic_ns = self._elapsed_ns()
            elapsed_us = (monotonic_ns - self._last_monotonic_ns) // 1000
            self._last_monotonic_ns += elapsed_us * 1000
            self._last_us = max(self._last_us + elapsed_us, self._wall_ns() // 1000)
            return self._last_us

    def not_before(self, us: int) -> None:
        """Return at least `us` from now on. Called at start-up with the newest time stored in the database."""
        with self._lock:
            self._last_us = max(self._last_us, us)

    def monotonic_s(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class VirtualClock:
    """A clock that moves only by `sleep` and `advance`, for simulation and tests."""

    def __init__(self, start_us: int = 1_700_000_000 * US_PER_S) -> None:
        self._us = start_us

    def now_us(self) -> int:
        return self._us

    def monotonic_s(self) -> float:
        return self._us / US_PER_S

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move the clock forward by `seconds` (≥ 0)."""
        self._us += int(seconds * US_PER_S)


def to_rfc3339(us: int) -> str:
    """Return a time in RFC 3339, such as `2026-01-31T08:00:00.000000Z`."""
    moment = EPOCH + timedelta(microseconds=us)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond:06d}Z"


def from_rfc3339(value: str) -> int:
    """Return a time in RFC 3339 as microseconds since 1970 UTC. Raises ValueError if it is malformed or has no zone."""
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone; end it with Z or an offset such as +08:00")
    delta = moment - EPOCH
    return (delta.days * 86_400 + delta.seconds) * US_PER_S + delta.microseconds
