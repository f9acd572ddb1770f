"""PURE: actual outcome of the jobs of a question, for comparison with the replays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TypedDict

import numpy as np

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.durations import rough_duration
from pearlstreet.base.text import text
from pearlstreet.compute.replay.compare import Compared
from pearlstreet.compute.replay.measures import Curves, Times, times_of
from pearlstreet.compute.replay.report import Words

NAME = text("actual")
_USE = text("Use of cards until the question was asked")
_UNKNOWN = "–"


class JobRecord(TypedDict):
    """Request and actual times of a job, in seconds since 1970; None: it has not started, or has not ended."""

    job: str
    count: int
    tasks: int
    submitted: float
    started: float | None
    ended: float | None
    ran_s: float


@dataclass(frozen=True, slots=True)
class Actual:
    """Job counts by state when the question was asked, times of ended jobs, and the utilisation of the center's cards."""

    ended: int
    running: int
    waiting: int
    times: Times
    use: float | None
    """Card time held by these jobs divided by the center's card time since the first submission; None without cards."""

    def to_json(self) -> dict[str, object]:
        """Return the value stored in the answer."""
        return asdict(self)


def actual_of(
    jobs: Sequence[JobRecord], cards_of: Mapping[str, float], *, cards: int, span_s: float
) -> Actual:
    """Return the actual outcome of the jobs.

    `cards_of`: cards held, by job; `cards`: cards of the center; `span_s`: seconds from the first submission to the question.
    """
    running = sum(job["ended"] is None and job["started"] is not None for job in jobs)
    rows = [
        (job["ended"] - job["submitted"], job["ran_s"], job["started"] - job["submitted"])
        for job in jobs
        if job["ended"] is not None and job["started"] is not None
    ]
    columns = np.array(rows, dtype=np.float64).reshape(-1, 3)
    held = sum(cards_of.get(job["job"], 0.0) * job["ran_s"] for job in jobs)
    return Actual(
        ended=len(rows),
        running=running,
        waiting=len(jobs) - len(rows) - running,
        times=times_of(*(columns[:, i] * US_PER_S for i in range(3))),
        use=held / (cards * span_s) if cards and span_s > 0 else None,
    )


def use_until(curves: Curves, until_s: float) -> float | None:
    """Return the mean utilisation of the cards up to `until_s`; None before the first step of the curve ends."""
    values = [value for at, value in zip(curves.at_s, curves.cards, strict=True) if at <= until_s]
    return sum(values) / len(values) if values else None


def use_row(use: float | None, t: Words) -> tuple[str, str]:
    """Return the row with which actual and replayed utilisation are compared."""
    return t(_USE), _UNKNOWN if use is None else f"{use * 100:.1f} %"


def actual_rows(actual: Actual, names: Sequence[str], t: Words) -> list[list[str]]:
    """Return the actual figures in the order of `names`; figures that only a replay has are left open."""
    times = actual.times
    known = dict([
        (t(text("Average JCT")), t(rough_duration(times.avg_jct_s))),
        (t(text("Median JCT")), t(rough_duration(times.p50_jct_s))),
        (t(text("99th percentile of JCT")), t(rough_duration(times.p99_jct_s))),
        (t(text("Average time in queue")), t(rough_duration(times.avg_queue_s))),
        (t(text("99th percentile of time in queue")), t(rough_duration(times.p99_queue_s))),
        (t(text("Average time to first start")), t(rough_duration(times.avg_first_wait_s))),
        use_row(actual.use, t),
    ] if times.jobs else [use_row(actual.use, t)])  # fmt: skip
    known[t(text("Jobs that ended"))] = f"{actual.ended:,}"
    return [[name, known.get(name, _UNKNOWN)] for name in names]


def differs(cases: Sequence[Compared]) -> bool:
    """Return whether any case differs from the first in when its jobs wait, run, stop or end."""

    def played(case: Compared) -> tuple[object, ...]:
        found = case.measures
        return (
            found.times,
            found.never_why,
            found.makespan_s,
            found.preemptions,
            found.resizes,
            found.by_org,
        )

    return any(played(case) != played(cases[0]) for case in cases[1:])
