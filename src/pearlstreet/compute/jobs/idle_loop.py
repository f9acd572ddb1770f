"""Watches running jobs for idle accelerators: warns the owner, and stops the job where the center has chosen that.

Only whole devices are watched, because a sample is of the whole device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.outcome import Done
from pearlstreet.base.text import text
from pearlstreet.base.units import HOUR_S
from pearlstreet.compute.engines.protocol import Engine
from pearlstreet.compute.execution.lifecycle import request_stop
from pearlstreet.compute.execution.model import AttemptState, StopReason
from pearlstreet.compute.execution.owners import Owners, owner_of
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs.idle_rules import Idleness, advance
from pearlstreet.compute.jobs.model import JOB
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.tables import idle_attempts, jobs
from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.store import outbox
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.store.loop import CycleLoop, Loop, RowGuard

LOOP = "idle_accelerators"
LOOK_EVERY_S = 60.0
PAGES_MAX = 20
"""Pages of samples of one attempt read in a cycle; the rest follows in the next."""
_RUNNING = sa.select(attempts).where(
    attempts.c.state == AttemptState.RUNNING.value,
    attempts.c.owner_kind == JOB,
    attempts.c.stop_reason.is_(None),
)


def idle_loop(runtime: Runtime, owners: Owners) -> Loop:
    """Return the loop that looks for idle accelerators once a minute."""
    return CycleLoop(name=LOOP, cycle=IdleWatch(runtime, owners).look, interval_s=LOOK_EVERY_S)


@dataclass(slots=True)
class IdleWatch:
    """Idle times of the running attempts, in memory; after a restart they are read again from the samples."""

    runtime: Runtime
    owners: Owners
    known: dict[str, Idleness] = field(default_factory=dict)
    guard: RowGuard = field(default_factory=lambda: RowGuard(LOOP))

    def look(self, store: Store) -> bool:
        """Read the new samples of all running jobs with whole accelerators, and act on those that are idle for long."""
        rows = [row for row in store.read(lambda tx: tx.rows(_RUNNING)) if _cards(row)]
        self.known = {row["id"]: self.known.get(row["id"], Idleness()) for row in rows}
        self.guard.keep([row["id"] for row in rows])
        for row in rows:
            engine = self.runtime.engines.get(row["engine"])
            if engine is None:
                continue
            before = self.known[row["id"]]
            after = _read(engine, row["id"], before, self.runtime.settings.idle_percent)
            if after == before:
                continue
            self.known[row["id"]] = after
            if after.total_us:
                self.guard.run(store, row["id"], partial(store.write, partial(self._act, row["id"], after)))
        return False

    def _act(self, attempt_id: str, idle: Idleness, tx: Tx) -> None:
        settings = self.runtime.settings
        row = tx.first(_RUNNING.where(attempts.c.id == attempt_id))
        if row is None:
            return
        kept = _keep(tx, row, idle)
        idle_s = idle.idle_us / US_PER_S
        if settings.idle_warn_s and idle_s >= settings.idle_warn_s and kept["warned_us"] is None:
            _note(tx, attempt_id, warned_us=tx.now_us)
            _warn(tx, row, idle_s, self._release_s(tx, row))
        release_s = self._release_s(tx, row)
        # Nobody is stopped unwarned: the notice stands for `idle_notice_s` at least.
        warned_us = kept["warned_us"] if kept["warned_us"] is not None else tx.now_us
        noticed_s = (tx.now_us - warned_us) / US_PER_S
        if release_s and idle_s >= release_s and noticed_s >= settings.idle_notice_s:
            left_s = max(0.0, row["time_limit_s"] - (tx.now_us - row["started_us"]) / US_PER_S)
            saved = round(row["hourly_micro"] * left_s / HOUR_S)
            _note(tx, attempt_id, released_us=tx.now_us, saved_micro=saved)
            why = text(
                "Its accelerators were idle for {hours} h; the center releases them after that. Save checkpoints, and submit it "
                "again when it has work for them",
                hours=f"{idle_s / HOUR_S:.1f}",
            )
            request_stop(tx, owner_of(self.owners, row), row, StopReason.IDLE, why)

    def _release_s(self, tx: Tx, row: Row) -> float:
        """Return the idle time after which the attempt is stopped; 0: never."""
        settings = self.runtime.settings
        if not settings.idle_release_s or not settings.idle_release_queues:
            return settings.idle_release_s
        queue = tx.scalar(sa.select(jobs.c.queue).where(jobs.c.id == row["owner_id"]))
        return settings.idle_release_s if queue in settings.idle_release_queues else 0.0


def _cards(row: Row) -> bool:
    """Return whether an attempt holds whole accelerators only."""
    given = [device for task in row["placement"]["tasks"] for device in task["devices"]]
    return bool(given) and all(device["whole"] for device in given)


def _read(engine: Engine, attempt_id: str, known: Idleness, idle_percent: float) -> Idleness:
    """Return the idle time with the samples since the last look; unchanged while the engine does not answer."""
    for _ in range(PAGES_MAX):
        answer = engine.read_metrics(attempt_id, since_us=known.seen_us)
        if not isinstance(answer, Done) or not answer.value:
            break
        later = advance(known, answer.value, idle_percent)
        if later.seen_us == known.seen_us:
            break
        known = later
    return known


def _keep(tx: Tx, row: Row, idle: Idleness) -> Row:
    """Write the idle time of an attempt, and return its row."""
    here = idle_attempts.c.attempt_id == row["id"]
    known = tx.first(sa.select(idle_attempts).where(here))
    if known is not None:
        tx.execute(sa.update(idle_attempts).where(here).values(idle_us=max(known["idle_us"], idle.total_us)))
        return known
    fresh: Row = {
        "attempt_id": row["id"],
        "org_id": row["org_id"],
        "project_id": row["project_id"],
        "job_id": row["owner_id"],
        "cards_bp": row["usage"]["card_bp"],
        "hourly_micro": row["hourly_micro"],
        "idle_us": idle.total_us,
        "first_us": tx.now_us,
        "warned_us": None,
        "released_us": None,
        "saved_micro": 0,
    }
    tx.execute(sa.insert(idle_attempts).values(**fresh))
    return fresh


def _note(tx: Tx, attempt_id: str, **values: int) -> None:
    tx.execute(sa.update(idle_attempts).where(idle_attempts.c.attempt_id == attempt_id).values(**values))


def _warn(tx: Tx, row: Row, idle_s: float, release_s: float) -> None:
    job = tx.first(sa.select(jobs.c.name, jobs.c.owner).where(jobs.c.id == row["owner_id"]))
    if job is None:
        return
    told: Mapping[str, object] = {
        "job": row["owner_id"],
        "name": job["name"],
        "user": job["owner"].split(" ")[0],
        "cards": f"{row['usage']['card_bp'] / FULL_BP:g}",
        "hours": f"{idle_s / HOUR_S:.1f}",
        "release_hours": f"{release_s / HOUR_S:g}",
    }
    outbox.emit(tx, "job.idle_released" if release_s else "job.idle", dict(told), org_id=row["org_id"])


__all__: Sequence[str] = ("IdleWatch", "idle_loop")
