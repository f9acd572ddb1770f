"""States, events and transitions of jobs, and the values that describe a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pearlstreet.base.text import Text
from pearlstreet.compute.queueing.model import ResourceRequest
from pearlstreet.hub.uses import JobRevision
from pearlstreet.store.transitions import StateTable

JOB = "job"
"""Kind of a job as an owner of attempts."""


class JobState(StrEnum):
    """State of a job, or of one element of an array."""

    QUEUED = "queued"
    PLACED = "placed"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    FINISHING = "finishing"
    """The work has ended; outputs are being stored."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobEvent(StrEnum):
    """Event that changes the state of a job."""

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


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as interfaces show it."""

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
    spec: Mapping[str, object] | None = None
    queue: str = "default"
    engine: str | None = None
    """Engine of the newest attempt; None before the first, and right after the submit."""
    quote_id: str | None = None
    """Quote from which the job was accepted; None: it was submitted directly."""
    notices: tuple[Text, ...] = ()
    """Notices for the owner; filled only when a single job is read."""
    withheld: Text | None = None
    """Reason why its results are withheld; filled only when a single job is read."""
    revisions: tuple[JobRevision, ...] = ()
    """Revisions of the hub that it reads and makes; filled only when a single job is read."""
