"""PURE: expected start of an offer's job, from the planner and its last snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pearlstreet.base.text import Text, text
from pearlstreet.compute.estimate.band import Band
from pearlstreet.compute.jobs.resource_request import ask_of
from pearlstreet.compute.pool.inventory import Node
from pearlstreet.compute.queueing.blockers import find_blocked
from pearlstreet.compute.queueing.engine_choice import within_queue
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.hypothetical import Supposed, suppose
from pearlstreet.compute.scheduling.model import Snapshot
from pearlstreet.compute.scheduling.plan import Code
from pearlstreet.compute.scheduling.rows import WaitingJob
from pearlstreet.quotes.model import Start
from pearlstreet.workload.spec.model import JobSpec

NOBODY = "quote"
"""Id of the hypothetical job; no real job has it."""
PLACED_US = 60_000_000
"""Longest time in µs for placement and start when resources are free."""


@dataclass(frozen=True, slots=True)
class Submitter:
    """The submitter of a hypothetical job, as the planner knows it."""

    org: str
    project: str
    user: str
    queue: str
    org_name: str = ""
    """Slugs for messages about limits."""
    project_name: str = ""
    engines: tuple[str, ...] = ()
    """Engines of the queue, whose nodes alone run its jobs; empty: all."""


def expected_start(
    snapshot: Snapshot,
    config: PlannerConfig,
    submitter: Submitter,
    spec: JobSpec,
    elapsed_s: Band,
    pace: float = 1.0,
    nodes: Mapping[str, Node] | None = None,
) -> Start:
    """Return the planner's answer for this specification as one more waiting job.

    `pace`: how many times faster than the clock the center works. `nodes`: the center's nodes by name, to distinguish
    drained from unhealthy ones.
    """
    ask, by_clock_s = ask_of(spec), elapsed_s.times(1 / pace)
    job = WaitingJob(
        id=NOBODY,
        org=submitter.org,
        project=submitter.project,
        request=within_queue(ask.request(), submitter.engines),
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
        user=submitter.user,
        queue=submitter.queue,
    )
    found = replace(_start(answer := suppose(snapshot, config, job), snapshot.now_us, spec), pace=pace)
    if answer.wait is None or found.basis != "unknown":
        return found
    reason = answer.wait.reason
    if reason.code is Code.CAPACITY:
        blocked = find_blocked(snapshot, nodes or {}, job.request, job.tasks)
        return found if blocked is None else replace(found, why=blocked.message)
    return replace(found, why=_with_names(reason.message, submitter))


def _with_names(message: Text, submitter: Submitter) -> Text:
    """Return the message about a limit with the names of its organisation and project."""
    names = {
        submitter.org: submitter.org_name or submitter.org,
        f"{submitter.org}/{submitter.project}": f"{submitter.org_name or submitter.org}/{submitter.project_name or submitter.project}",
    }
    owner = str(message.params.get("owner", ""))
    return replace(message, params={**message.params, "owner": names[owner]}) if owner in names else message


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
