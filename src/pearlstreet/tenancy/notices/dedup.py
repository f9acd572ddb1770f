"""What is told once while it lasts: a key's end, a node that is down. Without this, each look would tell it again."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.store.core import Tx
from pearlstreet.tenancy.notices.tables import told

KEPT_US = 400 * 86_400 * US_PER_S


def first_time(tx: Tx, reference: str) -> bool:
    """Whether it was not told yet; from now on it was."""
    if tx.first(sa.select(told.c.reference).where(told.c.reference == reference)) is not None:
        return False
    tx.execute(sa.insert(told).values(reference=reference, at_us=tx.now_us))
    return True


def over(tx: Tx, reference: str) -> None:
    """It does not last any more: the next time is news again."""
    tx.execute(sa.delete(told).where(told.c.reference == reference))


def forget_old(tx: Tx) -> None:
    """Drop what is too old to come up again."""
    tx.execute(sa.delete(told).where(told.c.at_us < tx.now_us - KEPT_US))
