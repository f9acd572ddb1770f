"""How long an attempt may run: its job's limit, less what ran of it before a resize. Pure."""

from __future__ import annotations

from pearlstreet.compute.jobs.metering import work_s
from pearlstreet.compute.jobs.model import StopReason
from pearlstreet.store.core import Row

LEAST_S = 1.0
"""What a job that was resized just before its limit has left."""


def time_left_s(limit_s: float, last: Row | None) -> float:
    """Of the attempt after `last`. A job that was only resized goes on under the limit it had; whatever else ended its
    last attempt, it begins again and the limit is whole."""
    if last is None or last["stop_reason"] != StopReason.RESIZED.value:
        return limit_s
    return max(float(last["time_limit_s"]) - ran_s(last), LEAST_S)


def ran_s(attempt: Row) -> float:
    """How long an attempt ran until it was told to stop: what it then takes to save its work counts for nobody."""
    ends = [us for us in (attempt["stop_asked_us"], attempt["ended_us"]) if us is not None]
    if attempt["started_us"] is None or not ends:
        return 0.0
    return max(work_s(attempt, min(ends)), 0.0)
