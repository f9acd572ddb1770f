"""Transactional outbox: a command writes its events as rows, which are delivered at least once, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from pearlstreet.store.core import Tx
from pearlstreet.store.tables import outbox, outbox_cursors

TOPIC = "outbox"
_EMIT = sa.insert(outbox)


def emit(tx: Tx, topic: str, payload: Mapping[str, object], *, org_id: str | None = None) -> None:
    """Write an event, which consumers get after the commit."""
    tx.execute(_EMIT, {"topic": topic, "org_id": org_id, "payload": dict(payload), "at_us": tx.now_us})
    tx.hint(TOPIC)


def pending(tx: Tx, consumer: str, *, limit: int = 500) -> Sequence[RowMapping]:
    """Return the events after the consumer's cursor, oldest first."""
    cursor = tx.scalar(sa.select(outbox_cursors.c.seq).where(outbox_cursors.c.consumer == consumer)) or 0
    return tx.rows(sa.select(outbox).where(outbox.c.seq > cursor).order_by(outbox.c.seq).limit(limit))


def advance(tx: Tx, consumer: str, seq: int) -> None:
    """Advance the consumer's cursor to `seq`, never backwards. `advance(tx, consumer, 0)` registers a new consumer."""
    moved = tx.execute(
        sa.update(outbox_cursors)
        .where(outbox_cursors.c.consumer == consumer, outbox_cursors.c.seq <= seq)
        .values(seq=seq)
    ).rowcount
    known = moved or tx.scalar(sa.select(outbox_cursors.c.seq).where(outbox_cursors.c.consumer == consumer))
    if not known:
        tx.execute(sa.insert(outbox_cursors).values(consumer=consumer, seq=seq))


def forget_delivered(tx: Tx, *, before_us: int) -> int:
    """Delete events before `before_us` that all consumers have passed; returns the number deleted."""
    lowest = tx.scalar(sa.select(sa.func.min(outbox_cursors.c.seq)))
    if lowest is None:
        return 0
    return tx.execute(sa.delete(outbox).where(outbox.c.seq <= lowest, outbox.c.at_us < before_us)).rowcount
