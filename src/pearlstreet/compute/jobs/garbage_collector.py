"""Garbage collection: deletes prepared folders, outputs, blobs and records that are old or belong to nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from pearlstreet.compute.jobs.retention import drop_orphans, drop_prepared
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.storage.files import drop_expired, warn_of_expiry
from pearlstreet.compute.jobs.storage.prepared_limit import drop_stray_prepared, measure_prepared
from pearlstreet.store import idempotency
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.loop import CycleLoop, Loop, RowGuard
from pearlstreet.tenancy import invitation_records, sessions

LOOP = "sweep"


def sweep_loop(runtime: Runtime) -> Loop:
    """Return the loop that deletes old data."""
    return CycleLoop(name=LOOP, cycle=GarbageCollector(runtime).sweep, interval_s=60.0)


@dataclass(slots=True)
class GarbageCollector:
    """Deletes old data; each cycle checks one shard of the blobs."""

    runtime: Runtime
    guard: RowGuard = field(default_factory=lambda: RowGuard(LOOP))
    turn: int = 0

    def sweep(self, store: Store) -> bool:
        """Run one cycle."""
        self.turn += 1
        self.guard.run(store, "prepared", partial(drop_prepared, self.runtime, store))
        self.guard.run(store, "sizes of prepared", partial(measure_prepared, self.runtime, store))
        self.guard.run(store, "stray prepared", partial(drop_stray_prepared, self.runtime, store))
        self.guard.run(store, "expired outputs", partial(drop_expired, store))
        self.guard.run(store, "outputs that expire soon", partial(warn_of_expiry, store))
        self.guard.run(store, "blobs", partial(drop_orphans, self.runtime, store, self.turn))
        store.write(_forget)
        return False


def _forget(tx: Tx) -> None:
    idempotency.forget_old(tx)
    sessions.forget_old(tx)
    invitation_records.forget_old(tx)
