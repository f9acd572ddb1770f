"""The loop that meters storage once an hour for every project that stores something."""

from __future__ import annotations

from functools import partial

import sqlalchemy as sa

from pearlstreet.storage.levels import INTERVAL_US, meter_level
from pearlstreet.storage.tables import storage_levels
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.store.loop import CycleLoop, Loop, RowGuard

LOOP = "meter_storage"
BATCH = 1000
"""Number of projects metered in one cycle."""


def storage_loop() -> Loop:
    """Return the loop that writes a usage span per project and hour; after a downtime one span covers all of it."""
    return CycleLoop(name=LOOP, cycle=partial(meter_due, RowGuard(LOOP)), interval_s=60.0)


def meter_due(guard: RowGuard, store: Store) -> bool:
    """Meter the projects whose last span ended at least an hour ago, the longest overdue first."""
    before_us = store.clock.now_us() - INTERVAL_US
    is_in_use = (storage_levels.c.stored_bytes > 0) | (storage_levels.c.byte_us != "0")
    columns = (storage_levels.c.org_id, storage_levels.c.project_id)
    query = (
        sa.select(*columns)
        .where(storage_levels.c.metered_us <= before_us, is_in_use)
        .order_by(storage_levels.c.metered_us)
        .limit(BATCH)
    )
    due = store.read(lambda tx: tx.rows(query))
    guard.keep([row["project_id"] for row in due])
    for row in due:
        guard.run(store, row["project_id"], partial(store.write, partial(_meter, row)))
    return False


def _meter(key: Row, tx: Tx) -> None:
    here = (storage_levels.c.org_id == key["org_id"]) & (storage_levels.c.project_id == key["project_id"])
    row = tx.first(sa.select(storage_levels).where(here))
    if row is not None and tx.now_us - row["metered_us"] >= INTERVAL_US:
        meter_level(tx, row)
