"""Reports jobs that will probably miss their deadline and jobs that have missed it, once each, in timeline and events."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import sqlalchemy as sa

from pearlstreet.base.clock import to_rfc3339
from pearlstreet.base.text import Text, text
from pearlstreet.compute.jobs.model import ENDED, JobState
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.store import outbox
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.store.loop import CycleLoop, Loop, RowGuard
from pearlstreet.store.tables import state_events
from pearlstreet.store.transitions import record_transition

LOOP = "deadlines"
AT_RISK, MISSED = "deadline_at_risk", "deadline_missed"
_DEADLINE = sa.cast(jobs.c.ask["deadline_us"].as_string(), sa.BigInteger)
_OPEN = sa.select(jobs.c.id, jobs.c.state, _DEADLINE.label("deadline_us")).where(
    jobs.c.state.in_([state.value for state in JobState if state not in ENDED]),
    jobs.c.array_id.is_(None),
    _DEADLINE.is_not(None),
)


def deadline_loop(runtime: Runtime) -> Loop:
    """Return the loop that watches the deadlines of jobs that have not ended."""
    return CycleLoop(name=LOOP, cycle=DeadlineWatch(runtime).look, interval_s=15.0)


def time_of_day(deadline_us: int) -> str:
    """Return a deadline as text in UTC, to the second."""
    return to_rfc3339(deadline_us)[:19] + "Z"


def likely_start_us(runtime: Runtime, job_id: str) -> int | None:
    """Return when the planner expects a waiting job to start (µs since 1970); None if it cannot tell."""
    wait = runtime.planner_status.wait_of(job_id)
    return wait.reason.start.likely_us if wait is not None and wait.reason.start is not None else None


def is_at_risk(runtime: Runtime, row: Row, deadline_us: int) -> bool:
    """Return whether a queued job is expected to start only after its deadline."""
    start_us = likely_start_us(runtime, row["id"])
    return row["state"] == JobState.QUEUED.value and start_us is not None and start_us >= deadline_us


@dataclass(slots=True)
class DeadlineWatch:
    """Finds deadlines at risk or missed and reports them.

    The jobs' timelines record which were reported; `told` only saves looking that up in every cycle.
    """

    runtime: Runtime
    guard: RowGuard = field(default_factory=lambda: RowGuard(LOOP))
    told: set[tuple[str, str]] = field(default_factory=set)

    def look(self, store: Store) -> bool:
        """Check the deadlines of all jobs that have not ended."""
        found = store.read(lambda tx: tx.rows(_OPEN))
        now_us = store.clock.now_us()
        due = {(row["id"], MISSED): row for row in found if row["deadline_us"] <= now_us}
        due |= {
            (row["id"], AT_RISK): row
            for row in found
            if row["deadline_us"] > now_us and is_at_risk(self.runtime, row, row["deadline_us"])
        }
        self.told = {item for item in self.told if item in due}
        self.guard.keep([row["id"] for row in found])
        for job_id, event in due.keys() - self.told:
            tell = partial(_tell, job_id, event, due[job_id, event]["deadline_us"])
            self.guard.run(store, job_id, partial(store.write, tell))
            if not self.guard.rests(store, job_id):
                self.told.add((job_id, event))
        return False


def _tell(job_id: str, event: str, deadline_us: int, tx: Tx) -> None:
    row = tx.first(sa.select(jobs).where(jobs.c.id == job_id))
    if row is None or JobState(row["state"]) in ENDED or is_noted(tx, job_id, event):
        return
    record_transition(tx, job_id, row["state"], row["state"], event, words(event, deadline_us))
    payload = {"job": job_id, "name": row["name"], "user": row["owner"].split(" ")[0]}
    outbox.emit(
        tx,
        f"job.{event}",
        payload | {"deadline": time_of_day(deadline_us), "array": None},
        org_id=row["org_id"],
    )


def is_noted(tx: Tx, job_id: str, event: str) -> bool:
    """Return whether the timeline of a job contains an event."""
    query = sa.select(state_events.c.seq).where(
        state_events.c.entity_id == job_id, state_events.c.event == event
    )
    return tx.scalar(query.limit(1)) is not None


def words(event: str, deadline_us: int) -> Text:
    """Return the sentence for a deadline at risk or missed."""
    deadline = time_of_day(deadline_us)
    if event == MISSED:
        return text("It was not over by its deadline, {deadline}", deadline=deadline)
    return text("It is not expected to start before its deadline, {deadline}", deadline=deadline)
