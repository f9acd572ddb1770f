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
from pearlstreet.base.errors import PearlError
from pearlstreet.base.outcome import Done, Outcome, Refused, Retry, Unknown
from pearlstreet.base.text import Text, text
from pearlstreet.compute.engines.orders import TOO_WEAK
from pearlstreet.compute.engines.protocol import AttemptOrder, AttemptReport, EndReason, TaskState
from pearlstreet.compute.jobs import lifecycle
from pearlstreet.compute.jobs.model import LIVE_ATTEMPT, AttemptState, StopReason
from pearlstreet.compute.jobs.orders import build_order
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.tables import attempts
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.store.loop import CycleLoop, Loop, RowGuard, RowLoop

_BY_ID = sa.select(attempts).where(attempts.c.id == sa.bindparam("attempt"))
STARTERS = 12
"""Number of attempts started at once; each mostly waits for the disk and for its supervisor."""
PROBE_S = 2.0
"""Seconds after which a stop is requested again."""
LIMIT_SLACK_S = 60.0
"""Seconds beyond time limit and grace after which the center stops an attempt that its engine should have ended."""


@dataclass(frozen=True, slots=True)
class _Start:
    engine: str
    order: AttemptOrder | Refused


def start_loop(runtime: Runtime) -> Loop:
    """Return the loop that asks engines to start placed attempts."""
    return RowLoop[Row, _Start, "Outcome[AttemptReport]"](
        name="start_attempts",
        table=attempts,
        conditions=(attempts.c.state == AttemptState.PLACED.value, attempts.c.stop_reason.is_(None)),
        account=attempts.c.org_id,
        load=partial(_load_starts, runtime),
        decide=lambda context, now_us: _Start(context["engine"], context["order"]),
        act=partial(_start, runtime),
        apply=_apply_start,
        hints=(lifecycle.START,),
        interval_s=2.0,
        workers=STARTERS,
    )


def _load_starts(runtime: Runtime, tx: Tx, ids: Sequence[str]) -> Mapping[str, Row]:
    rows = tx.rows(sa.select(attempts).where(attempts.c.id.in_(ids)))
    return {
        row["id"]: {**row, "order": _order(tx, runtime, row)}
        for row in rows
        if row["engine"] in runtime.engines
    }


def _order(tx: Tx, runtime: Runtime, row: Row) -> AttemptOrder | Refused:
    """Return the order of an attempt, or Refused if it cannot be built (a secret or file is gone)."""
    try:
        return build_order(tx, runtime, row)
    except PearlError as error:
        return Refused("start_failed", error.message)


def _start(runtime: Runtime, start: _Start) -> Outcome[AttemptReport]:
    if isinstance(start.order, Refused):
        return start.order
    return runtime.engines[start.engine].start(start.order)


def _apply_start(
    tx: Tx,
    row_id: str,
    token: str,
    context: Row,
    start: _Start,
    outcome: Outcome[AttemptReport],
) -> int | None:
    attempt = _attempt(tx, row_id)
    if attempt is None or attempt["state"] != AttemptState.PLACED.value:
        return None
    match outcome:
        case Done(report):
            lifecycle.mark_starting(tx, attempt)
            refreshed = _attempt(tx, row_id)
            if refreshed is not None:
                apply_report(tx, refreshed, report)
            tx.hint(lifecycle.WATCH)
            return _due_after(tx, row_id)
        case Unknown():
            lifecycle.mark_starting(tx, attempt)
            tx.hint(lifecycle.WATCH)
            return _due_after(tx, row_id)
        case Retry(after_s, _):
            return tx.now_us + int(after_s * US_PER_S)
        case Refused(code, reason) if code == TOO_WEAK:
            # not the job's fault, so it is requeued; the node takes no jobs until its isolation is restored
            lifecycle.request_stop(tx, attempt, StopReason.WITHDRAWN, reason)
            tx.hint(lifecycle.NODES)
            return _due_after(tx, row_id)
        case Refused(code, reason):
            lifecycle.close_attempt(
                tx,
                attempt,
                end_reason=EndReason.START_FAILED if code == "start_failed" else None,
                exit_code=None,
                ended_us=tx.now_us,
                message=reason,
                collect=False,
            )
            return None


def _due_after(tx: Tx, attempt_id: str) -> int | None:
    """Return now if the attempt must be stopped or its outputs stored, so that another loop takes it; else None."""
    row = _attempt(tx, attempt_id)
    waiting = row is not None and (
        row["stop_reason"] is not None or row["state"] == AttemptState.COLLECTING.value
    )
    return tx.now_us if waiting else None


def _attempt(tx: Tx, attempt_id: str) -> Row | None:
    return tx.execute(_BY_ID, {"attempt": attempt_id}).mappings().first()


def watch_loop(runtime: Runtime, engine_name: str) -> Loop:
    """Return the loop that compares an engine's reports on live attempts with their rows."""
    return CycleLoop(
        name=f"watch_{engine_name}",
        cycle=partial(_watch, runtime, engine_name, RowGuard(f"watch_{engine_name}")),
        hints=(lifecycle.WATCH,),
        interval_s=runtime.settings.watch_interval_s,
        rest=2.0,
    )


def _watch(runtime: Runtime, engine_name: str, guard: RowGuard, store: Store) -> bool:
    query = sa.select(attempts).where(attempts.c.engine == engine_name, attempts.c.state.in_(LIVE_ATTEMPT))
    rows = store.read(lambda tx: tx.rows(query))
    guard.keep([row["id"] for row in rows])
    looked = [(row["id"], _look(runtime, store, row)) for row in rows if not guard.rests(store, row["id"])]
    for row_id, writing in looked:
        guard.run(store, row_id, partial(_written, store, writing))
    return False


Writing = Future[tuple[None, set[str]]]


def _look(runtime: Runtime, store: Store, row: Row) -> Writing | None:
    """Probe an attempt and submit the resulting write without waiting, so that the writes of a cycle share few commits."""
    try:
        command = _compare(runtime, store, row)
        return store.submit(command) if command is not None else None
    except Exception as error:  # noqa: BLE001  reported where the result is read
        failed: Writing = Future()
        failed.set_exception(error)
        return failed


def _written(store: Store, writing: Writing | None) -> None:
    if writing is not None:
        _, topics = writing.result()
        store.hints.fire(topics)


def _compare(runtime: Runtime, store: Store, row: Row) -> Callable[[Tx], None] | None:
    now_us = store.clock.now_us()
    unsent = row["state"] == AttemptState.PLACED.value and row["stop_reason"] is None
    if unsent and now_us - row["placed_us"] <= runtime.settings.start_timeout_s * US_PER_S:
        return None
    engine = runtime.engines[row["engine"]]
    outcome = engine.probe(row["id"])
    if unsent and not _has_begun(outcome):
        return partial(_withdraw, row["id"])
    if not isinstance(outcome, Done):
        return None
    if _never_starts(row, outcome.value, now_us, runtime):
        return partial(_withdraw, row["id"])
    if not _differs(row, outcome.value, now_us, runtime):
        return None
    if outcome.value is None:
        # A request to start it may be on its way. A stopped attempt never starts, so only then may another be planned.
        if not isinstance(engine.stop(row["id"], grace_s=row["grace_s"]), Done):
            return None
        outcome = engine.probe(row["id"])
        if not isinstance(outcome, Done):
            return None
    return partial(_apply_probe, runtime, row["id"], outcome.value)


def _has_begun(outcome: Outcome[AttemptReport | None]) -> bool:
    """Return whether an attempt runs although its start was not recorded, because the server died in between."""
    report = outcome.value if isinstance(outcome, Done) else None
    return report is not None and report.state is not TaskState.STARTING


def _withdraw(attempt_id: str, tx: Tx) -> None:
    attempt = _attempt(tx, attempt_id)
    if attempt is not None and attempt["state"] in (AttemptState.PLACED.value, AttemptState.STARTING.value):
        lifecycle.request_stop(
            tx, attempt, StopReason.WITHDRAWN, text("It did not start in time; it is planned again")
        )


def _never_starts(row: Row, report: AttemptReport | None, now_us: int, runtime: Runtime) -> bool:
    starting = report is not None and report.state is TaskState.STARTING
    late = now_us - row["placed_us"] > runtime.settings.starting_max_s * US_PER_S
    return starting and late and row["state"] == AttemptState.STARTING.value and row["stop_reason"] is None


def _differs(row: Row, report: AttemptReport | None, now_us: int, runtime: Runtime) -> bool:
    if report is None:
        waited_us = now_us - row["placed_us"]
        return row["stop_reason"] is not None or waited_us > runtime.settings.start_timeout_s * US_PER_S
    if report.state is TaskState.EXITED:
        return True
    if report.state is TaskState.RUNNING and row["state"] != AttemptState.RUNNING.value:
        return True
    return row["state"] == AttemptState.RUNNING.value and _overdue(row, now_us)


def _overdue(row: Row, now_us: int) -> bool:
    limit_us = int((row["time_limit_s"] + row["grace_s"] + LIMIT_SLACK_S) * US_PER_S)
    return row["stop_reason"] is None and now_us - row["started_us"] > limit_us


def _apply_probe(runtime: Runtime, attempt_id: str, report: AttemptReport | None, tx: Tx) -> None:
    attempt = _attempt(tx, attempt_id)
    if attempt is None or attempt["state"] not in LIVE_ATTEMPT:
        return
    if report is not None:
        apply_report(tx, attempt, report, collect=runtime.engines[attempt["engine"]].capabilities().runs_code)
        if attempt["state"] == AttemptState.RUNNING.value and _overdue(attempt, tx.now_us):
            reason = text("It ran beyond its time limit")
            lifecycle.request_stop(tx, attempt, StopReason.TIME_LIMIT, reason)
        return
    if attempt["stop_reason"] is None:
        why = text("The engine does not know of it; it is planned again")
    else:
        why = text("It was stopped before it started")
    lifecycle.close_attempt(
        tx, attempt, end_reason=None, exit_code=None, ended_us=tx.now_us, message=why, collect=False
    )


def apply_report(tx: Tx, attempt: Row, report: AttemptReport, *, collect: bool = True) -> None:
    """Update an attempt's row from its engine's report. A report of an earlier state changes nothing."""
    state = AttemptState(attempt["state"])
    began = state is not AttemptState.RUNNING and report.started_us is not None
    if began and report.state in (TaskState.RUNNING, TaskState.EXITED):
        lifecycle.mark_running(tx, attempt, started_us=report.started_us or tx.now_us, wall=report.wall)
        attempt = _attempt(tx, attempt["id"]) or attempt
    elif state is AttemptState.RUNNING and report.started_us is not None:
        lifecycle.correct_start(tx, attempt, started_us=report.started_us)
        attempt = _attempt(tx, attempt["id"]) or attempt
    if report.state is TaskState.EXITED:
        lifecycle.close_attempt(
            tx,
            attempt,
            end_reason=report.end_reason or EndReason.EXITED,
            exit_code=report.exit_code,
            ended_us=report.ended_us or tx.now_us,
            message=_message(attempt, report),
            collect=collect and report.started_us is not None,
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


def stop_loop(runtime: Runtime) -> Loop:
    """Return the loop that asks engines to stop attempts that must end; the watch loop observes their end."""
    return RowLoop[Row, _Stop, "Outcome[None]"](
        name="stop_attempts",
        table=attempts,
        conditions=(attempts.c.stop_reason.is_not(None), attempts.c.state.in_(LIVE_ATTEMPT)),
        account=attempts.c.org_id,
        load=_load_stops,
        decide=lambda row, now_us: _Stop(row["engine"], row["id"], row["grace_s"]),
        act=lambda stop: runtime.engines[stop.engine].stop(stop.attempt_id, grace_s=stop.grace_s),
        apply=lambda tx, row_id, token, row, stop, outcome: tx.now_us + int(PROBE_S * US_PER_S),
        hints=(lifecycle.STOP,),
        interval_s=2.0,
    )


def _load_stops(tx: Tx, ids: Sequence[str]) -> Mapping[str, Row]:
    return {row["id"]: row for row in tx.rows(sa.select(attempts).where(attempts.c.id.in_(ids)))}
