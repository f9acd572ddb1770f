"""Runs many seeds in parallel processes, for a time or up to a number of seeds."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field

from pearlstreet.base.clock import Clock
from pearlstreet.base.rng import Rng
from pearlstreet.sim.faults.registry import KINDS
from pearlstreet.sim.run import Outcome, run_seed

AHEAD = 2
"""Number of seeds queued per process."""


@dataclass
class Report:
    """Totals over the seeds run so far."""

    first: int = 0
    """First seed; the others are the numbers after it."""
    seeds: int = 0
    steps: int = 0
    jobs: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    cycles: Counter[int] = field(default_factory=Counter)
    failures: list[Outcome] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Number of faults that took effect."""
        return sum(self.faults.values())

    @property
    def missing(self) -> list[str]:
        """Names of the fault kinds that never took effect."""
        return [kind.name for kind in KINDS if not self.faults[kind.name]]

    def add(self, outcome: Outcome) -> None:
        """Add the outcome of one seed."""
        self.seeds += 1
        self.steps += outcome.steps
        self.jobs += outcome.jobs
        self.cpu_s += outcome.cpu_s
        self.faults.update(outcome.faults)
        if outcome.cycles is not None:
            self.cycles[outcome.cycles] += 1
        if outcome.failure is not None:
            self.failures.append(outcome)


def run_swarm(
    clock: Clock,
    *,
    first: int,
    seeds: int | None,
    seconds: float | None,
    workers: int,
    tell: Callable[[Report, Outcome], None],
) -> Report:
    """Run seeds from `first` on until `seeds` are done or `seconds` have passed; call `tell` after each."""
    report, began_s = Report(first), clock.monotonic_s()
    for outcome in _outcomes(clock, first, seeds, seconds, workers):
        report.add(outcome)
        report.seconds = clock.monotonic_s() - began_s
        tell(report, outcome)
    return report


def _outcomes(
    clock: Clock, first: int, seeds: int | None, seconds: float | None, workers: int
) -> Iterator[Outcome]:
    ends_s = None if seconds is None else clock.monotonic_s() + seconds
    last = None if seeds is None else first + seeds
    following = first

    def more() -> bool:
        in_time = ends_s is None or clock.monotonic_s() < ends_s
        return in_time and (last is None or following < last)

    if workers <= 1:
        while more():
            yield _run_seed(following)
            following += 1
        return
    # Spawned processes: a forked one would share the in-memory database of this process.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        running: set[Future[Outcome]] = set()
        while running or more():
            while more() and len(running) < workers * AHEAD:
                running.add(pool.submit(_run_seed, following))
                following += 1
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from sorted((future.result() for future in done), key=lambda outcome: outcome.seed)
            if not more():
                for future in [future for future in running if future.cancel()]:
                    running.discard(future)


def _run_seed(seed: int) -> Outcome:
    """Run a seed without garbage collection, which took 12 % of the time, and collect garbage after it."""
    gc.disable()
    try:
        return run_seed(seed)
    finally:
        gc.enable()
        gc.collect()


def draw_first(rng: Rng) -> int:
    """Draw a first seed from 0 to 10⁹ - 1, so that each run tests new seeds."""
    return int(rng.uniform() * 1_000_000_000)


def usual_workers() -> int:
    """Return the default number of processes: one per core, at most two."""
    return min(2, os.cpu_count() or 1)
