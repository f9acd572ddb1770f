"""Rows on which the center's loops fail; operators list them and have quarantined rows tried again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pearlstreet.store import audit
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.loop import failing, retry_quarantined
from pearlstreet.tenancy.model import Actor


@dataclass(frozen=True, slots=True)
class Incident:
    """A row on which a loop fails."""

    loop: str
    row: str
    failures: int
    given_up: bool
    """Whether the row is quarantined: not tried again until an operator or a restart of the server resets it."""
    error: str
    at_us: int


def list_incidents(store: Store, actor: Actor, *, limit: int = 200) -> Sequence[Incident]:
    """Return rows on which loops fail, quarantined rows first, then newest first. Requires `settings:read`."""
    actor.require("settings:read")
    rows = store.read(lambda tx: failing(tx, limit=limit))
    return [
        Incident(
            row["loop"], row["row_id"], row["failures"], row["quarantined"], row["last_error"], row["at_us"]
        )
        for row in rows
    ]


def retry_incidents(store: Store, actor: Actor, *, loop: str | None = None, row: str | None = None) -> int:
    """Have quarantined rows tried again (all, of one loop, or one row); returns their number.

    Raises Forbidden without `settings:write`.
    """
    actor.require("settings:write")

    def command(tx: Tx) -> int:
        count = retry_quarantined(tx, loop=loop, row_id=row)
        details = {"loop": loop, "row": row, "count": count}
        audit.record(tx, actor=actor.label, action="incident.retry", target=row or "center", details=details)
        return count

    return store.write(command)
