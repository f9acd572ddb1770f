"""A user's inbox of notices, read and unread."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import InvalidInput, NotFound, Problem
from pearlstreet.base.text import text
from pearlstreet.store import outbox
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.names import check_after
from pearlstreet.tenancy.notices.kinds import Words, words_of
from pearlstreet.tenancy.notices.tables import notices

KEPT_US = 90 * 86_400 * US_PER_S
KEPT_MAX = 2_000
"""Largest number of notices of one user; beyond it the oldest are deleted."""
READ_MAX = 500
"""Largest number of notices marked in one request."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice in a user's inbox. `read_us` None: unread."""

    id: str
    event_id: str
    kind: str
    org_id: str | None
    payload: dict[str, object]
    at_us: int
    read_us: int | None

    def words(self, language: str) -> Words:
        """Return the notice's title and body in a language."""
        return words_of(self.kind, self.payload, language)


def list_notices(
    store: Store, actor: Actor, *, unread: bool = False, before: str | None = None, limit: int = 100
) -> Sequence[Notice]:
    """Return the actor's notices, newest first, before the id `before`."""
    actor.require("notices:own")
    query = sa.select(notices).where(notices.c.user_id == actor.user_id)
    if unread:
        query = query.where(notices.c.read_us.is_(None))
    if before is not None:
        query = query.where(notices.c.id < check_after(before, "ntc"))
    query = query.order_by(notices.c.id.desc()).limit(limit)
    return store.read(lambda tx: [_notice(row) for row in tx.rows(query)])


def count_unread(store: Store, actor: Actor) -> int:
    """Return the number of the actor's unread notices."""
    actor.require("notices:own")
    unread = (notices.c.user_id == actor.user_id) & notices.c.read_us.is_(None)
    return int(store.read(lambda tx: tx.scalar(sa.select(sa.func.count()).where(unread))))


def mark_read(store: Store, actor: Actor, ids: Collection[str] | None, *, read: bool = True) -> int:
    """Mark notices (None: all) as read or unread; returns the number changed.

    Raises NotFound for a notice that the actor does not have.
    """
    actor.require("notices:own")
    if ids is not None and not 0 < len(ids) <= READ_MAX:
        message = text("Name 1 to {most} notices", most=READ_MAX)
        raise InvalidInput(message, problems=[Problem("ids", message)])

    def command(tx: Tx) -> int:
        mine = notices.c.user_id == actor.user_id
        if ids is not None:
            mine &= notices.c.id.in_(set(ids))
            known = set(tx.execute(sa.select(notices.c.id).where(mine)).scalars())
            strange = sorted(set(ids) - known)
            if strange:
                raise NotFound(text("You have no notice {notice}", notice=strange[0][:60]))
        before = notices.c.read_us.is_(None) if read else notices.c.read_us.is_not(None)
        values = {"read_us": tx.now_us if read else None}
        return int(tx.execute(sa.update(notices).where(mine, before).values(**values)).rowcount)

    return store.write(command)


def send_test(store: Store, actor: Actor) -> None:
    """Send the actor a test notice, on the channels chosen for tests."""
    actor.require("notices:own")
    payload = {"user": actor.user_id}
    store.write(lambda tx: outbox.emit(tx, "notice.test", payload))


def forget_old(tx: Tx) -> None:
    """Delete notices older than 90 days, and the oldest notices of users with more than `KEPT_MAX`."""
    tx.execute(sa.delete(notices).where(notices.c.at_us < tx.now_us - KEPT_US))
    count = sa.func.count()
    full = sa.select(notices.c.user_id).group_by(notices.c.user_id).having(count > KEPT_MAX)
    for user_id in tx.execute(full).scalars().all():
        mine = notices.c.user_id == user_id
        newest = sa.select(notices.c.id).where(mine).order_by(notices.c.id.desc())
        last = tx.scalar(newest.offset(KEPT_MAX - 1).limit(1))
        tx.execute(sa.delete(notices).where(mine, notices.c.id < last))


def _notice(row: Row) -> Notice:
    return Notice(
        row["id"],
        row["event_id"],
        row["kind"],
        row["org_id"],
        row["payload"],
        row["at_us"],
        row["read_us"],
    )
