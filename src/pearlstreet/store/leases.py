"""Leases of rows by workers. A worker that has lost its lease cannot write: every write checks the lease's token.

A leased row is due again when its lease ends, so a crashed worker delays a row by at most one lease. Any transaction can
make a leased row due earlier by setting its `due_us`; `release` then keeps the earlier of the two times.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.store.core import Tx
from pearlstreet.store.tables import metadata, named_leases


def choose_rows(
    tx: Tx,
    table: sa.Table,
    *conditions: sa.ColumnElement[bool],
    account: sa.ColumnElement[object],
    limit: int,
    busy: Mapping[str, int] | None = None,
    full: Collection[str] = (),
) -> Mapping[str, str]:
    """Return up to `limit` due, unleased rows (id → account), round-robin over the accounts, earliest first in each.

    So 20,000 due rows of one account delay another account's row by one row. `busy` counts the rows of each account in
    work, which count as its first rows of the round; accounts in `full` are left out.
    """
    name = sa.func.coalesce(account, sa.literal(""))
    turn = sa.func.row_number().over(partition_by=name, order_by=(table.c.due_us, table.c.id))
    rows = sa.select(table.c.id, name.label("account"), table.c.due_us, turn.label("turn"))
    rows = rows.where(*due(tx, table), *conditions)
    if full:
        rows = rows.where(name.not_in(sorted(full)))
    found = rows.subquery()
    had = sa.case(dict(busy), value=found.c.account, else_=0) if busy else sa.literal(0)
    order = ((found.c.turn + had), found.c.due_us, found.c.id)
    chosen = sa.select(found.c.id, found.c.account).where(found.c.turn <= limit).order_by(*order).limit(limit)
    return {row.id: row.account for row in tx.execute(chosen)}


def lease_rows(
    tx: Tx,
    table: sa.Table,
    *conditions: sa.ColumnElement[bool],
    limit: int,
    lease_s: float,
    chosen: Collection[str] | None = None,
) -> tuple[str, Sequence[str]]:
    """Lease up to `limit` due, unleased rows, earliest first; returns the new token and the rows' ids.

    With `chosen` (ids), lease exactly those of the chosen rows that are still due and unleased; `limit` has no effect.
    """
    query = sa.select(table.c.id).where(*due(tx, table), *conditions)
    if chosen is None:
        ids = tx.execute(query.order_by(table.c.due_us, table.c.id).limit(limit)).scalars().all()
    else:
        still = set(tx.execute(query.where(table.c.id.in_(chosen))).scalars())
        ids = [row_id for row_id in chosen if row_id in still]
    token = tx.token_bytes(16).hex()
    if ids:
        until_us = tx.now_us + int(lease_s * US_PER_S)
        tx.execute(
            sa.update(table)
            .where(table.c.id.in_(ids))
            .values(lease_token=token, lease_until_us=until_us, due_us=until_us)
        )
    return token, ids


def due(tx: Tx, table: sa.Table) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    """Return the conditions of a row that waits for a worker now: due, and not leased."""
    free = sa.or_(table.c.lease_until_us.is_(None), table.c.lease_until_us <= tx.now_us)
    return table.c.due_us <= tx.now_us, free


def holds(tx: Tx, table: sa.Table, row_id: str, token: str) -> bool:
    """Return whether the row has the lease `token`."""
    return bool(tx.execute(_holder(table), {"of_row": row_id}).scalar() == token)


# Statements are cached because building one costs far more than running it.


@cache
def _holder(table: sa.Table) -> sa.Select[object]:
    return sa.select(table.c.lease_token).where(table.c.id == sa.bindparam("of_row"))


@cache
def _release(table: sa.Table) -> sa.Update:
    untouched = sa.or_(table.c.due_us.is_(None), table.c.due_us == table.c.lease_until_us)
    ours = sa.bindparam("ours_us", type_=sa.BigInteger)
    later = sa.or_(ours.is_(None), table.c.due_us < ours)
    kept = sa.case((sa.and_(sa.not_(untouched), later), table.c.due_us), else_=ours)
    values: dict[str, object] = {"lease_token": None, "lease_until_us": None, "due_us": kept}
    mine = (table.c.id == sa.bindparam("of_row")) & (table.c.lease_token == sa.bindparam("of_token"))
    return sa.update(table).where(mine).values(**values)


def release(tx: Tx, table: sa.Table, row_id: str, token: str, *, due_us: int | None) -> bool:
    """End the lease `token` of a row and make the row due at `due_us` (None: not due until another writer makes it so).

    Keeps a `due_us` that another writer set during the lease if it is earlier. Returns False if the row has another lease
    or none.
    """
    given = {"of_row": row_id, "of_token": token, "ours_us": due_us}
    return tx.execute(_release(table), given).rowcount == 1


def free_all(tx: Tx) -> int:
    """End all leases; returns the number of leased rows. Only for the start of a server that no other runs beside."""
    count = 0
    for table in metadata.sorted_tables:
        if "lease_token" in table.c:
            leased = table.c.lease_token.is_not(None)
            values: dict[str, object] = {"lease_token": None, "lease_until_us": None, "due_us": tx.now_us}
            count += tx.execute(sa.update(table).where(leased).values(**values)).rowcount
    tx.execute(sa.delete(named_leases))
    return count


class Holder(NamedTuple):
    """Who holds a named lease, and until when (µs since 1970). It changes whenever the lease is taken or renewed."""

    token: str
    until_us: int


def named_holder(tx: Tx, name: str) -> Holder | None:
    """Return the last holder of the lease called `name`, also after its end; None: nobody took it yet."""
    row = tx.first(sa.select(named_leases).where(named_leases.c.name == name))
    return None if row is None else Holder(row["token"], row["until_us"])


def take_named(tx: Tx, name: str, token: str, *, lease_s: float) -> bool:
    """Take or renew the lease called `name`, of a singleton such as the planner. False: another holder has it."""
    until = tx.now_us + int(lease_s * US_PER_S)
    holder = named_holder(tx, name)
    if holder is None:
        tx.execute(sa.insert(named_leases).values(name=name, token=token, until_us=until))
        return True
    if holder.token != token and holder.until_us > tx.now_us:
        return False
    tx.execute(sa.update(named_leases).where(named_leases.c.name == name).values(token=token, until_us=until))
    return True
