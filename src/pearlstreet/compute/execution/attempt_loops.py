"""Loops between attempts and engines: they start placed attempts, watch live ones and stop those that must end.

Each is level-triggered by the rows of attempts. Engines return Outcomes; after Unknown the attempt stays `starting`, and the
watch loop asks for it by the id that the center gave it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import PearlError, Unavailable
from pearlstreet.base.outcome import Done, Outcome, Refused, Retry, Unknown
from pearlstreet.base.text import Text, text
from pearlstreet.compute.engines.orders import TOO_WEAK
from pearlstreet.compute.engines.protocol import AttemptOrder, AttemptReport, EndReason, TaskState
from pearlstreet.compute.execution import lifecycle
from pearlstreet.compute.execution.lifecycle import find_attempt
from pearlstreet.compute.execution.model import LIVE_ATTEMPT, AttemptState, StopReason
from pearlstreet.compute.execution.owners import Owner, owner_of
from pearlstreet.compute.execution.settings import Execution
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.store.loop import CycleLoop, Loop, RowGuard, RowLoop

STARTERS = 12
"""Number of attempts started at once; each mostly waits for the disk and for its supervisor."""
PROBE_S = 2.0
"""Seconds after which a stop is requested again."""
LIMIT_SLACK_S = 60.0
"""Seconds beyond time limit and grace after which the center stops an attempt that its engine should have ended."""


START_FAILED = "start_failed"
"""Refusal code of an attempt whose order cannot be built."""
ORDER_RETRY_S = 5.0
_Order = AttemptOrder | Callable[[], AttemptOrder] | Refused


@dataclass(frozen=True, slots=True)
class _Start:
    engine: str
    order: _Order


def start_loop(execution: Execution) -> Loop:
    """Return the loop that asks engines to start placed attempts."""
    return RowLoop[Row, _Start, "Outcome[AttemptReport]"](
        name="start_attempts",
        table=attempts,
        conditions=(attempts.c.state == AttemptState.PLACED.value, attempts.c.stop_reason.is_(None)),
        account=attempts.c.org_id,
        load=partial(_load_starts, execution),
        decide=lambda context, now_us: _Start(context["engine"], context["order"]),
        act=partial(_start, execution),
        apply=partial(_apply_start, execution),
        hints=(lifecycle.START,),
        interval_s=2.0,
        workers=STARTERS,
    )


def _load_starts(execution: Execution, tx: Tx, ids: Sequence[str]) -> Mapping[str, Row]:
    rows = tx.rows(sa.select(attempts).where(attempts.c.id.in_(ids)))
    return {
        row["id"]: {**row, "order": _order(tx, execution, row)}
        for row in rows
        if row["engine"] in execution.engines
    }


def _order(tx: Tx, execution: Execution, row: Row) -> _Order:
    """Return the order of an attempt, or Refused if it cannot be built (a secret or file is gone)."""
    try:
        return owner_of(execution.owners, row).order(tx, row)
    except PearlError as error:
        return Refused(START_FAILED, error.message)


def _start(execution: Execution, start: _Start) -> Outcome[AttemptReport]:
    order = start.order
    if callable(order):
        try:
            order = order()
        except Unavailable as error:
            return Retry(ORDER_RETRY_S, error.message)
        except PearlError as error:
            return Refused(START_FAILED, error.message)
    if isinstance(order, Refused):
        return order
    return execution.engines[start.engine].start(order)


def _apply_start(
    execution: Execution,
    tx: Tx,
    row_id: str,
    token: str,
    context: Row,
    start: _Start,
    outcome: Outcome[AttemptReport],
) -> int | None:
    attempt = find_attempt(tx, row_id)
    if attempt is None or attempt["state"] != AttemptState.PLACED.value:
        return None
    owner = owner_of(execution.owners, attempt)
    match outcome:
        case Done(report):
            lifecycle.mark_starting(tx, owner, attempt)
            refreshed = find_attempt(tx, row_id)
            if refreshed is not None:
                apply_report(tx, owner, refreshed, report)
            tx.hint(lifecycle.WATCH)
            return _due_after(tx, row_id)
        case Unknown():
            lifecycle.mark_starting(tx, owner, attempt)
            tx.hint(lifecycle.WATCH)
            return _due_after(tx, row_id)
        case Retry(after_s, _):
            return tx.now_us + int(after_s * US_PER_S)
        case Refused(code, reason) if code == TOO_WEAK:
            # not the job's fault, so it is requeued; the node takes no jobs until its isolation is restored
            lifecycle.request_stop(tx, owner, attempt, StopReason.WITHDRAWN, reason)
            tx.hint(lifecycle.NODES)
            return _due_after(tx, row_id)
        case Refused(code, reason):
            lifecycle.close_attempt(
                tx,
                owner,
                attempt,
                end_reason=EndReason.START_FAILED if code == START_FAILED else None,
                exit_code=None,
                ended_us=tx.now_us,
                message=reason,
                collect=False,
            )
            return None


def _due_after(tx: Tx, attempt_id: str) -> int | None:
    """Return now if the attempt must be stopped or its outputs stored, so that another loop takes it; else None."""
    row = find_attempt(tx, attempt_id)
    waiting = row is not None and (
        row["stop_reason"] is not None or row["state"] == AttemptState.COLLECTING.value
    )
    return tx.now_us if waiting else None


def watch_loop(execution: Execution, engine_name: str) -> Loop:
    """Return the loop that compares an engine's reports on live attempts with their rows."""
    return CycleLoop(
        name=f"watch_{engine_name}",
        cycle=partial(_watch, execution, engine_name, RowGuard(f"watch_{engine_name}")),
        hints=(lifecycle.WATCH,),
        interval_s=execution.settings.watch_interval_s,
        rest=2.0,
    )


def _watch(execution: Execution, engine_name: str, guard: RowGuard, store: Store) -> bool:
    query = sa.select(attempts).where(attempts.c.engine == engine_name, attempts.c.state.in_(LIVE_ATTEMPT))
    rows = store.read(lambda tx: tx.rows(query))
    guard.keep([row["id"] for row in rows])
    looked = [(row["id"], _look(execution, store, row)) for row in rows if not guard.rests(store, row["id"])]
    for row_id, writing in looked:
        guard.run(store, row_id, partial(_written, store, writing))
    return False


Writing = Future[tuple[None, set[str]]]


def _look(execution: Execution, store: Store, row: Row) -> Writing | None:
    """Probe an attempt and submit the resulting write without waiting, so that the writes of a cycle share few commits."""
    try:
        command = _compare(execution, store, row)
        return store.submit(command) if command is not None else None
    except Exception as error:  # noqa: BLE001  reported where the result is read
        failed: Writing = Future()
        failed.set_exception(error)
        return failed


def _written(store: Store, writing: Writing | None) -> None:
    if writing is not None:
        _, topics = writing.result()
        store.hints.fire(topics)


def _compare(execution: Execution, store: Store, row: Row) -> Callable[[Tx], None] | None:
    now_us = store.clock.now_us()
    unsent = row["state"] == AttemptState.PLACED.value and row["stop_reason"] is None
    if unsent and now_us - row["placed_us"] <= execution.settings.start_timeout_s * US_PER_S:
        return None
    engine = execution.engines[row["engine"]]
    outcome = engine.probe(row["id"])
    if unsent and not _has_begun(outcome):
        return partial(_withdraw, execution, row["id"])
    if not isinstance(outcome, Done):
        return None
    if _never_starts(row, outcome.value, now_us, execution):
        return partial(_withdraw, execution, row["id"])
    if not _differs(row, outcome.value, now_us, execution):
        return None
    if outcome.value is None:
        # A request to start it may be on its way. A stopped attempt never starts, so only then may another be planned.
        if not isinstance(engine.stop(row["id"], grace_s=row["grace_s"]), Done):
            return None
        outcome = engine.probe(row["id"])
        if not isinstance(outcome, Done):
            return None
    return partial(_apply_probe, execution, row["id"], outcome.value)


def _has_begun(outcome: Outcome[AttemptReport | None]) -> bool:
    """Return whether an attempt runs although its start was not recorded, because the server died in between."""
    report = outcome.value if isinstance(outcome, Done) else None
    return report is not None and report.state is not TaskState.STARTING


def _withdraw(execution: Execution, attempt_id: str, tx: Tx) -> None:
    attempt = find_attempt(tx, attempt_id)
    if attempt is not None and attempt["state"] in (AttemptState.PLACED.value, AttemptState.STARTING.value):
        why = text("It did not start in time; it is planned again")
        lifecycle.request_stop(tx, owner_of(execution.owners, attempt), attempt, StopReason.WITHDRAWN, why)


def _never_starts(row: Row, report: AttemptReport | None, now_us: int, execution: Execution) -> bool:
    starting = report is not None and report.state is TaskState.STARTING
    late = now_us - row["placed_us"] > execution.settings.starting_max_s * US_PER_S
    return starting and late and row["state"] == AttemptState.STARTING.value and row["stop_reason"] is None


def _differs(row: Row, report: AttemptReport | None, now_us: int, execution: Execution) -> bool:
    if report is None:
        waited_us = now_us - row["placed_us"]
        return row["stop_reason"] is not None or waited_us > execution.settings.start_timeout_s * US_PER_S
    if report.state is TaskState.EXITED:
        return True
    if report.state is TaskState.RUNNING and row["state"] != AttemptState.RUNNING.value:
        return True
    return row["state"] == AttemptState.RUNNING.value and _overdue(row, now_us)


def _overdue(row: Row, now_us: int) -> bool:
    limit_us = int((row["time_limit_s"] + row["grace_s"] + LIMIT_SLACK_S) * US_PER_S)
    return row["stop_reason"] is None and now_us - row["started_us"] > limit_us


def _apply_probe(execution: Execution, attempt_id: str, report: AttemptReport | None, tx: Tx) -> None:
    attempt = find_attempt(tx, attempt_id)
    if attempt is None or attempt["state"] not in LIVE_ATTEMPT:
        return
    owner = owner_of(execution.owners, attempt)
    if report is not None:
        apply_report(
            tx, owner, attempt, report, collect=execution.engines[attempt["engine"]].capabilities().runs_code
        )
        if attempt["state"] == AttemptState.RUNNING.value and _overdue(attempt, tx.now_us):
            reason = text("It ran beyond its time limit")
            lifecycle.request_stop(tx, owner, attempt, StopReason.TIME_LIMIT, reason)
        return
    if attempt["stop_reason"] is None:
        why = text("The engine does not know of it; it is planned again")
    else:
        why = text("It was stopped before it started")
    lifecycle.close_attempt(
        tx, owner, attempt, end_reason=None, exit_code=None, ended_us=tx.now_us, message=why, collect=False
    )


def apply_report(tx: Tx, owner: Owner, attempt: Row, report: AttemptReport, *, collect: bool = True) -> None:
    """Update an attempt's row from its engine's report. A report of an earlier state changes nothing."""
    state = AttemptState(attempt["state"])
    began = state is not AttemptState.RUNNING and report.started_us is not None
    if began and report.state in (TaskState.RUNNING, TaskState.EXITED):
        lifecycle.mark_running(
            tx, owner, attempt, started_us=report.started_us or tx.now_us, wall=report.wall
        )
        attempt = find_attempt(tx, attempt["id"]) or attempt
    elif state is AttemptState.RUNNING and report.started_us is not None:
        lifecycle.correct_start(tx, attempt, started_us=report.started_us)
        attempt = find_attempt(tx, attempt["id"]) or attempt
    if report.state is TaskState.EXITED:
        lifecycle.close_attempt(
            tx,
            owner,
            attempt,
            end_reason=report.end_reason or EndReason.EXITED,
            exit_code=report.exit_code,
            ended_us=report.ended_us or tx.now_us,
            message=_message(attempt, report),
            collect=collect and report.started_us is not None,
            saved_us=report.saved_us,
        )


def _message(attempt: Row, report: AttemptReport) -> Text | None:
    return (
        report.message
        if report.end_reason is not EndReason.STOPPED or attempt["stop_reason"] is None
        else None
    )


@dataclass(frozen=True, slots=True)
class _Stop:
    engine: str
    attempt_id: str
    grace_s: float


def stop_loop(execution: Execution) -> Loop:
    """Return the loop that asks engines to stop attempts that must end; the watch loop observes their end."""
    return RowLoop[Row, _Stop, "Outcome[None]"](
        name="stop_attempts",
        table=attempts,
        conditions=(attempts.c.stop_reason.is_not(None), attempts.c.state.in_(LIVE_ATTEMPT)),
        account=attempts.c.org_id,
        load=_load_stops,
        decide=lambda row, now_us: _Stop(row["engine"], row["id"], row["grace_s"]),
        act=lambda stop: execution.engines[stop.engine].stop(stop.attempt_id, grace_s=stop.grace_s),
        apply=lambda tx, row_id, token, row, stop, outcome: tx.now_us + int(PROBE_S * US_PER_S),
        hints=(lifecycle.STOP,),
        interval_s=2.0,
    )


def _load_stops(tx: Tx, ids: Sequence[str]) -> Mapping[str, Row]:
    return {row["id"]: row for row in tx.rows(sa.select(attempts).where(attempts.c.id.in_(ids)))}
