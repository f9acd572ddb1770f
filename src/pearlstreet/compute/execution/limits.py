"""PURE: time limit of an attempt: its job's limit, less the time that ran before a resize."""

from __future__ import annotations

from pearlstreet.compute.execution.metering import work_s
from pearlstreet.compute.execution.model import StopReason
from pearlstreet.store.core import Row

LEAST_S = 1.0
"""Shortest time limit in seconds of an attempt after a resize."""


def time_left_s(limit_s: float, last: Row | None) -> float:
    """Return the time limit in seconds of the attempt after `last`.

    After a resize the remaining time counts; after any other end the job begins again with its whole limit.
    """
    if last is None or last["stop_reason"] != StopReason.RESIZED.value:
        return limit_s
    return max(float(last["time_limit_s"]) - ran_s(last), LEAST_S)


def ran_s(attempt: Row) -> float:
    """Return how long an attempt ran until it was asked to stop; the time it then takes to save its work does not count."""
    ends = [us for us in (attempt["stop_asked_us"], attempt["ended_us"]) if us is not None]
    if attempt["started_us"] is None or not ends:
        return 0.0
    return max(work_s(attempt, min(ends)), 0.0)
