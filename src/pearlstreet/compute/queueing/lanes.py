"""PURE: lets requests of a lane be planned: before all queues, and of each organisation no more at once than its limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pearlstreet.base.text import plural
from pearlstreet.compute.queueing.model import WaitingRow
from pearlstreet.compute.queueing.owners import Lane, WaitReason
from pearlstreet.compute.queueing.policy.model import RANK_MAX
from pearlstreet.compute.scheduling.config import PlannerConfig, QueuePolicy
from pearlstreet.compute.scheduling.rows import RunningAttempt

ORG_LIMIT = "org_builds"
"""Reason code of a request that waits because its organisation has as many attempts of the lane as it may."""


def with_lanes(config: PlannerConfig, names: Iterable[str]) -> PlannerConfig:
    """Return the configuration with the queues of lanes that have requests; unchanged without any."""
    found = tuple(
        QueuePolicy(name, rank=-RANK_MAX - 1, preemption="none", elasticity="none")
        for name in sorted(set(names))
    )
    return replace(config, queues=(*found, *config.queues)) if found else config


def beyond_limits(
    lanes: Mapping[str, Lane], rows: Sequence[WaitingRow], running: Iterable[RunningAttempt]
) -> dict[str, WaitReason]:
    """Return the requests that must wait for attempts of their organisation in the same lane, with the reason.

    The oldest requests of an organisation come first.
    """
    names = {lane.name for lane in lanes.values()}
    active = Counter((attempt.org, attempt.array) for attempt in running if attempt.array in names)
    found: dict[str, WaitReason] = {}
    for row in sorted(rows, key=lambda row: (row.submitted_us, row.id)):
        lane = lanes.get(row.owner_kind)
        if lane is None or not lane.org_running_max:
            continue
        if active[row.org_id, lane.name] < lane.org_running_max:
            active[row.org_id, lane.name] += 1
            continue
        sentence = plural(
            "{count} build of its organisation runs, as many as may at once. It starts once one of them ends.",
            "{count} builds of its organisation run, as many as may at once. It starts once one of them ends.",
            count=lane.org_running_max,
        )
        found[row.id] = WaitReason(ORG_LIMIT, sentence)
    return found
