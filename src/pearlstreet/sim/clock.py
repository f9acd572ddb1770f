"""Time of a simulated world: it passes only when told, and its wall clock can be set ahead or back."""

from __future__ import annotations

from pearlstreet.base.clock import SystemClock

START_NS = 1_700_000_000 * 10**9
NS = 10**9


class WorldTime:
    """What every machine of a world agrees on: time that has passed, and what the clock on the wall shows."""

    def __init__(self) -> None:
        self._elapsed_ns = 1000 * NS
        self._wall_offset_ns = START_NS
        self.was_set_back = False
        """A server that boots then is behind the machines: their times and its own cannot be compared."""

    def elapsed_ns(self) -> int:
        """Time that has passed."""
        return self._elapsed_ns

    def wall_ns(self) -> int:
        """What the wall clock shows."""
        return self._elapsed_ns + self._wall_offset_ns

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._elapsed_ns += int(seconds * NS)

    def set_wall(self, by_s: float) -> None:
        """Set the wall clock ahead, or (below 0) back; no time passes."""
        self._wall_offset_ns += int(by_s * NS)
        self.was_set_back |= by_s < 0


class WorldClock(SystemClock):
    """The product's own clock over a world's time: what it promises when a wall clock is set is tested with it."""

    def __init__(self, time: WorldTime) -> None:
        super().__init__(time.wall_ns, time.elapsed_ns)
        self._time = time

    def monotonic_s(self) -> float:
        return self._time.elapsed_ns() / NS

    def sleep(self, seconds: float) -> None:
        self._time.advance(seconds)
