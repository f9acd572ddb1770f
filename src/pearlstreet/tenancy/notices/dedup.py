"""Deduplication of notices about conditions that last, such as an expiring key or an absent node.

A loop checks such a condition again and again; the notice is sent once, until the condition has ended.
"""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.store.core import Tx
from pearlstreet.tenancy.notices.tables import notice_dedup

KEPT_US = 400 * 86_400 * US_PER_S


def mark_notified(tx: Tx, reference: str) -> bool:
    """Mark a condition as notified; returns False if it was marked already, so that no notice is sent."""
    marked = sa.select(notice_dedup.c.reference).where(notice_dedup.c.reference == reference)
    if tx.first(marked) is not None:
        return False
    tx.execute(sa.insert(notice_dedup).values(reference=reference, at_us=tx.now_us))
    return True


def clear_notified(tx: Tx, reference: str) -> None:
    """Remove the mark of a condition that has ended, so that its next occurrence is notified."""
    tx.execute(sa.delete(notice_dedup).where(notice_dedup.c.reference == reference))


def forget_old(tx: Tx) -> None:
    """Delete marks older than 400 days."""
    tx.execute(sa.delete(notice_dedup).where(notice_dedup.c.at_us < tx.now_us - KEPT_US))
