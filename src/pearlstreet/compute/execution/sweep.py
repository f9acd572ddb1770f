"""The loop that stops attempts that no row knows, and deletes files and records of ended ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa
import structlog

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.outcome import Done
from pearlstreet.compute.engines.protocol import AttemptReport, Engine, TaskState
from pearlstreet.compute.execution.checkpoint_sweep import drop_checkpoints, drop_stored_checkpoints
from pearlstreet.compute.execution.model import AttemptState
from pearlstreet.compute.execution.settings import Execution
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.loop import CycleLoop, Loop, RowGuard

LOOP = "sweep_attempts"
REPORT_BATCH = 500
"""Number of attempts looked up at once."""
FORGET_AFTER_LEAST_S = 600.0
"""Minimum time for which engines remember an ended attempt, whatever `kept_days` says.

A start request that was delayed for less (five leases of the start loop) finds the attempt ended and does not run it again.
"""
log = structlog.get_logger("sweep")


def attempt_sweep_loop(execution: Execution) -> Loop:
    """Return the loop that compares the attempts that engines remember with the rows."""
    return CycleLoop(name=LOOP, cycle=partial(sweep_attempts, execution, RowGuard(LOOP)), interval_s=60.0)


def sweep_attempts(execution: Execution, guard: RowGuard, store: Store) -> bool:
    """Stop orphan attempts and delete what is old of ended ones."""
    for engine in execution.engines.values():
        found = engine.scan()
        reports = list(found.value) if isinstance(found, Done) else []
        for start in range(0, len(reports), REPORT_BATCH):
            _look(execution, guard, store, engine, reports[start : start + REPORT_BATCH])
        guard.run(store, f"checkpoints {engine.name}", partial(drop_checkpoints, execution, store, engine))
    guard.run(store, "stored checkpoints", partial(drop_stored_checkpoints, execution, store))
    return False


def _look(
    execution: Execution, guard: RowGuard, store: Store, engine: Engine, reports: Sequence[AttemptReport]
) -> None:
    known = store.read(lambda tx: _known(tx, [report.attempt_id for report in reports]))
    for report in reports:
        judge = partial(_judge, execution, store, engine, report, known.get(report.attempt_id))
        guard.run(store, report.attempt_id, judge)


@dataclass(frozen=True, slots=True)
class _Known:
    """State in the rows of an attempt that an engine remembers."""

    wanted: bool
    ended_us: int | None


def _known(tx: Tx, ids: Sequence[str]) -> dict[str, _Known]:
    columns = (attempts.c.id, attempts.c.state, attempts.c.ended_us)
    return {
        row["id"]: _Known(row["state"] != AttemptState.ENDED.value, row["ended_us"])
        for row in tx.rows(sa.select(*columns).where(attempts.c.id.in_(ids)))
    }


def _judge(
    execution: Execution, store: Store, engine: Engine, report: AttemptReport, known: _Known | None
) -> None:
    if known is not None and known.wanted:
        return
    if report.state is not TaskState.EXITED:
        log.warning("orphan stopped", attempt=report.attempt_id, engine=engine.name)
        engine.stop(report.attempt_id, grace_s=5)
        return
    ended_us = known.ended_us if known is not None else report.ended_us
    kept_s = max(execution.settings.kept_s, FORGET_AFTER_LEAST_S)
    if (ended_us or 0) < store.clock.now_us() - int(kept_s * US_PER_S):
        engine.forget(report.attempt_id)
    else:
        # Its owner has stored the outputs by now; nothing reads the other files.
        engine.delete_work(report.attempt_id)
