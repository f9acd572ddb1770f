"""Reminders of expiring API keys, and deletion of old notices, deliveries and marks."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S, to_rfc3339
from pearlstreet.store import outbox
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.notices import dedup, deliveries, inbox
from pearlstreet.tenancy.tables import api_keys

DAY_US = 86_400 * US_PER_S
WARN_DAYS = (7, 1)
"""Days before a key's end at which its holder is notified; not for keys with a life of at most twice that."""


def watch(store: Store) -> bool:
    """Send due reminders and delete old rows, once; returns False."""
    store.write(_keys)
    store.write(_prune)
    return False


def _keys(tx: Tx) -> None:
    for days in WARN_DAYS:
        ending = (
            api_keys.c.revoked_us.is_(None),
            api_keys.c.expires_us > tx.now_us,
            api_keys.c.expires_us <= tx.now_us + days * DAY_US,
            api_keys.c.expires_us - api_keys.c.created_us > 2 * days * DAY_US,
        )
        for row in tx.rows(sa.select(api_keys).where(*ending).order_by(api_keys.c.id)):
            if dedup.mark_notified(tx, f"key.expiring {row['id']} {days}"):
                payload = {
                    "user": row["user_id"],
                    "key": row["id"],
                    "label": row["label"],
                    "expires": to_rfc3339(row["expires_us"])[:10],
                }
                outbox.emit(tx, "key.expiring", payload, org_id=row["org_id"])


def _prune(tx: Tx) -> None:
    inbox.forget_old(tx)
    deliveries.forget_old(tx)
    dedup.forget_old(tx)
