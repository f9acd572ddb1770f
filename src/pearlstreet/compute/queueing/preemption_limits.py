"""PURE: finds the preemption rules that protect the running jobs which hold what a waiting job needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np

from pearlstreet.base.durations import duration
from pearlstreet.base.text import Text, text
from pearlstreet.compute.scheduling.capacity import request_needs
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import Bools, Snapshot
from pearlstreet.compute.scheduling.plan import Detail
from pearlstreet.compute.scheduling.rows import Request

PREEMPTION = "preemption"
"""Constraint name of the detail that reports protected jobs."""
_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Protection:
    """Explanation why preemption does not help a waiting job."""

    detail: Detail
    is_unexpected: bool
    """Whether the owner may have expected preemption: some of the running jobs have a lower priority, or ranks decide."""


Rule = tuple[Bools, Callable[[int], Text]]
"""Mask of the running attempts that a rule protects, and a function that returns the sentence for their number."""


def explain_protection(
    snapshot: Snapshot, config: PlannerConfig, job_id: str, request: Request
) -> Protection | None:
    """Return how many running jobs hold what the job needs, and which rules keep them from being stopped.

    None if no running job holds any of it, or if the planner did not load the job. Each attempt counts under the first rule
    that protects it. `config` must be that of the job's queue.
    """
    if job_id not in snapshot.waiting.ids:
        return None
    holders = _holders(snapshot, request)
    count = int(holders.sum())
    if not count:
        return None
    row = snapshot.waiting.ids.index(job_id)
    outranks = bool((holders & (snapshot.running.priority < snapshot.waiting.priority[row])).any())
    if config.preemption == "none":
        message = text("No running job is stopped for another: preemption is off")
        return Protection(Detail(PREEMPTION, count, 0, message), outranks)
    parts = []
    for protects, say in _rules(snapshot, config, row):
        protected = holders & protects
        holders = holders & ~protects
        if protected.any():
            parts.append(say(int(protected.sum())))
    able = int(holders.sum())
    if able:
        parts.append(text("may be stopped, but would not free enough: {count}", count=able))
    listed = reduce(lambda before, part: text("{before}; {part}", before=before, part=part), parts)
    message = text("Running jobs that hold what it needs are not stopped for it ({rules})", rules=listed)
    return Protection(Detail(PREEMPTION, count, able, message), outranks or config.preemption == "rank")


def _holders(snapshot: Snapshot, request: Request) -> Bools:
    """Return the mask of running attempts that hold devices the job can use, or CPUs if it needs no device."""
    running = snapshot.running
    if not request.wants_device:
        return np.asarray(running.cpu > 0)
    models = [need.model for need in request_needs(snapshot, request)]
    device_model = snapshot.nodes.device_model[running.device_node, running.device_position]
    holders = np.zeros(running.count, dtype=np.bool_)
    holders[running.device_attempt[np.isin(device_model, models)]] = True
    return holders


def _rules(snapshot: Snapshot, config: PlannerConfig, row: int) -> tuple[Rule, ...]:
    """Return the rules of the queue's preemption policy, in the order in which they are checked."""
    running, waiting = snapshot.running, snapshot.waiting
    ran_us = snapshot.now_us - running.started_us
    minimum = duration(config.min_run_s)
    other_project: Rule = (
        np.asarray(running.project != waiting.project[row]),
        lambda count: text("of other projects, which only give back what they borrow: {count}", count=count),
    )
    priority: Rule = (
        np.asarray(running.priority >= waiting.priority[row]),
        lambda count: text("of the same or a higher priority: {count}", count=count),
    )
    by_policy: Mapping[str, tuple[Rule, ...]] = {
        "priority": (other_project, priority),
        "priority-across-accounts": (priority,),
    }
    return (
        (running.ending, lambda count: text("ending already: {count}", count=count)),
        (~running.preemptible, lambda count: text("not preemptible: {count}", count=count)),
        *by_policy.get(config.preemption, ()),
        (
            np.asarray(ran_us < round(config.min_run_s * _US)),
            lambda count: text("running for less than {minimum}: {count}", minimum=minimum, count=count),
        ),
    )
