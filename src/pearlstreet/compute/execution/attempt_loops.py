"""Loops that ask engines to start placed attempts, and to stop those that must end.

Each is level-triggered by the rows of attempts. Engines return Outcomes; after Unknown the attempt stays `starting`, and the
watch loop learns what became of it from the id that the center gave it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import PearlError, Unavailable
from pearlstreet.base.outcome import Done, Outcome, Refused, Retry, Unknown
from pearlstreet.base.text import text
from pearlstreet.base.units import GIB
from pearlstreet.compute.engines.orders import TOO_WEAK
from pearlstreet.compute.engines.protocol import AttemptOrder, AttemptReport, EndReason, ServiceOrder
from pearlstreet.compute.engines.staging.model import RestoredEntry
from pearlstreet.compute.execution import lifecycle
from pearlstreet.compute.execution.lifecycle import find_attempt
from pearlstreet.compute.execution.model import DRAINING_STOP_REASONS, LIVE_ATTEMPT, AttemptState, StopReason
from pearlstreet.compute.execution.owners import owner_of
from pearlstreet.compute.execution.placement import leave_to_engine
from pearlstreet.compute.execution.reporting import apply_report
from pearlstreet.compute.execution.service_reports import note_service
from pearlstreet.compute.execution.settings import Execution
from pearlstreet.compute.execution.stored_checkpoints import (
    Missing,
    checkpoint_for,
    note_started,
    request_save,
)
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.store.core import Row, Tx
from pearlstreet.store.loop import Loop, RowLoop

STARTERS = 12
"""Number of attempts started at once; each mostly waits for the disk and for its supervisor."""
PROBE_S = 2.0
"""Seconds after which a stop is requested again."""


START_FAILED = "start_failed"
"""Refusal code of an attempt whose order cannot be built."""
_HOPELESS = frozenset({START_FAILED, "bad_gres", "bad_service", "no_ports", "no_services"})
"""Refusal codes after which another attempt would be refused, too."""
ORDER_RETRY_S = 5.0
TRANSFER_RETRY_S = 1.0
_Checkpoint = tuple[RestoredEntry, ...] | Missing | Refused | None
"""Content of the checkpoint folder, which is on another engine; None: it is where it belongs."""
_Order = AttemptOrder | Callable[[], AttemptOrder] | Refused


@dataclass(frozen=True, slots=True)
class _Start:
    engine: str
    order: _Order
    checkpoint: _Checkpoint
    model: str
    """Model of the attempt's devices; empty without any."""


def start_loop(execution: Execution) -> Loop:
    """Return the loop that asks engines to start placed attempts."""
    return RowLoop[Row, _Start, "Outcome[AttemptReport]"](
        name="start_attempts",
        table=attempts,
        conditions=(attempts.c.state == AttemptState.PLACED.value, attempts.c.stop_reason.is_(None)),
        account=attempts.c.org_id,
        load=partial(_load_starts, execution),
        decide=lambda context, now_us: _Start(
            context["engine"],
            context["order"],
            context["checkpoint"],
            context["placement"].get("model", ""),
        ),
        act=partial(_start, execution),
        apply=partial(_apply_start, execution),
        hints=(lifecycle.START,),
        interval_s=2.0,
        workers=STARTERS,
    )


def _load_starts(execution: Execution, tx: Tx, ids: Sequence[str]) -> Mapping[str, Row]:
    rows = tx.rows(sa.select(attempts).where(attempts.c.id.in_(ids)))
    return {
        row["id"]: {**row, "order": _order(tx, execution, row), "checkpoint": _checkpoint(tx, execution, row)}
        for row in rows
        if row["engine"] in execution.engines
    }


def _order(tx: Tx, execution: Execution, row: Row) -> _Order:
    """Return the order of an attempt, or Refused if it cannot be built (a secret or file is gone)."""
    try:
        return owner_of(execution.owners, row).order(tx, row)
    except PearlError as error:
        return Refused(START_FAILED, error.message)


def _checkpoint(tx: Tx, execution: Execution, row: Row) -> _Checkpoint:
    try:
        return checkpoint_for(tx, execution, row)
    except PearlError as error:
        return Refused(START_FAILED, error.message)


def _start(execution: Execution, start: _Start) -> Outcome[AttemptReport]:
    order, checkpoint = start.order, start.checkpoint
    if isinstance(checkpoint, Missing):
        return Retry(TRANSFER_RETRY_S, text("The checkpoint is on its way from another engine"))
    if isinstance(checkpoint, Refused):
        return checkpoint
    if callable(order):
        try:
            order = order()
        except Unavailable as error:
            return Retry(ORDER_RETRY_S, error.message)
        except PearlError as error:
            return Refused(START_FAILED, error.message)
    if isinstance(order, Refused):
        return order
    if checkpoint is not None and order.checkpoint:
        order = replace(order, restore=checkpoint)
    engine = execution.engines[start.engine]
    return engine.start(leave_to_engine(order, engine.capabilities().placement, start.model))


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
    if (
        isinstance(outcome, Done | Unknown)
        and isinstance(start.order, AttemptOrder)
        and start.order.checkpoint
    ):
        note_started(tx, execution, attempt, int(start.order.limits.disk_gib * GIB))
    match outcome:
        case Done(report):
            lifecycle.mark_starting(tx, owner, attempt)
            note_service(tx, row_id, _service_of(start))
            refreshed = find_attempt(tx, row_id)
            if refreshed is not None:
                apply_report(tx, owner, refreshed, report)
            tx.hint(lifecycle.WATCH)
            return _due_after(tx, row_id)
        case Unknown():
            lifecycle.mark_starting(tx, owner, attempt)
            note_service(tx, row_id, _service_of(start))
            tx.hint(lifecycle.WATCH)
            return _due_after(tx, row_id)
        case Retry(after_s, _):
            if isinstance(start.checkpoint, Missing):
                request_save(tx, start.checkpoint.previous)
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
                end_reason=EndReason.START_FAILED if code in _HOPELESS else None,
                exit_code=None,
                ended_us=tx.now_us,
                message=reason,
                collect=False,
            )
            return None


def _service_of(start: _Start) -> ServiceOrder | None:
    return start.order.service if isinstance(start.order, AttemptOrder) else None


def _due_after(tx: Tx, attempt_id: str) -> int | None:
    """Return now if the attempt must be stopped or its outputs stored, so that another loop takes it; else None."""
    row = find_attempt(tx, attempt_id)
    waiting = row is not None and (
        row["stop_reason"] is not None or row["state"] == AttemptState.COLLECTING.value
    )
    return tx.now_us if waiting else None


@dataclass(frozen=True, slots=True)
class _Stop:
    engine: str
    attempt_id: str
    grace_s: float
    drain_s: float | None
    """Time for which a service may answer the requests it has; None: it is stopped at once."""


def _stop_of(row: Row) -> _Stop:
    drains = row["stop_reason"] in DRAINING_STOP_REASONS
    return _Stop(row["engine"], row["id"], row["grace_s"], row["drain_s"] if drains else None)


def _stop(execution: Execution, stop: _Stop) -> Outcome[None]:
    engine = execution.engines[stop.engine]
    if stop.drain_s is not None:
        return engine.drain(stop.attempt_id, grace_s=stop.drain_s)
    return engine.stop(stop.attempt_id, grace_s=stop.grace_s)


def stop_loop(execution: Execution) -> Loop:
    """Return the loop that asks engines to stop attempts that must end; the watch loop observes their end."""
    return RowLoop[Row, _Stop, "Outcome[None]"](
        name="stop_attempts",
        table=attempts,
        conditions=(attempts.c.stop_reason.is_not(None), attempts.c.state.in_(LIVE_ATTEMPT)),
        account=attempts.c.org_id,
        load=_load_stops,
        decide=lambda row, now_us: _stop_of(row),
        act=partial(_stop, execution),
        apply=lambda tx, row_id, token, row, stop, outcome: tx.now_us + int(PROBE_S * US_PER_S),
        hints=(lifecycle.STOP,),
        interval_s=2.0,
    )


def _load_stops(tx: Tx, ids: Sequence[str]) -> Mapping[str, Row]:
    return {row["id"]: row for row in tx.rows(sa.select(attempts).where(attempts.c.id.in_(ids)))}
