"""What the center's loops fail on or gave up: for its operators to see, and to have tried again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pearlstreet.store import audit
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.loop import failing, retry_quarantined
from pearlstreet.tenancy.model import Actor


@dataclass(frozen=True, slots=True)
class Incident:
    """A row that a loop fails on."""

    loop: str
    row: str
    failures: int
    given_up: bool
    """Left alone until somebody, or a restart, has it tried again."""
    error: str
    at_us: int


def list_incidents(store: Store, actor: Actor, *, limit: int = 200) -> Sequence[Incident]:
    """What was given up first, newest first. Raises Forbidden without settings:read."""
    actor.require("settings:read")
    rows = store.read(lambda tx: failing(tx, limit=limit))
    return [
        Incident(
            row["loop"], row["row_id"], row["failures"], row["quarantined"], row["last_error"], row["at_us"]
        )
        for row in rows
    ]


def retry_incidents(store: Store, actor: Actor, *, loop: str | None = None, row: str | None = None) -> int:
    """Have what was given up tried again: all of it, one loop's part, or one row; how many there were.

    Raises Forbidden without settings:write.
    """
    actor.require("settings:write")

    def command(tx: Tx) -> int:
        count = retry_quarantined(tx, loop=loop, row_id=row)
        details = {"loop": loop, "row": row, "count": count}
        audit.record(tx, actor=actor.label, action="incident.retry", target=row or "center", details=details)
        return count

    return store.write(command)
