"""Who may work on a row: order, contention, lost leases, and a wake-up that comes while somebody works."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from tests.store.things import add, on_virtual_time, thing, things

from pearlstreet.base.clock import VirtualClock
from pearlstreet.store import leases
from pearlstreet.store.core import Store, Tx

World = tuple[Store, VirtualClock]


@pytest.fixture
def world(store: Store) -> World:
    return on_virtual_time(store)


def _lease(tx: Tx, limit: int = 10, lease_s: float = 60) -> tuple[str, list[str]]:
    token, found = leases.lease_rows(tx, things, limit=limit, lease_s=lease_s)
    return token, list(found)


def test_only_due_rows_are_leased_earliest_first(world: World) -> None:
    store, clock = world
    now = clock.now_us()

    def fill(tx: Tx) -> None:
        add(tx, "never", due_us=None)
        add(tx, "later", due_us=now + 1)
        add(tx, "second", due_us=now - 5)
        add(tx, "first", due_us=now - 9)
        add(tx, "third", due_us=now - 5 + 1)

    store.write(fill)
    assert store.write(lambda tx: _lease(tx, limit=2))[1] == ["first", "second"]
    assert store.write(_lease)[1] == ["third"]
    assert store.write(_lease)[1] == []


def test_conditions_narrow_what_is_leased(world: World) -> None:
    store, _ = world
    store.write(lambda tx: (add(tx, "a", due_us=0, value=1), add(tx, "b", due_us=0, value=2)))
    leased = store.write(lambda tx: leases.lease_rows(tx, things, things.c.value == 2, limit=9, lease_s=9)[1])
    assert list(leased) == ["b"]


def test_a_dead_worker_costs_one_lease_time(world: World) -> None:
    store, clock = world
    store.write(lambda tx: add(tx, "a", due_us=0))
    dead, _ = store.write(lambda tx: _lease(tx, lease_s=60))
    clock.advance(59)
    assert store.write(_lease)[1] == []
    clock.advance(1)
    alive, found = store.write(_lease)
    assert found == ["a"]
    assert store.read(lambda tx: leases.holds(tx, things, "a", alive))
    assert not store.read(lambda tx: leases.holds(tx, things, "a", dead))
    assert not store.write(lambda tx: leases.release(tx, things, "a", dead, due_us=None))
    assert store.write(lambda tx: leases.release(tx, things, "a", alive, due_us=None))
    assert thing(store, "a")["due_us"] is None


def test_released_rows_are_due_when_said(world: World) -> None:
    store, clock = world
    store.write(lambda tx: add(tx, "a", due_us=0))
    token, _ = store.write(_lease)
    store.write(lambda tx: leases.release(tx, things, "a", token, due_us=tx.now_us + 5_000_000))
    assert store.write(_lease)[1] == []
    clock.advance(5)
    assert store.write(_lease)[1] == ["a"]


@pytest.mark.parametrize(("asked_s", "released_s", "due_s"), [(1, 5, 1), (5, 1, 1), (1, None, 1)])
def test_a_wake_up_during_the_work_is_not_lost(
    world: World, asked_s: int, released_s: int | None, due_s: int
) -> None:
    store, clock = world
    store.write(lambda tx: add(tx, "a", due_us=0))
    token, _ = store.write(_lease)
    now = clock.now_us()
    wake = sa.update(things).where(things.c.id == "a").values(due_us=now + asked_s * 1_000_000)
    store.write(lambda tx: tx.execute(wake))
    released = None if released_s is None else now + released_s * 1_000_000
    store.write(lambda tx: leases.release(tx, things, "a", token, due_us=released))
    assert thing(store, "a")["due_us"] == now + due_s * 1_000_000


def test_a_row_put_to_rest_during_the_work_rests(world: World) -> None:
    store, _ = world
    store.write(lambda tx: add(tx, "a", due_us=0))
    token, _ = store.write(_lease)
    store.write(lambda tx: tx.execute(sa.update(things).values(due_us=None)))
    store.write(lambda tx: leases.release(tx, things, "a", token, due_us=None))
    assert thing(store, "a")["due_us"] is None


def test_a_named_lease_has_one_holder(world: World) -> None:
    store, clock = world

    def take(token: str) -> bool:
        return store.write(lambda tx: leases.take_named(tx, "planner", token, lease_s=10))

    assert take("one")
    assert not take("two")
    clock.advance(9)
    assert take("one"), "the holder keeps it"
    clock.advance(9)
    assert not take("two")
    clock.advance(1)
    assert take("two"), "an expired lease is free"
    store.write(lambda tx: leases.drop_named(tx, "planner", "one"))
    assert not take("one"), "only the holder can drop it"
    store.write(lambda tx: leases.drop_named(tx, "planner", "two"))
    assert take("one")
