"""PURE: when an offer's job would start, asked of the planner itself over what it saw last."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pearlstreet.base.text import text
from pearlstreet.compute.estimate.estimators import Band
from pearlstreet.compute.jobs.asking import ask_of
from pearlstreet.compute.jobs.spec.model import JobSpec
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.hypothetical import Supposed, suppose
from pearlstreet.compute.scheduling.model import Snapshot
from pearlstreet.compute.scheduling.rows import WaitingJob
from pearlstreet.quotes.model import Start

NOBODY = "quote"
"""Id of the job that is supposed: none that exists."""
PLACED_US = 60_000_000
"""What placing and starting take at most where everything is free."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who would submit it, as the planner knows them."""

    org: str
    project: str
    user: str
    queue: str


def expected_start(
    snapshot: Snapshot,
    config: PlannerConfig,
    asker: Asker,
    spec: JobSpec,
    elapsed_s: Band,
    pace: float = 1.0,
) -> Start:
    """The planner's own answer for this specification as one more waiting job.

    `pace`: the center works so many times as fast as the clock, by which the planner reckons.
    """
    ask, by_clock_s = ask_of(spec), elapsed_s.times(1 / pace)
    job = WaitingJob(
        id=NOBODY,
        org=asker.org,
        project=asker.project,
        request=ask.request(),
        tasks=ask.tasks,
        priority=spec.priority,
        submitted_us=snapshot.now_us,
        time_limit_s=spec.time_limit_s / pace,
        predicted_s=by_clock_s.median,
        predicted_low_s=by_clock_s.p10,
        predicted_high_s=by_clock_s.p90,
        preemptible=spec.preemptible,
        not_before_us=spec.not_before_us or 0,
        deadline_us=spec.deadline_us or 0,
        user=asker.user,
        queue=asker.queue,
    )
    return replace(_start(suppose(snapshot, config, job), snapshot.now_us, spec), pace=pace)


def _start(answer: Supposed, now: int, spec: JobSpec) -> Start:
    if answer.wait is None:
        return Start("free", now, now, now + PLACED_US)
    wait, found = answer.wait, answer.wait.reason.start
    if spec.not_before_us and spec.not_before_us > now:
        why = text("It is not to start before the time it names")
        return Start("limits", spec.not_before_us, spec.not_before_us, None, wait.position, why)
    if found is None:
        return Start("unknown", None, None, None, wait.position, wait.reason.message)
    basis = "predictions" if found.guess else "limits"
    return Start(
        basis, found.earliest_us, found.likely_us, found.latest_us, wait.position, wait.reason.message
    )
