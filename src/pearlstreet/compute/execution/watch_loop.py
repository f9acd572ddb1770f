"""The loop that compares what an engine tells of its attempts with their rows.

One observation a cycle tells what changed; only the rows of those attempts are read, and of those whose time is up.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from functools import partial

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.outcome import Done, Outcome
from pearlstreet.base.text import text
from pearlstreet.compute.engines.protocol import AttemptReport, TaskState
from pearlstreet.compute.execution import lifecycle
from pearlstreet.compute.execution.engine_view import EngineView
from pearlstreet.compute.execution.lifecycle import find_attempt
from pearlstreet.compute.execution.model import LIVE_ATTEMPT, AttemptState, StopReason
from pearlstreet.compute.execution.owners import owner_of
from pearlstreet.compute.execution.placement import actual_placement
from pearlstreet.compute.execution.reporting import apply_report
from pearlstreet.compute.execution.service_reports import has_service_changed
from pearlstreet.compute.execution.settings import Execution
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.store.loop import CycleLoop, Loop, RowGuard

LIMIT_SLACK_S = 60.0
"""Seconds beyond time limit and grace after which the center stops an attempt that its engine should have ended."""
DUE_EVERY_S = 0.5
"""Seconds between two searches for attempts whose time is up, whatever their engine tells."""
BATCH = 500
"""Number of rows read at once."""

_UNSTARTED = attempts.c.state.in_((AttemptState.PLACED.value, AttemptState.STARTING.value))
_LIMIT_US = (attempts.c.time_limit_s + attempts.c.grace_s + LIMIT_SLACK_S) * US_PER_S
_DUE = sa.select(attempts.c.id).where(
    attempts.c.engine == sa.bindparam("engine"),
    attempts.c.state.in_(LIVE_ATTEMPT),
    attempts.c.stop_reason.is_not(None)
    | (_UNSTARTED & (attempts.c.placed_us < sa.bindparam("late_us")))
    | (
        (attempts.c.state == AttemptState.RUNNING.value)
        & (attempts.c.started_us < sa.bindparam("now_us") - _LIMIT_US)
    ),
)
"""Attempts of an engine whose start is late, whose time limit has passed or that are being stopped; made once, read twice a second."""


def watch_loop(execution: Execution, view: EngineView) -> Loop:
    """Return the loop that brings the rows of an engine's attempts up to date."""
    name = f"watch_{view.engine.name}"
    return CycleLoop(
        name=name,
        cycle=_Watch(execution, view, RowGuard(name)).cycle,
        hints=(lifecycle.WATCH,),
        interval_s=execution.settings.watch_interval_s,
        rest=2.0,
    )


Writing = Future[tuple[None, set[str]]]


class _Watch:
    """Compares the view of one engine with the rows of its attempts."""

    def __init__(self, execution: Execution, view: EngineView, guard: RowGuard) -> None:
        self._execution, self._view, self._guard = execution, view, guard
        self._completed_us = 0
        self._due_us = 0

    def cycle(self, store: Store) -> bool:
        """Observe once and write what changed."""
        view, now_us = self._view, store.clock.now_us()
        if view.refresh(store.clock) is None:
            return False
        wanted = dict(view.pending())
        if view.completed_us != self._completed_us:
            self._completed_us = view.completed_us
            view.expect(store.read(self._live_ids))
            wanted = dict(view.pending())
        if not 0 <= now_us - self._due_us < DUE_EVERY_S * US_PER_S:
            self._due_us = now_us
            due = store.read(partial(self._due_ids, now_us))
            wanted |= {attempt_id: view.report(attempt_id) for attempt_id in due}
        self._guard.keep(wanted)
        rows = list(self._rows(store, wanted))
        view.drop(wanted.keys() - {row["id"] for row in rows})
        looked = [
            (row["id"], self._look(store, row, wanted[row["id"]]))
            for row in rows
            if not self._guard.rests(store, row["id"])
        ]
        for row_id, writing in looked:
            self._guard.run(store, row_id, partial(_written, store, writing))
        return False

    def _live_ids(self, tx: Tx) -> Collection[str]:
        query = sa.select(attempts.c.id).where(
            attempts.c.engine == self._view.engine.name, attempts.c.state.in_(LIVE_ATTEMPT)
        )
        return [row["id"] for row in tx.rows(query)]

    def _due_ids(self, now_us: int, tx: Tx) -> Collection[str]:
        """Return the attempts whose start is late, whose time limit has passed or that are being stopped."""
        settings = self._execution.settings
        late_us = now_us - int(min(settings.start_timeout_s, settings.starting_max_s) * US_PER_S)
        values = {"engine": self._view.engine.name, "late_us": late_us, "now_us": now_us}
        return [row["id"] for row in tx.execute(_DUE, values).mappings()]

    def _rows(self, store: Store, ids: Collection[str]) -> Iterator[Row]:
        """Return the rows of those attempts that are live."""
        listed = sorted(ids)
        for start in range(0, len(listed), BATCH):
            some = attempts.c.id.in_(listed[start : start + BATCH])
            query = sa.select(attempts).where(some, attempts.c.state.in_(LIVE_ATTEMPT))
            yield from store.read(partial(Tx.rows, statement=query))

    def _look(self, store: Store, row: Row, report: AttemptReport | None) -> Writing | None:
        """Submit what a report changes without waiting, so that the writes of a cycle share few commits."""
        try:
            command = self._compare(store, row, report)
            return store.submit(command) if command is not None else None
        except Exception as error:  # noqa: BLE001  reported where the result is read
            failed: Writing = Future()
            failed.set_exception(error)
            return failed

    def _compare(self, store: Store, row: Row, report: AttemptReport | None) -> Callable[[Tx], None] | None:
        execution, now_us = self._execution, store.clock.now_us()
        unsent = row["state"] == AttemptState.PLACED.value and row["stop_reason"] is None
        if unsent and now_us - row["placed_us"] <= execution.settings.start_timeout_s * US_PER_S:
            return None
        if unsent and not _has_begun(report):
            return partial(_withdraw, execution, row["id"])
        if _never_starts(row, report, now_us, execution):
            return partial(_withdraw, execution, row["id"])
        if not _differs(row, report, now_us, execution):
            if report is not None:
                self._view.settle({row["id"]: report})
            return None
        if report is None:
            # Not told of is not certainly unknown: a list may be cut, and a request to start it may be on its way.
            # A stopped attempt never starts, so only then may another be planned.
            found = self._probe(row["id"])
            if isinstance(found, Done) and found.value is None:
                stopped = self._view.engine.stop(row["id"], grace_s=row["grace_s"])
                found = self._probe(row["id"]) if isinstance(stopped, Done) else stopped
            if not isinstance(found, Done):
                return None
            report = found.value
            if report is not None and not _differs(row, report, now_us, execution):
                return None
        return partial(_apply_report, execution, row["id"], report)

    def _probe(self, attempt_id: str) -> Outcome[AttemptReport | None]:
        """Ask for one attempt, and let the view know it if the engine does."""
        found = self._view.engine.probe(attempt_id)
        if isinstance(found, Done) and found.value is not None:
            self._view.tell(found.value)
        return found


def _written(store: Store, writing: Writing | None) -> None:
    if writing is not None:
        _, topics = writing.result()
        store.hints.fire(topics)


def _has_begun(report: AttemptReport | None) -> bool:
    """Return whether an attempt runs although its start was not recorded, because the server died in between."""
    return report is not None and report.state in (TaskState.RUNNING, TaskState.EXITED)


def _withdraw(execution: Execution, attempt_id: str, tx: Tx) -> None:
    attempt = find_attempt(tx, attempt_id)
    if attempt is not None and attempt["state"] in (AttemptState.PLACED.value, AttemptState.STARTING.value):
        why = text("It did not start in time; it is planned again")
        lifecycle.request_stop(tx, owner_of(execution.owners, attempt), attempt, StopReason.WITHDRAWN, why)


def _never_starts(row: Row, report: AttemptReport | None, now_us: int, execution: Execution) -> bool:
    """Return whether an engine has had its time to start an attempt: short for one that waits there for machines."""
    if report is None or row["state"] != AttemptState.STARTING.value or row["stop_reason"] is not None:
        return False
    limits_s = {
        TaskState.PENDING: execution.settings.start_timeout_s,
        TaskState.STARTING: execution.settings.starting_max_s,
    }
    limit_s = limits_s.get(report.state)
    return limit_s is not None and now_us - row["placed_us"] > limit_s * US_PER_S


def _differs(row: Row, report: AttemptReport | None, now_us: int, execution: Execution) -> bool:
    if report is None:
        waited_us = now_us - row["placed_us"]
        return row["stop_reason"] is not None or waited_us > execution.settings.start_timeout_s * US_PER_S
    if report.state is TaskState.EXITED:
        return True
    if report.state is TaskState.RUNNING and row["state"] != AttemptState.RUNNING.value:
        return True
    if report.state is TaskState.RUNNING and actual_placement(row["placement"], report) is not None:
        return True
    if has_service_changed(row, report):
        return True
    return row["state"] == AttemptState.RUNNING.value and _overdue(row, now_us)


def _overdue(row: Row, now_us: int) -> bool:
    limit_us = int((row["time_limit_s"] + row["grace_s"] + LIMIT_SLACK_S) * US_PER_S)
    return row["stop_reason"] is None and now_us - row["started_us"] > limit_us


def _apply_report(execution: Execution, attempt_id: str, report: AttemptReport | None, tx: Tx) -> None:
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
