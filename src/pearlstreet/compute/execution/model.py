"""States, events and transitions of attempts, and why the center stops one."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from pearlstreet.store.transitions import StateTable


class AttemptState(StrEnum):
    """State of one attempt to run what its owner wants."""

    PLACED = "placed"
    STARTING = "starting"
    RUNNING = "running"
    COLLECTING = "collecting"
    """The engine reports the end; the devices are free; outputs are being stored."""
    ENDED = "ended"


class AttemptEvent(StrEnum):
    """Event that changes the state of an attempt."""

    START = "start"
    RUN = "run"
    COLLECT = "collect"
    END = "end"


def _attempt_moves() -> Mapping[tuple[AttemptState, AttemptEvent], AttemptState]:
    s, e = AttemptState, AttemptEvent
    return {
        (s.PLACED, e.START): s.STARTING,
        (s.PLACED, e.RUN): s.RUNNING,
        (s.STARTING, e.RUN): s.RUNNING,
        (s.PLACED, e.COLLECT): s.COLLECTING,
        (s.STARTING, e.COLLECT): s.COLLECTING,
        (s.RUNNING, e.COLLECT): s.COLLECTING,
        (s.PLACED, e.END): s.ENDED,
        (s.STARTING, e.END): s.ENDED,
        (s.RUNNING, e.END): s.ENDED,
        (s.COLLECTING, e.END): s.ENDED,
    }


ATTEMPT_STATES: StateTable[AttemptState, AttemptEvent] = StateTable(
    "attempt", _attempt_moves(), frozenset({AttemptState.ENDED})
)
LIVE_ATTEMPT = (AttemptState.PLACED.value, AttemptState.STARTING.value, AttemptState.RUNNING.value)
"""States in which an attempt holds devices."""


class StopReason(StrEnum):
    """Reason for which the center asks an engine to stop an attempt."""

    CANCELLED = "cancelled"
    PREEMPTED = "preempted"
    TIME_LIMIT = "time_limit"
    BALANCE = "balance"
    WITHDRAWN = "withdrawn"
    """It did not start in time, or its node is gone or under maintenance; its owner may try again."""
    IDLE = "idle"
    """Its accelerators were idle for longer than the center allows."""
    RESIZED = "resized"
    """Its elastic job continues with another number of tasks."""


DRAINING_STOP_REASONS = frozenset(
    {
        StopReason.CANCELLED,
        StopReason.PREEMPTED,
        StopReason.WITHDRAWN,
        StopReason.RESIZED,
        StopReason.IDLE,
    }
)
"""Stop reasons that leave a service the time to answer the requests it has; the other stops are due at once."""
INTERRUPTING_STOP_REASONS = frozenset({StopReason.PREEMPTED, StopReason.WITHDRAWN, StopReason.RESIZED})
"""Stop reasons of the center itself: the owner goes on later, and what it loses by the stop is not billed."""
