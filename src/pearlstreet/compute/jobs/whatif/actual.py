"""What really became of the jobs of a question, to be shown beside what was replayed. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

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


@dataclass(frozen=True, slots=True)
class Actual:
    """Jobs by state when the question was asked, times of those that had ended, and the use of the center's cards."""

    ended: int
    running: int
    waiting: int
    times: Times
    use: float | None
    """Card time held by these jobs over the card time that the center had since the first submission; None without cards."""

    def to_json(self) -> dict[str, Any]:
        """A form for the answer."""
        return asdict(self)


def actual_of(
    jobs: Sequence[Mapping[str, Any]], cards_of: Mapping[str, float], *, cards: int, span_s: float
) -> Actual:
    """What became of the jobs. `cards_of`: cards that a job holds; `cards`: the center's; `span_s`: until the question."""
    over = [job for job in jobs if job["ended"] is not None]
    running = sum(job["ended"] is None and job["started"] is not None for job in jobs)
    columns = np.array(
        [(job["ended"] - job["submitted"], job["ran_s"], job["started"] - job["submitted"]) for job in over],
        dtype=np.float64,
    ).reshape(-1, 3)
    held = sum(cards_of.get(job["job"], 0.0) * job["ran_s"] for job in jobs)
    return Actual(
        ended=len(over),
        running=running,
        waiting=len(jobs) - len(over) - running,
        times=times_of(*(columns[:, i] * US_PER_S for i in range(3))),
        use=held / (cards * span_s) if cards and span_s > 0 else None,
    )


def use_until(curves: Curves, until_s: float) -> float | None:
    """Mean share of the cards in use until then; None before the first step of the curve ends."""
    values = [value for at, value in zip(curves.at_s, curves.cards, strict=True) if at <= until_s]
    return sum(values) / len(values) if values else None


def use_row(use: float | None, t: Words) -> tuple[str, str]:
    """The figure that actual and replayed use are compared by."""
    return t(_USE), _UNKNOWN if use is None else f"{use * 100:.1f} %"


def actual_rows(actual: Actual, names: Sequence[str], t: Words) -> list[list[str]]:
    """The column of figures beside those of the cases, in their order; what only a replay knows is left open."""
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
    """Whether any case changes when a job of the first case waits, runs, stops or ends."""

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
