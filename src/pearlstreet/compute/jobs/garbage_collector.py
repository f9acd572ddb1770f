"""Garbage collection and inventory: reconciles engines with rows, stops orphans and deletes what is old."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import sqlalchemy as sa
import structlog

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.outcome import Done
from pearlstreet.compute.engines.protocol import AttemptReport, Engine, TaskState
from pearlstreet.compute.jobs.isolation import read_nodes
from pearlstreet.compute.jobs.lifecycle import NODES
from pearlstreet.compute.jobs.model import AttemptState
from pearlstreet.compute.jobs.preparing import BUILDING, WANTED
from pearlstreet.compute.jobs.retention import drop_orphans, drop_prepared
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.storage.files import drop_expired, warn_of_expiry
from pearlstreet.compute.jobs.storage.prepared_limit import drop_stray_prepared, measure_prepared
from pearlstreet.compute.jobs.tables import attempts, preparations
from pearlstreet.compute.pool.inventory import all_nodes, node_to_json, record_nodes
from pearlstreet.store import idempotency
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.loop import CycleLoop, Loop, RowGuard
from pearlstreet.tenancy import invitation_records, sessions

LOOP = "sweep"
REPORT_BATCH = 500
"""Number of attempts looked up at once."""
FORGET_AFTER_LEAST_S = 600.0
"""Minimum time for which engines remember an ended attempt, whatever `kept_days` says.

A start request that was delayed for less (five leases of the start loop) finds the attempt ended and does not run it again.
"""
log = structlog.get_logger("sweep")


def inventory_loop(runtime: Runtime) -> Loop:
    """Return the loop that updates the pool's nodes from what engines report."""
    return CycleLoop(
        name="inventory", cycle=partial(take_inventory, runtime), hints=(NODES,), interval_s=3.0, rest=5.0
    )


def take_inventory(runtime: Runtime, store: Store) -> bool:
    """Read the nodes of every engine once, and write them if anything but a sensor reading changed."""
    for name, engine in runtime.engines.items():
        seen = read_nodes(engine, runtime.settings.minimum_isolation)
        if not isinstance(seen, Done):
            log.warning("engine does not answer", engine=name, reason=str(seen.reason))
            continue
        kept = {
            node.report.name: node_to_json(node.report)
            for node in store.read(all_nodes)
            if node.engine == name and node.present
        }
        if kept != {report.name: node_to_json(report) for report in seen.value}:
            store.write(lambda tx, name=name, seen=seen: record_nodes(tx, name, seen.value))  # type: ignore[misc]
    for gone in {node.engine for node in store.read(all_nodes) if node.present} - runtime.engines.keys():
        store.write(lambda tx, gone=gone: record_nodes(tx, gone, ()))  # type: ignore[misc]
    return False


def sweep_loop(runtime: Runtime) -> Loop:
    """Return the loop that stops orphan attempts and deletes old data."""
    return CycleLoop(name=LOOP, cycle=GarbageCollector(runtime).sweep, interval_s=60.0)


@dataclass(slots=True)
class GarbageCollector:
    """Stops orphan attempts and deletes old data; each cycle checks all attempts of engines and one shard of the blobs."""

    runtime: Runtime
    guard: RowGuard = field(default_factory=lambda: RowGuard(LOOP))
    turn: int = 0

    def sweep(self, store: Store) -> bool:
        """Run one cycle."""
        for engine in self.runtime.engines.values():
            found = engine.scan()
            reports = list(found.value) if isinstance(found, Done) else []
            for start in range(0, len(reports), REPORT_BATCH):
                self._look(store, engine, reports[start : start + REPORT_BATCH])
        self.turn += 1
        self.guard.run(store, "prepared", partial(drop_prepared, self.runtime, store))
        self.guard.run(store, "sizes of prepared", partial(measure_prepared, self.runtime, store))
        self.guard.run(store, "stray prepared", partial(drop_stray_prepared, self.runtime, store))
        self.guard.run(store, "expired outputs", partial(drop_expired, store))
        self.guard.run(store, "outputs that expire soon", partial(warn_of_expiry, store))
        self.guard.run(store, "blobs", partial(drop_orphans, self.runtime, store, self.turn))
        store.write(_forget)
        return False

    def _look(self, store: Store, engine: Engine, reports: Sequence[AttemptReport]) -> None:
        known = store.read(lambda tx: _known(tx, [report.attempt_id for report in reports]))
        for report in reports:
            judge = partial(_judge, self.runtime, store, engine, report, known.get(report.attempt_id))
            self.guard.run(store, report.attempt_id, judge)


@dataclass(frozen=True, slots=True)
class _Known:
    """State in the rows of an attempt that an engine remembers."""

    wanted: bool
    ended_us: int | None


def _known(tx: Tx, ids: Sequence[str]) -> dict[str, _Known]:
    columns = (attempts.c.id, attempts.c.state, attempts.c.ended_us)
    found = {
        row["id"]: _Known(row["state"] != AttemptState.ENDED.value, row["ended_us"])
        for row in tx.rows(sa.select(*columns).where(attempts.c.id.in_(ids)))
    }
    preparing = preparations.c.attempt_id.in_(ids) & preparations.c.state.in_((WANTED, BUILDING))
    for attempt_id in tx.execute(sa.select(preparations.c.attempt_id).where(preparing)).scalars():
        found[attempt_id] = _Known(True, None)
    return found


def _judge(
    runtime: Runtime, store: Store, engine: Engine, report: AttemptReport, known: _Known | None
) -> None:
    if known is not None and known.wanted:
        return
    if report.state is not TaskState.EXITED:
        log.warning("orphan stopped", attempt=report.attempt_id, engine=engine.name)
        engine.stop(report.attempt_id, grace_s=5)
        return
    ended_us = known.ended_us if known is not None else report.ended_us
    kept_s = max(runtime.settings.kept_s, FORGET_AFTER_LEAST_S)
    if (ended_us or 0) < store.clock.now_us() - int(kept_s * US_PER_S):
        engine.forget(report.attempt_id)
    else:
        engine.delete_work(
            report.attempt_id
        )  # the outputs are stored as artefacts by now; nothing reads the other files


def _forget(tx: Tx) -> None:
    idempotency.forget_old(tx)
    sessions.forget_old(tx)
    invitation_records.forget_old(tx)
