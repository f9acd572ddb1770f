"""Queue of deliveries by e-mail and webhook for the sending loop, with limits for each receiver."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import TooMany
from pearlstreet.base.text import text
from pearlstreet.store.core import Row, Tx
from pearlstreet.tenancy.notices.owners import Owner
from pearlstreet.tenancy.notices.tables import deliveries

TOPIC = "notice_deliveries"
"""Topic of the hint that deliveries are due."""
EMAIL, WEBHOOK = "email", "webhook"
MAILS_PER_HOUR = 60
"""Largest number of mails, or notices of another channel, to one owner in an hour, so that a tenant cannot flood a mailbox. The inbox has no such limit."""
WAITING_MAX = 10_000
"""Largest number of due deliveries of one webhook; further events are dropped until its receiver answers again."""
KEPT_US = 7 * 86_400 * US_PER_S
ENDED_MAX = 10_000
"""Largest number of ended deliveries kept of one webhook; beyond it the oldest are deleted."""


class State(StrEnum):
    """State of a delivery."""

    DUE = "due"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True)
class Event:
    """An event for which notices are sent."""

    id: str
    kind: str
    org_id: str | None
    payload: Mapping[str, object]
    at_us: int


def row_for(
    tx: Tx, event: Event, channel: str, target_id: str, *, language: str = "en", address: str | None = None
) -> dict[str, object]:
    """Return the row of a new delivery, due at once."""
    return {
        "id": tx.new_id("dlv"),
        "event_id": event.id,
        "kind": event.kind,
        "channel": channel,
        "target_id": target_id,
        "address": address,
        "language": language,
        "org_id": event.org_id,
        "payload": dict(event.payload),
        "at_us": event.at_us,
        "state": State.DUE.value,
        "tries": 0,
        "created_us": tx.now_us,
        "due_us": tx.now_us,
    }


def queue(tx: Tx, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert deliveries and wake the sending loop."""
    if rows:
        tx.execute(sa.insert(deliveries), rows)
        tx.hint(TOPIC)


def mail(tx: Tx, kind: str, owner: Owner, address: str, language: str, payload: Mapping[str, object]) -> None:
    """Queue one mail that the owner requested. Raises TooMany beyond `MAILS_PER_HOUR`."""
    if mails_left(tx, [owner.id])[owner.id] <= 0:
        raise TooMany(
            text("No more than {count} mails an hour are sent to one address", count=MAILS_PER_HOUR),
            retry_after_s=3600,
        )
    event = Event(tx.new_id("evt"), kind, owner.org_id, payload, tx.now_us)
    queue(tx, [row_for(tx, event, EMAIL, owner.id, language=language, address=address)])


def mails_left(tx: Tx, owner_ids: Collection[str], channel: str = EMAIL) -> dict[str, int]:
    """Return the number of further mails in this hour, by owner id; of another channel its notices."""
    left = dict.fromkeys(owner_ids, MAILS_PER_HOUR)
    counted = (
        sa.select(deliveries.c.target_id, sa.func.count().label("count"))
        .where(
            deliveries.c.target_id.in_(list(left)),
            deliveries.c.channel == channel,
            deliveries.c.created_us > tx.now_us - 3600 * US_PER_S,
        )
        .group_by(deliveries.c.target_id)
    )
    for row in tx.rows(counted) if left else ():
        left[row["target_id"]] -= row["count"]
    return left


def posts_left(tx: Tx, webhook_ids: Collection[str]) -> dict[str, int]:
    """Return how many more deliveries each webhook may have waiting, by webhook id."""
    left = dict.fromkeys(webhook_ids, WAITING_MAX)
    counted = (
        sa.select(deliveries.c.target_id, sa.func.count().label("count"))
        .where(deliveries.c.target_id.in_(list(left)), deliveries.c.state == State.DUE.value)
        .group_by(deliveries.c.target_id)
    )
    for row in tx.rows(counted) if left else ():
        left[row["target_id"]] -= row["count"]
    return left


def of_target(tx: Tx, target_id: str, *, before: str | None, limit: int) -> Sequence[Row]:
    """Return the deliveries to one receiver, newest first, before the id `before`."""
    query = sa.select(deliveries).where(deliveries.c.target_id == target_id)
    if before is not None:
        query = query.where(deliveries.c.id < before)
    return tx.rows(query.order_by(deliveries.c.id.desc()).limit(limit))


def give_up(tx: Tx, target_id: str) -> None:
    """Give up all due deliveries to a receiver."""
    waiting = (deliveries.c.target_id == target_id) & (deliveries.c.state == State.DUE.value)
    over = {"state": State.GIVEN_UP.value, "ended_us": tx.now_us, "due_us": None}
    tx.execute(sa.update(deliveries).where(waiting).values(**over))


def forget_old(tx: Tx) -> None:
    """Delete deliveries that ended more than 7 days ago, and the oldest ended ones of webhooks with too many."""
    tx.execute(sa.delete(deliveries).where(deliveries.c.ended_us < tx.now_us - KEPT_US))
    ended, target = deliveries.c.ended_us.is_not(None), deliveries.c.target_id
    full = sa.select(target).where(ended, deliveries.c.channel == WEBHOOK).group_by(target)
    for target_id in tx.execute(full.having(sa.func.count() > ENDED_MAX)).scalars().all():
        own = ended & (target == target_id)
        newest = sa.select(deliveries.c.id).where(own).order_by(deliveries.c.id.desc())
        last = tx.scalar(newest.offset(ENDED_MAX - 1).limit(1))
        tx.execute(sa.delete(deliveries).where(own, deliveries.c.id < last))
