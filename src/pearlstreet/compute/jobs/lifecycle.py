"""State changes of jobs, with everything that must happen in the same transaction. No engine is called here.

A job's row holds its state; its live attempt holds the devices, the hold and the meter (package `execution`). The job ends when
the outputs of its attempt are stored (`finish_job`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import takewhile

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S, to_rfc3339
from pearlstreet.base.errors import check
from pearlstreet.base.text import Text, from_json, text
from pearlstreet.compute.engines.protocol import EndReason
from pearlstreet.compute.execution.lifecycle import PLAN
from pearlstreet.compute.execution.model import AttemptState, StopReason
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs.model import ACTIVE, ENDED, JOB_STATES, JobEvent, JobState
from pearlstreet.compute.jobs.requests import queue_again
from pearlstreet.compute.jobs.tables import jobs, waits
from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.compute.queueing.waiting import set_blocked, withdraw_elements, withdraw_request
from pearlstreet.store import outbox
from pearlstreet.store.core import Row, Tx
from pearlstreet.store.tables import state_events
from pearlstreet.store.transitions import record_transition, transition

# Built once, because building a statement costs far more than running it.
_JOB = sa.select(jobs).where(jobs.c.id == sa.bindparam("job"))
_ASK = sa.select(jobs.c.ask).where(jobs.c.id == sa.bindparam("job"))
_SERVED = (
    sa.update(jobs)
    .where(jobs.c.id == sa.bindparam("of_job"))
    .values(served_device_us=jobs.c.served_device_us + sa.bindparam("more"))
)
_WAITS_ON = sa.select(waits).where(waits.c.on_id == sa.bindparam("on"))


@cache
def _count(source: str, target: str) -> sa.Update:
    moved = {source: jobs.c[source] - 1, target: jobs.c[target] + 1}
    return sa.update(jobs).where(jobs.c.id == sa.bindparam("array")).values(moved)


ENGINE_FAILURES_MAX = 5
"""Attempts lost to platform failures after which a job fails instead of being requeued."""

WITHDRAWN_WAIT_S, WITHDRAWN_WAIT_MAX_S = 30.0, 1800.0
"""First and longest pause, in seconds, before a job is planned again whose attempts do not start."""
WITHDRAWALS_MAX = 10
"""Number of its last attempts that are looked at."""

OUTPUTS_REFUSED = "outputs_refused"
"""Reason code of a job whose command succeeded but whose outputs exceed a limit."""

EndedJob = tuple[str, JobState]
"""Id and final state of a job that has just ended."""


def job_row(tx: Tx, job_id: str) -> Row:
    """Return the row of a job that must exist; an element gets the `ask` of its array."""
    row = tx.execute(_JOB, {"job": job_id}).mappings().first()
    check(row is not None, "an attempt's job exists", job=job_id)
    assert row is not None
    if row["array_id"] is None:
        return row
    return {**row, "ask": tx.execute(_ASK, {"job": row["array_id"]}).scalar()}


def move_job(
    tx: Tx,
    row: Row,
    event: JobEvent,
    *,
    code: str | None = None,
    reason: Text | None = None,
    values: Row | None = None,
    ended: list[EndedJob] | None = None,
) -> JobState:
    """Move one job to its next state, update its array's counts, and release the jobs that wait for it if it ends.

    `ended`: list to which the job is added instead; the caller then releases the jobs that wait for it.
    """
    before = JobState(row["state"])
    changes = {"reason_code": code, "reason": reason.to_json() if reason else None, **(values or {})}
    after = JOB_STATES.next_state(before, event)
    if after in ENDED:
        changes |= {"ended_us": tx.now_us, "attempt_id": changes.get("attempt_id", row["attempt_id"])}
    transition(tx, jobs, row["id"], JOB_STATES, before, event, reason=reason, values=changes)
    if after is JobState.QUEUED:
        queue_again(tx, row["id"])
    elif before is JobState.QUEUED and event is not JobEvent.PLACE:
        withdraw_request(tx, row["id"])
    if row["array_id"] is not None:
        _count_element(tx, row["array_id"], before, after, ended)
    if after in ENDED:
        _on_terminal(tx, row, after, ended, reason)
    tx.hint(PLAN)
    return after


def place_job(tx: Tx, job_id: str, attempt_id: str) -> None:
    """Record that the planner placed an attempt of the job, whose request does not wait any more."""
    row = tx.execute(_JOB, {"job": job_id}).mappings().one()
    values = {"attempt_id": attempt_id, "attempts": row["attempts"] + 1}
    move_job(tx, row, JobEvent.PLACE, values=values)


def start_job(tx: Tx, row: Row) -> None:
    """Record that an engine has, or may have, accepted the job's attempt."""
    if JobState(row["state"]) is JobState.PLACED:
        move_job(tx, row, JobEvent.START)


def run_job(tx: Tx, row: Row, started_us: int) -> None:
    """Record that all tasks of the job's attempt run."""
    if JobState(row["state"]) in (JobState.PLACED, JobState.STARTING):
        move_job(tx, row, JobEvent.RUN, values={"started_us": row["started_us"] or started_us})


def stop_job(tx: Tx, row: Row, why: StopReason, reason: Text) -> None:
    """Record that the job's attempt will be stopped."""
    if JobState(row["state"]) in (JobState.PLACED, JobState.STARTING, JobState.RUNNING):
        move_job(tx, row, JobEvent.STOP, code=why.value, reason=reason)


def count_served(tx: Tx, attempt: Row) -> None:
    """Add the device time of an attempt whose work is over to its job, which orders by attained service use for ranking."""
    if attempt["started_us"] is None:
        return
    held_us = max(0, attempt["ended_us"] - attempt["started_us"])
    more = held_us * attempt["usage"]["card_bp"] // FULL_BP
    if more:
        tx.execute(_SERVED, {"of_job": attempt["owner_id"], "more": more})


def collect_job(tx: Tx, row: Row, attempt: Row, message: Text | None) -> None:
    """Record that the job's work is over and its outputs are stored next."""
    reason = message or _stop_message(row, attempt)
    move_job(tx, row, JobEvent.FINISH, code=row["reason_code"], reason=reason)


def _stop_message(row: Row, attempt: Row) -> Text | None:
    """Return the reason for which the attempt was stopped; None if it was not stopped."""
    return from_json(row["reason"]) if attempt["stop_reason"] is not None and row["reason"] else None


def finish_job(
    tx: Tx, row: Row, attempt: Row, message: Text | None, *, outputs_refused: bool = False
) -> None:
    """Move the job of an ended attempt to success, failure, cancelled, or back to the queue."""
    ours = attempt["end_reason"] in (None, EndReason.ENGINE_LOST.value)
    verdict = decide_end(row, attempt, lost=_count_lost(tx, row["id"]) if ours else 0)
    if outputs_refused and verdict.event is JobEvent.SUCCEED:
        verdict = Verdict(JobEvent.FAIL, OUTPUTS_REFUSED)  # jobs that need its outputs must not start
    message = message or _stop_message(row, attempt)
    if verdict.event is JobEvent.REQUEUE:
        message = _with_loss(message, attempt)
        values: dict[str, object] = {"attempt_id": None}
        if verdict.counts:
            values["failures"] = row["failures"] + 1
        withdrawn = verdict.code == StopReason.WITHDRAWN.value
        wait_s = withdrawal_wait_s(_count_unstarted(tx, row["id"])) if withdrawn else 0.0
        if wait_s:
            values["not_before_us"] = tx.now_us + int(wait_s * US_PER_S)
        move_job(tx, row, verdict.event, code=verdict.code, reason=message, values=values)
        return
    move_job(
        tx,
        row,
        verdict.event,
        code=verdict.code,
        reason=message or verdict.reason,
        values={"exit_code": attempt["exit_code"], "attempt_id": attempt["id"]},
    )


def _with_loss(message: Text | None, attempt: Row) -> Text | None:
    """Return the message of an ended attempt with what its end cost; unchanged if it had saved nothing."""
    if message is None or attempt["saved_us"] is None or attempt["lost_us"] is None:
        return message
    return text(
        "{reason}; it goes on from its checkpoint of {time}, and {lost} s of work were lost",
        reason=message,
        time=to_rfc3339(attempt["saved_us"])[:19] + "Z",
        lost=round(attempt["lost_us"] / US_PER_S),
    )


def _count_lost(tx: Tx, job_id: str) -> int:
    """Return the number of a job's attempts that were lost to platform failures."""
    by_us = sa.or_(attempts.c.end_reason.is_(None), attempts.c.end_reason == EndReason.ENGINE_LOST.value)
    over = (attempts.c.state == AttemptState.ENDED.value) & attempts.c.stop_reason.is_(None)
    query = sa.select(sa.func.count()).where(attempts.c.owner_id == job_id, over, by_us)
    return int(tx.scalar(query) or 0)


def _count_unstarted(tx: Tx, job_id: str) -> int:
    """Return how many of a job's attempts in a row, up to the newest, were withdrawn before they started."""
    newest = sa.select(attempts.c.stop_reason, attempts.c.started_us).where(attempts.c.owner_id == job_id)
    rows = tx.rows(newest.order_by(attempts.c.number.desc()).limit(WITHDRAWALS_MAX))
    unstarted = (
        row["stop_reason"] == StopReason.WITHDRAWN.value and row["started_us"] is None for row in rows
    )
    return sum(1 for _ in takewhile(bool, unstarted))


def withdrawal_wait_s(count: int) -> float:
    """Return the pause before a job is planned again whose last `count` attempts were withdrawn unstarted.

    The first is planned again at once, since other machines may take it; then the pause doubles from 30 s to 30 min. Without it a
    job was submitted to Slurm every minute while direct users held its machines.
    """
    return 0.0 if count < 2 else min(WITHDRAWN_WAIT_S * 2.0 ** (count - 2), WITHDRAWN_WAIT_MAX_S)


class Verdict:
    """Outcome of an ended attempt for its job: event, reason code, reason, and whether it counts as a failure."""

    __slots__ = ("code", "counts", "event", "reason")

    def __init__(
        self, event: JobEvent, code: str | None, *, counts: bool = False, reason: Text | None = None
    ) -> None:
        self.event = event
        self.code = code
        self.counts = counts
        self.reason = reason


def decide_end(row: Row, attempt: Row, *, lost: int = 0) -> Verdict:
    """PURE: return what happens to a job after its attempt ended. `lost`: its attempts lost to platform failures."""
    reason, stop = attempt["end_reason"], attempt["stop_reason"]
    if row["cancel_requested"] or stop == StopReason.CANCELLED.value:
        return Verdict(
            JobEvent.CANCEL if row["state"] in ("stopping", "finishing") else JobEvent.FAIL, "cancelled"
        )
    if reason == EndReason.EXITED.value and attempt["exit_code"] == 0:
        return Verdict(JobEvent.SUCCEED, None)
    if stop in (StopReason.WITHDRAWN.value, StopReason.RESIZED.value):
        return Verdict(JobEvent.REQUEUE, stop)
    if stop == StopReason.PREEMPTED.value:
        return Verdict(JobEvent.REQUEUE if "preemption" in retry_on(row) else JobEvent.FAIL, stop)
    if stop in (StopReason.BALANCE.value, StopReason.TIME_LIMIT.value, StopReason.IDLE.value):
        return Verdict(JobEvent.FAIL, stop)
    if reason in (EndReason.ENGINE_LOST.value, None):
        if lost < ENGINE_FAILURES_MAX and "engine_lost" in retry_on(row):
            return Verdict(JobEvent.REQUEUE, "engine_lost")
        return Verdict(JobEvent.FAIL, "engine_lost")
    again = "failure" in retry_on(row) and row["failures"] < retries_of(row)
    if reason == EndReason.EXITED.value and again:
        return Verdict(JobEvent.REQUEUE, "retry", counts=True)
    code = attempt["exit_code"]
    if code is None:
        return Verdict(JobEvent.FAIL, reason, reason=text("The command was ended: {reason}", reason=reason))
    return Verdict(JobEvent.FAIL, reason, reason=text("The command ended with exit code {code}", code=code))


def retries_of(row: Row) -> int:
    """Return how often a failed command of a job is retried."""
    return int((row["ask"] or {}).get("retries", 0))


def retry_on(row: Row) -> Sequence[str]:
    """Return the kinds of end (`failure`, `engine_lost`, `preemption`) after which a job is requeued."""
    return tuple((row["ask"] or {}).get("retry_on", ("failure", "engine_lost", "preemption")))


def release_waiting(tx: Tx, ended_id: str, state: JobState) -> None:
    """Release the jobs that waited for an ended job; those that needed its success fail, and in turn the jobs behind them."""
    ended: list[EndedJob] = [(ended_id, state)]
    while ended:  # no recursion, because a chain of jobs may be thousands long
        on_id, how = ended.pop()
        satisfied = {"ended", "succeeded"} if how is JobState.SUCCEEDED else {"ended"}
        _release(tx, on_id, satisfied, None, ended)


def release_prepared(tx: Tx, preparation_id: str, *, ready: bool, reason: Text | None = None) -> None:
    """Release the jobs that waited for a preparation, or fail them with its reason."""
    ended: list[EndedJob] = []
    _release(tx, preparation_id, {"ready"} if ready else set(), reason, ended)
    for job_id, state in ended:
        release_waiting(tx, job_id, state)


def _release(tx: Tx, on_id: str, satisfied: set[str], reason: Text | None, ended: list[EndedJob]) -> None:
    for wait in tx.execute(_WAITS_ON, {"on": on_id}).mappings().all():
        tx.execute(sa.delete(waits).where(waits.c.job_id == wait["job_id"], waits.c.on_id == on_id))
        family = (jobs.c.id == wait["job_id"]) | (jobs.c.array_id == wait["job_id"])
        if wait["condition"] in satisfied:
            tx.execute(sa.update(jobs).where(family).values(blocked=jobs.c.blocked - 1))
            if not tx.scalar(sa.select(jobs.c.blocked).where(jobs.c.id == wait["job_id"])):
                set_blocked(tx, wait["job_id"], blocked=False)
            continue
        code = "dependency_failed" if wait["condition"] != "ready" else "preparation_failed"
        why = reason or text("Job {job}, which this one needed, did not succeed", job=on_id)
        _fail_job_or_array(tx, wait["job_id"], code, why, ended)
    tx.hint(PLAN)


def _fail_job_or_array(tx: Tx, job_id: str, code: str, reason: Text, ended: list[EndedJob]) -> None:
    """Fail a queued job, or all queued elements of an array."""
    row = job_row(tx, job_id)
    if row["array_size"] is not None:
        _end_queued(tx, job_id, JobEvent.FAIL, code, reason, ended)
    elif row["state"] == JobState.QUEUED.value:
        move_job(tx, row, JobEvent.FAIL, code=code, reason=reason, ended=ended)


def cancel_queued_elements(tx: Tx, array_id: str, reason: Text) -> None:
    """Cancel every queued element of an array."""
    ended: list[EndedJob] = []
    _end_queued(tx, array_id, JobEvent.CANCEL, "cancelled", reason, ended)
    for job_id, state in ended:
        release_waiting(tx, job_id, state)


def _end_queued(
    tx: Tx, array_id: str, event: JobEvent, code: str, reason: Text, ended: list[EndedJob]
) -> None:
    """End all queued elements of an array with a few statements; 10,000 single updates would block the store."""
    after = JOB_STATES.next_state(JobState.QUEUED, event)
    mine = (jobs.c.array_id == array_id) & (jobs.c.state == JobState.QUEUED.value)
    ids = sa.select(jobs.c.id).where(mine)
    waiting = tx.rows(sa.select(waits.c.on_id).where(waits.c.on_id.in_(ids)).distinct())
    columns = ["entity_id", "from_state", "to_state", "event", "reason", "at_us"]
    told = sa.literal(reason.to_json(), sa.JSON)
    states = (sa.literal(JobState.QUEUED.value), sa.literal(after.value), sa.literal(event.value))
    tx.execute(
        sa.insert(state_events).from_select(
            columns, sa.select(jobs.c.id, *states, told, sa.literal(tx.now_us, sa.BigInteger)).where(mine)
        )
    )
    values: dict[str, object] = {"state": after.value, "reason_code": code, "reason": reason.to_json()}
    if event is JobEvent.CANCEL:
        values["cancel_requested"] = True
    count = tx.execute(sa.update(jobs).where(mine).values(**values, ended_us=tx.now_us)).rowcount
    withdraw_elements(tx, array_id)
    ended += [(wait["on_id"], after) for wait in waiting]
    if count:
        target = _COUNTER[after]
        counts = {"n_queued": jobs.c.n_queued - count, target: jobs.c[target] + count}
        tx.execute(sa.update(jobs).where(jobs.c.id == array_id).values(counts))
        _settle_array(tx, array_id, ended)
    tx.hint(PLAN)


_COUNTER = {
    JobState.QUEUED: "n_queued",
    JobState.SUCCEEDED: "n_succeeded",
    JobState.FAILED: "n_failed",
    JobState.CANCELLED: "n_cancelled",
    **dict.fromkeys(ACTIVE, "n_active"),
}


def _count_element(
    tx: Tx, array_id: str, before: JobState, after: JobState, ended: list[EndedJob] | None
) -> None:
    source, target = _COUNTER[before], _COUNTER[after]
    if source != target:
        tx.execute(_count(source, target), {"array": array_id})
        _settle_array(tx, array_id, ended)


def _settle_array(tx: Tx, array_id: str, ended: list[EndedJob] | None = None) -> None:
    """Update an array's state from its elements: running with the first active one, ended with the last."""
    row = job_row(tx, array_id)
    state = JobState(row["state"])
    if row["n_queued"] + row["n_active"] == 0:
        if row["n_failed"]:
            after = JobState.FAILED
        else:
            after = JobState.CANCELLED if row["n_cancelled"] else JobState.SUCCEEDED
    else:
        after = JobState.RUNNING if row["n_active"] or row["started_us"] else JobState.QUEUED
    if after is state:
        return
    values: dict[str, object] = {"state": after.value}
    if after is JobState.RUNNING and row["started_us"] is None:
        values["started_us"] = tx.now_us
    reason = _failed_elements(tx, row) if after is JobState.FAILED else None
    if after in ENDED:
        values["ended_us"] = tx.now_us
    if reason is not None:
        values["reason"] = reason.to_json()
    tx.execute(sa.update(jobs).where(jobs.c.id == array_id).values(**values))
    record_transition(tx, array_id, state.value, after.value, "elements", reason)
    if after in ENDED:
        withdraw_request(tx, array_id)
        _on_terminal(tx, row, after, ended, reason)


def _failed_elements(tx: Tx, row: Row) -> Text | None:
    """Return the sentence with the number of failed elements of an array, and the first of them with its reason."""
    failed = (jobs.c.array_id == row["id"]) & (jobs.c.state == JobState.FAILED.value)
    columns = (jobs.c.id, jobs.c.name, jobs.c.reason)
    first = tx.first(sa.select(*columns).where(failed).order_by(jobs.c.array_index).limit(1))
    if first is None:
        return None
    said: dict[str, object] = {
        "failed": row["n_failed"],
        "size": row["array_size"],
        "name": first["name"],
        "job": first["id"],
    }
    if not first["reason"]:
        return text("Failed elements: {failed} of {size}; the first is {name} ({job})", **said)
    return text(
        "Failed elements: {failed} of {size}; the first is {name} ({job}): {reason}",
        **said,
        reason=from_json(first["reason"]),
    )


def _on_terminal(
    tx: Tx, row: Row, state: JobState, ended: list[EndedJob] | None, reason: Text | None = None
) -> None:
    """Emit the end of a job or array, and release the jobs that wait for it unless the caller does (`ended`)."""
    if ended is not None:
        ended.append((row["id"], state))
    else:
        release_waiting(tx, row["id"], state)
    told = {"job": row["id"], "state": state.value, "name": row["name"], "user": row["owner"].split(" ")[0]}
    told |= {"array": row["array_id"], "reason": reason.to_json() if reason is not None else None}
    outbox.emit(tx, "job.ended", told, org_id=row["org_id"])
