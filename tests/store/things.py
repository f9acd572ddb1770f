"""A table of things for tests of the store: something with a state, a value and a lease."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

import sqlalchemy as sa

from pearlstreet.base.clock import VirtualClock
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.tables import lease_columns
from pearlstreet.store.transitions import StateTable

test_metadata = sa.MetaData()
things = sa.Table(
    "things",
    test_metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("org_id", sa.String(40), nullable=False, default=""),
    sa.Column("state", sa.String(24), nullable=False, default="new"),
    sa.Column("value", sa.BigInteger, nullable=False, default=0),
    *lease_columns(),
)


class ThingState(StrEnum):
    NEW = "new"
    OLD = "old"


class ThingEvent(StrEnum):
    AGE = "age"


THING_STATES = StateTable(
    "thing", {(ThingState.NEW, ThingEvent.AGE): ThingState.OLD}, frozenset({ThingState.OLD})
)


def with_things(store: Store) -> Store:
    """The store with the table of things in it."""
    test_metadata.create_all(store.database.engine)
    return store


def on_virtual_time(store: Store) -> tuple[Store, VirtualClock]:
    """The same store, whose time moves only when told."""
    clock = VirtualClock()
    return replace(with_things(store), clock=clock), clock


def add(tx: Tx, row_id: str, *, due_us: int | None = None, value: int = 0, org: str = "") -> None:
    """Insert one thing."""
    tx.execute(sa.insert(things).values(id=row_id, org_id=org, state="new", value=value, due_us=due_us))


def ids(store: Store) -> list[str]:
    """The ids of all things."""
    return [row["id"] for row in store.read(lambda tx: tx.rows(sa.select(things).order_by(things.c.id)))]


def thing(store: Store, row_id: str) -> sa.RowMapping:
    """One thing."""
    found = store.read(lambda tx: tx.first(sa.select(things).where(things.c.id == row_id)))
    assert found is not None
    return found
