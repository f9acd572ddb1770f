"""Time of a simulated world: it advances only on request, and the wall clock can be set ahead or back."""

from __future__ import annotations

from pearlstreet.base.clock import SystemClock

START_NS = 1_700_000_000 * 10**9
NS = 10**9


class WorldTime:
    """Elapsed time and wall clock of a world, the same for all its machines."""

    def __init__(self) -> None:
        self._elapsed_ns = 1000 * NS
        self._wall_offset_ns = START_NS
        self.was_set_back = False
        """Whether the wall clock was ever set back; a server booted afterwards is behind the machines' clocks."""

    def elapsed_ns(self) -> int:
        """Return the elapsed time in ns."""
        return self._elapsed_ns

    def wall_ns(self) -> int:
        """Return the wall clock in ns since 1970 UTC."""
        return self._elapsed_ns + self._wall_offset_ns

    def advance(self, seconds: float) -> None:
        """Advance the time by `seconds`."""
        self._elapsed_ns += int(seconds * NS)

    def set_wall(self, by_s: float) -> None:
        """Set the wall clock ahead by `by_s` seconds, or back if negative; no time elapses."""
        self._wall_offset_ns += int(by_s * NS)
        self.was_set_back |= by_s < 0


class WorldClock(SystemClock):
    """The product's clock on a world's time, so that its behaviour after a wall clock change is tested too."""

    def __init__(self, time: WorldTime) -> None:
        super().__init__(time.wall_ns, time.elapsed_ns)
        self._time = time

    def monotonic_s(self) -> float:
        return self._time.elapsed_ns() / NS

    def sleep(self, seconds: float) -> None:
        self._time.advance(seconds)
