"""State changes of attempts, with everything that must happen in the same transaction. No engine is called here.

A live attempt holds devices, a hold on the balance and the meter. When its work ends, its devices are freed and its last usage
span is written at once (`close_attempt`); its owner is told in the same transaction.
"""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.base.text import Text, from_json
from pearlstreet.compute.engines.protocol import AttemptReport, EndReason
from pearlstreet.compute.execution.metering import meter, settle_attempt
from pearlstreet.compute.execution.model import (
    ATTEMPT_STATES,
    INTERRUPTING_STOP_REASONS,
    LIVE_ATTEMPT,
    AttemptEvent,
    AttemptState,
    StopReason,
)
from pearlstreet.compute.execution.new_attempt import NewAttempt
from pearlstreet.compute.execution.owners import Owner
from pearlstreet.compute.execution.placement import actual_placement
from pearlstreet.compute.execution.stored_checkpoints import note_ended
from pearlstreet.compute.execution.tables import allocations, attempts
from pearlstreet.store.core import Row, Tx
from pearlstreet.store.transitions import record_transition, transition

PLAN = "plan"
"""Hint topic: something changed that the planner should consider."""
START = "start"
STOP = "stop"
WATCH = "watch"
COLLECT = "collect"
NODES = "nodes"
"""Hint topic: an engine lost work, so its nodes are checked before more work is sent to them."""

# Built once, because building a statement costs far more than running it.
_INSERT_ATTEMPT = sa.insert(attempts)
_INSERT_ALLOCATION = sa.insert(allocations)
_FREE = sa.delete(allocations).where(allocations.c.attempt_id == sa.bindparam("attempt"))
_BY_ID = sa.select(attempts).where(attempts.c.id == sa.bindparam("attempt"))


def find_attempt(tx: Tx, attempt_id: str) -> Row | None:
    """Return the row of an attempt; None if there is none."""
    return tx.execute(_BY_ID, {"attempt": attempt_id}).mappings().first()


def place_attempt(tx: Tx, placed: NewAttempt) -> None:
    """Write an attempt and its allocations. The caller has checked that its placement fits, and moves the owner on."""
    attempt: Row = placed.row(tx.now_us)
    tx.execute(_INSERT_ATTEMPT, attempt)
    record_transition(tx, attempt["id"], None, AttemptState.PLACED.value, "place")
    grants = [
        grant for task in attempt["placement"]["tasks"] for grant in _allocation_rows(attempt["id"], task)
    ]
    if grants:
        tx.execute(_INSERT_ALLOCATION, grants)
    tx.hint(START)


def record_placement(tx: Tx, attempt: Row, report: AttemptReport) -> None:
    """Record the nodes and devices that the engine chose for an attempt, if they are not the planned ones.

    Another attempt may be planned there until its own place is known, so `whole` stays empty: the engine keeps devices apart.
    """
    placement = actual_placement(attempt["placement"], report)
    if placement is None:
        return
    tx.execute(_FREE, {"attempt": attempt["id"]})
    grants = [
        {**grant, "whole": None}
        for task in placement["tasks"]
        for grant in _allocation_rows(attempt["id"], task)
    ]
    if grants:
        tx.execute(_INSERT_ALLOCATION, grants)
    tx.execute(sa.update(attempts).where(attempts.c.id == attempt["id"]).values(placement=placement))
    tx.hint(PLAN)


def _allocation_rows(attempt_id: str, task: Row) -> list[dict[str, object]]:
    return [
        {
            "attempt_id": attempt_id,
            "rank": task["rank"],
            "node": task["node"],
            "device": grant["index"],
            "memory_share": grant["memory_mib"],
            "compute_share": grant["compute_bp"],
            "whole": f"{task['node']}/{grant['index']}" if grant["whole"] else None,
        }
        for grant in task["devices"]
    ]


def mark_starting(tx: Tx, owner: Owner, attempt: Row) -> None:
    """Record that the engine has, or may have, accepted an attempt."""
    transition(tx, attempts, attempt["id"], ATTEMPT_STATES, AttemptState.PLACED, AttemptEvent.START)
    owner.on_starting(tx, attempt)


def mark_running(tx: Tx, owner: Owner, attempt: Row, *, started_us: int, wall: str) -> None:
    """Record that all tasks of an attempt run; metering starts."""
    began_us = max(attempt["placed_us"], min(started_us, tx.now_us))
    transition(
        tx,
        attempts,
        attempt["id"],
        ATTEMPT_STATES,
        AttemptState(attempt["state"]),
        AttemptEvent.RUN,
        values={"started_us": began_us, "metered_until_us": began_us, "wall": wall[:80]},
    )
    owner.on_running(tx, attempt, began_us)


def correct_start(tx: Tx, attempt: Row, *, started_us: int) -> None:
    """Move the start of a running attempt to a later one that its engine reports, unless some of its time is metered already.

    An engine that lost the attempt may begin it anew from an order that arrives late; the time between is not billed.
    """
    began_us = min(started_us, tx.now_us)
    if attempt["span_sequence"] == 0 and attempt["started_us"] < began_us:
        values = {"started_us": began_us, "metered_until_us": began_us}
        tx.execute(sa.update(attempts).where(attempts.c.id == attempt["id"]).values(**values))


def request_stop(tx: Tx, owner: Owner, attempt: Row, why: StopReason, reason: Text) -> None:
    """Request that the stop loop end an attempt; a later request does not replace the first reason."""
    if note_stop(tx, attempt, why):
        owner.on_stopping(tx, attempt, why, reason)


def note_stop(tx: Tx, attempt: Row, why: StopReason) -> bool:
    """Note that an attempt must be stopped, and return whether that is new; its owner is not told."""
    if attempt["stop_reason"] is not None or attempt["state"] not in LIVE_ATTEMPT:
        return False
    tx.execute(
        sa.update(attempts)
        .where(attempts.c.id == attempt["id"])
        .values(stop_reason=why.value, stop_asked_us=tx.now_us, due_us=tx.now_us)
    )
    tx.hint(STOP)
    return True


def close_attempt(
    tx: Tx,
    owner: Owner,
    attempt: Row,
    *,
    end_reason: EndReason | None,
    exit_code: int | None,
    ended_us: int,
    message: Text | None,
    collect: bool,
    saved_us: int | None = None,
) -> None:
    """Close an attempt whose work has ended: write its last span, settle its hold and free its devices.

    `collect`: its outputs are stored next, before it ends. `saved_us`: time of its last checkpoint.
    """
    # Metered time was observed running, so an engine whose clock lags cannot move the end before it.
    ran_until_us = attempt["metered_until_us"] or attempt["started_us"] or 0
    stopped_at_us = min(max(ended_us, ran_until_us), max(tx.now_us, ran_until_us))
    lost_from_us = lost_since(attempt, end_reason, exit_code, saved_us)
    meter(tx, attempt, stopped_at_us, unbilled=owner.why_unbilled(attempt), lost_from_us=lost_from_us)
    settle_attempt(tx, attempt, lost_from_us)
    tx.execute(_FREE, {"attempt": attempt["id"]})
    end = {
        "saved_us": saved_us,
        "lost_us": max(stopped_at_us - lost_from_us, 0) if lost_from_us is not None else None,
        "ended_us": stopped_at_us,
        "end_reason": end_reason.value if end_reason else None,
        "exit_code": exit_code,
    }
    transition(
        tx,
        attempts,
        attempt["id"],
        ATTEMPT_STATES,
        AttemptState(attempt["state"]),
        AttemptEvent.COLLECT if collect else AttemptEvent.END,
        reason=message,
        values={
            **end,
            "message": message.to_json() if message else None,
            "due_us": tx.now_us if collect else None,
        },
    )
    if end_reason is EndReason.ENGINE_LOST:
        tx.hint(NODES)
    note_ended(tx, attempt, goes_on=lost_from_us is not None and saved_us is not None)
    ended = {**attempt, **end}
    owner.on_freed(tx, ended)
    if collect:
        owner.on_collecting(tx, ended, message)
        tx.hint(COLLECT)
    else:
        owner.on_ended(tx, ended, message, outputs_refused=False)
    tx.hint(PLAN)


def lost_since(
    attempt: Row, end_reason: EndReason | None, exit_code: int | None, saved_us: int | None
) -> int | None:
    """PURE: return since when an attempt's work is lost to the platform and not billed (µs since 1970); None if none is.

    Work is lost from the last checkpoint on, or from the start without one, if the center or a failure of the platform ended it.
    """
    if end_reason is EndReason.EXITED and exit_code == 0:
        return None
    is_unknown = end_reason is None and attempt["stop_reason"] is None  # its engine no longer knows it
    is_ours = end_reason in (EndReason.ENGINE_LOST, EndReason.START_FAILED)
    if not (is_unknown or is_ours or attempt["stop_reason"] in INTERRUPTING_STOP_REASONS):
        return None
    began_us: int = attempt["started_us"] or 0
    return began_us if saved_us is None else max(saved_us, began_us)


def end_collected(tx: Tx, owner: Owner, attempt: Row, *, outputs_refused: bool = False) -> None:
    """End an attempt whose outputs are stored, and move its owner on.

    `outputs_refused`: a limit prevented some outputs from being stored.
    """
    transition(tx, attempts, attempt["id"], ATTEMPT_STATES, AttemptState.COLLECTING, AttemptEvent.END)
    tx.execute(sa.update(attempts).where(attempts.c.id == attempt["id"]).values(due_us=None))
    message = from_json(attempt["message"]) if attempt["message"] else None
    owner.on_ended(tx, attempt, message, outputs_refused=outputs_refused)
