"""The loop that meters running attempts and extends their holds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import Unavailable
from pearlstreet.compute.engines.protocol import TaskState
from pearlstreet.compute.execution.balance import keep_covered
from pearlstreet.compute.execution.engine_view import EngineView
from pearlstreet.compute.execution.metering import meter
from pearlstreet.compute.execution.model import AttemptState
from pearlstreet.compute.execution.owners import owner_of
from pearlstreet.compute.execution.settings import Execution
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.loop import CycleLoop, Loop, RowGuard

LOOP = "meter_attempts"
METER_BATCH = 200
"""Number of attempts metered in one transaction."""


def meter_loop(execution: Execution, views: Mapping[str, EngineView]) -> Loop:
    """Return the loop that writes usage spans of running attempts and extends their holds before they run out."""
    return CycleLoop(
        name=LOOP,
        cycle=partial(_cycle, execution, views, RowGuard(LOOP)),
        interval_s=min(5.0, execution.settings.meter_interval_s / 2),
    )


def _cycle(execution: Execution, views: Mapping[str, EngineView], guard: RowGuard, store: Store) -> bool:
    now_us = store.clock.now_us()
    due_us = now_us - int(execution.settings.meter_interval_s * US_PER_S)
    running = attempts.c.state == AttemptState.RUNNING.value
    query = (
        sa.select(attempts.c.id, attempts.c.engine)
        .where(running, attempts.c.metered_until_us <= due_us)
        .order_by(attempts.c.metered_until_us)
        .limit(METER_BATCH)
    )
    due = store.read(lambda tx: tx.rows(query))
    true_us = {
        name: views[name].refresh(store.clock) for name in {row["engine"] for row in due} & views.keys()
    }
    seen = {
        row["id"]: _ran_until(views.get(row["engine"]), true_us.get(row["engine"]), row["id"]) for row in due
    }
    if seen:
        _write_some(execution, guard, store, seen)
    return len(due) == METER_BATCH and all(seen.values())


def _write_some(execution: Execution, guard: RowGuard, store: Store, seen: Mapping[str, int | None]) -> None:
    """Meter in one transaction; if it fails, meter one by one so that only the faulty attempt is left out."""
    try:
        store.write(partial(_meter_some, execution, seen))
    except Unavailable:
        raise
    except Exception:  # noqa: BLE001  occurs again, and is reported, row by row
        guard.keep(seen)
        for attempt_id, until_us in seen.items():
            one = partial(_meter_some, execution, {attempt_id: until_us})
            guard.run(store, attempt_id, partial(store.write, one))


def _ran_until(view: EngineView | None, true_us: int | None, attempt_id: str) -> int | None:
    """Return `true_us`, the time of its engine's report, if that says that the attempt runs; else None.

    Without asking, time after an end that was not observed (while the server was down, for example) would be metered.
    """
    report = view.report(attempt_id) if view is not None else None
    return true_us if report is not None and report.state is TaskState.RUNNING else None


def _meter_some(execution: Execution, seen: Mapping[str, int | None], tx: Tx) -> None:
    for row in tx.rows(sa.select(attempts).where(attempts.c.id.in_(list(seen)))):
        if row["state"] == AttemptState.RUNNING.value:
            owner = owner_of(execution.owners, row)
            meter(tx, row, seen[row["id"]] or 0, unbilled=owner.why_unbilled(row))
            keep_covered(tx, owner, execution.settings, row)
