"""What a job and its attempts are, and every legal move between their states. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pearlstreet.base.text import Text
from pearlstreet.compute.pool.slices import ShareRequest
from pearlstreet.compute.scheduling.rows import Request
from pearlstreet.store.transitions import StateTable


class JobState(StrEnum):
    """Where a job (or one element of an array) is."""

    QUEUED = "queued"
    PLACED = "placed"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    FINISHING = "finishing"
    """The work is over; results are being kept."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobEvent(StrEnum):
    """What moves a job."""

    PLACE = "place"
    START = "start"
    RUN = "run"
    STOP = "stop"
    FINISH = "finish"
    SUCCEED = "succeed"
    FAIL = "fail"
    CANCEL = "cancel"
    REQUEUE = "requeue"


ACTIVE = frozenset(
    {JobState.PLACED, JobState.STARTING, JobState.RUNNING, JobState.STOPPING, JobState.FINISHING}
)
"""States of a job that has a live attempt."""
ENDED = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})


def _job_moves() -> Mapping[tuple[JobState, JobEvent], JobState]:
    s, e = JobState, JobEvent
    moves = {
        (s.QUEUED, e.PLACE): s.PLACED,
        (s.QUEUED, e.CANCEL): s.CANCELLED,
        (s.QUEUED, e.FAIL): s.FAILED,
        (s.PLACED, e.START): s.STARTING,
        (s.PLACED, e.RUN): s.RUNNING,
        (s.STARTING, e.RUN): s.RUNNING,
    }
    for state in (s.PLACED, s.STARTING, s.RUNNING):
        moves[state, e.STOP] = s.STOPPING
        moves[state, e.FINISH] = s.FINISHING
    for state in (s.PLACED, s.STARTING, s.RUNNING, s.STOPPING, s.FINISHING):
        moves[state, e.SUCCEED] = s.SUCCEEDED
        moves[state, e.FAIL] = s.FAILED
        moves[state, e.REQUEUE] = s.QUEUED
    moves[s.STOPPING, e.FINISH] = s.FINISHING
    moves[s.STOPPING, e.CANCEL] = s.CANCELLED
    moves[s.FINISHING, e.CANCEL] = s.CANCELLED
    return moves


JOB_STATES: StateTable[JobState, JobEvent] = StateTable("job", _job_moves(), ENDED)


class AttemptState(StrEnum):
    """Where one try at running a job is."""

    PLACED = "placed"
    STARTING = "starting"
    RUNNING = "running"
    COLLECTING = "collecting"
    """The engine says it is over; its devices are free; its results are being kept."""
    ENDED = "ended"


class AttemptEvent(StrEnum):
    """What moves an attempt."""

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
    """Why we ask an engine to stop an attempt."""

    CANCELLED = "cancelled"
    PREEMPTED = "preempted"
    TIME_LIMIT = "time_limit"
    BALANCE = "balance"
    WITHDRAWN = "withdrawn"
    """Not started in time, or its node went away: planned again elsewhere."""
    RESIZED = "resized"
    """An elastic job goes on with another number of tasks."""


UNBILLED_STOP_REASONS = frozenset({StopReason.PREEMPTED, StopReason.WITHDRAWN})
"""The center stopped it for its own reasons: what it did is not billed. A resized job goes on from what it saved: what it did
until it was asked to stop is billed, what it takes to stop is not."""


@dataclass(frozen=True, slots=True)
class ResourceRequest:
    """What one job asks the planner for; kept small beside the row so that planning never parses specifications."""

    tasks: int
    accelerators: tuple[str, ...]
    count: int
    share_memory_mib: int
    share_compute_bp: int
    cpu_milli: int
    memory_mib: int
    time_limit_s: float
    preemptible: bool
    retries: int
    retry_on: tuple[str, ...] = ("failure", "engine_lost", "preemption")
    grace_s: float = 30.0
    simulate_s: float | None = None
    deadline_us: int | None = None
    min_tasks: int = 0
    """Of an elastic job; 0: it always has `tasks`."""
    max_tasks: int = 0

    @property
    def min_tasks_effective(self) -> int:
        """Tasks it can do with."""
        return self.min_tasks or self.tasks

    @property
    def max_tasks_effective(self) -> int:
        """Tasks it can use."""
        return self.max_tasks or self.tasks

    def request(self) -> Request:
        """The planner's request for one task."""
        share = None
        if self.share_memory_mib or self.share_compute_bp:
            share = ShareRequest(self.share_memory_mib, self.share_compute_bp)
        return Request(self.accelerators, self.count, share, self.cpu_milli, self.memory_mib)

    def to_json(self) -> dict[str, Any]:
        """For the row."""
        return {name: getattr(self, name) for name in self.__slots__}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> ResourceRequest:
        """From the row."""
        return ResourceRequest(
            **{**value, "accelerators": tuple(value["accelerators"]), "retry_on": tuple(value["retry_on"])}
        )


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as doors show it."""

    id: str
    name: str
    org_id: str
    project_id: str
    owner: str
    state: JobState
    reason_code: str | None
    reason: Text | None
    priority: int
    submitted_us: int
    started_us: int | None
    ended_us: int | None
    exit_code: int | None
    attempts: int
    attempt_id: str | None
    array_id: str | None
    array_index: int | None
    array_size: int | None
    counts: Mapping[str, int] | None
    """Elements by state, for an array."""
    hourly_micro: int
    ask: ResourceRequest | None
    spec: Mapping[str, Any] | None = None
    queue: str = "default"
    quote_id: str | None = None
    """The quote that it was accepted from."""
    notices: tuple[Text, ...] = ()
    """What its owner should know; only where one job is asked for."""
