"""Timing work honestly: warm up, repeat, take the median, stop when the time is up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from pearlstreet.base.clock import Clock

LEAST_RUN_S = 0.02
"""Shorter runs are batched, so that the clock and the call do not count."""
MAX_REPEATS = 15
LEAST_REPEATS = 3


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds of one run."""

    median_s: float
    spread: float
    repeats: int


def timed(work: Callable[[int], object], clock: Clock, budget_s: float) -> Timed:
    """Time `work(count)`, which does the same thing `count` times and waits until it is done.

    Takes about `budget_s`, or three runs if those take longer.
    """
    begun = clock.monotonic_s()
    work(1)
    once = max(_lap(work, 1, clock), 1e-9)
    batch = max(1, round(LEAST_RUN_S / once))
    runs: list[float] = []
    while len(runs) < MAX_REPEATS:
        runs.append(_lap(work, batch, clock) / batch)
        spent = clock.monotonic_s() - begun
        if len(runs) >= LEAST_REPEATS and spent + runs[-1] * batch > budget_s:
            break
    middle = median(runs)
    return Timed(middle, (max(runs) - min(runs)) / middle, len(runs))


def _lap(work: Callable[[int], object], count: int, clock: Clock) -> float:
    start = clock.monotonic_s()
    work(count)
    return clock.monotonic_s() - start
