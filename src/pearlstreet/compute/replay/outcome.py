"""Result of a replay: every run of every job, and the levels of use over time."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

import numpy as np

from pearlstreet.compute.replay.trace import Trace
from pearlstreet.compute.scheduling.model import F64, I64

Place = tuple[tuple[int, tuple[int, ...]], ...]
"""(node, positions of its devices) of every node that a run holds."""
LEVELS = ("cards_bp", "gflops", "waiting", "waiting_cards_bp")
"""Names of the levels stored at every change."""


class Levels:
    """Steps over time: the values hold from their moment to the next."""

    def __init__(self) -> None:
        self.at = array("q")
        self.values = [array("q") for _ in LEVELS]
        self.fragments_at = array("q")
        self.fragments = array("d")

    def note(self, at_us: int, *values: int) -> None:
        """Record the values from this moment on; a second record of a moment replaces the first."""
        if self.at and self.at[-1] == at_us:
            for column, value in zip(self.values, values, strict=True):
                column[-1] = value
            return
        self.at.append(at_us)
        for column, value in zip(self.values, values, strict=True):
            column.append(value)


@dataclass(slots=True)
class Runs:
    """Runs: intervals in which a job held devices."""

    job: array[int] = field(default_factory=lambda: array("q"))
    start_us: array[int] = field(default_factory=lambda: array("q"))
    end_us: array[int] = field(default_factory=lambda: array("q"))
    place: list[Place] = field(default_factory=list)

    def add(self, job: int, start_us: int, end_us: int, place: Place) -> None:
        """Add a finished run."""
        self.job.append(job)
        self.start_us.append(start_us)
        self.end_us.append(end_us)
        self.place.append(place)


@dataclass(slots=True, eq=False)
class Outcome:
    """Result of replaying one trace on one set of nodes under one configuration. Times are µs from the first submission; -1: never."""

    trace: Trace
    node_names: tuple[str, ...]
    capacity_bp: int
    capacity_gflops: int
    cards_bp: I64
    """Cards that each running job counts for, in basis points; the mean for resized jobs."""
    gflops: I64
    """Compute of each job while it last ran, in GFLOPS; the mean for resized jobs."""
    first_us: I64
    end_us: I64
    held_us: I64
    """Total time in which each job held its devices, in µs."""
    lost_us: I64
    """Part of that time spent on redone work after a stop and on restarts."""
    stops: I64
    """Number of preemptions of each job."""
    resizes: I64
    """Number of resizes of each job."""
    never: dict[int, str]
    """Jobs that never ran, and the code of the last reason."""
    runs: Runs
    levels: Levels
    plans: int = 0
    """Number of calls of the planner."""
    skipped: int = 0
    """Moments at which the planner need not be called."""
    events: int = 0

    @property
    def ended(self) -> I64:
        """Rows of the jobs that ended."""
        return np.flatnonzero(self.end_us >= 0)

    @property
    def wait_us(self) -> F64:
        """Time that ended jobs lost to waiting, including restarts."""
        rows = self.ended
        return np.asarray(
            self.end_us[rows] - self.trace.submit_us[rows] - self.trace.duration_us[rows], dtype=np.float64
        )
