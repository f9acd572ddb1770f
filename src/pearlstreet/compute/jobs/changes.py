"""Changes of jobs and attempts since a given one, for interfaces that show them live."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.store.core import Tx
from pearlstreet.store.tables import state_events

EVENTS_MAX = 2_000
"""Most state events read at once; if there are more, every organisation counts as changed."""


def newest_change(tx: Tx) -> int:
    """Return the number of the newest state event; 0 before the first."""
    return tx.scalar(sa.select(sa.func.max(state_events.c.seq))) or 0


def changes_since(tx: Tx, seen: int) -> tuple[int, frozenset[str] | None]:
    """Return the number of the newest state event, and the organisations with changes since `seen` (None: all)."""
    rows = tx.rows(
        sa.select(state_events.c.seq, state_events.c.entity_id)
        .where(state_events.c.seq > seen)
        .order_by(state_events.c.seq)
        .limit(EVENTS_MAX)
    )
    if not rows:
        return seen, frozenset()
    newest = int(rows[-1]["seq"])
    if len(rows) == EVENTS_MAX:
        return newest, None
    touched = {row["entity_id"] for row in rows}
    found: set[str] = set()
    for table in (jobs, attempts):
        of_table = sorted(one for one in touched if one.startswith("job_" if table is jobs else "att_"))
        for start in range(0, len(of_table), 500):
            part = of_table[start : start + 500]
            found |= {
                row["org_id"]
                for row in tx.rows(sa.select(table.c.org_id).where(table.c.id.in_(part)).distinct())
            }
    others = any(not one.startswith(("job_", "att_")) for one in touched)
    return newest, None if others else frozenset(found)
