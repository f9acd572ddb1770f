"""Who may work on a row: order, contention, lost leases, and a wake-up that comes while somebody works."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from tests.store.things import add, on_virtual_time, thing, things

from pearlstreet.base.clock import VirtualClock
from pearlstreet.compute.jobs.tables import preparations
from pearlstreet.store import leases
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.tables import metadata

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


def test_rows_leased_apart_are_held_apart(world: World) -> None:
    store, _ = world
    store.write(lambda tx: (add(tx, "a", due_us=0), add(tx, "b", due_us=1)))
    first, second = (store.write(lambda tx: _lease(tx, limit=1))[0] for _ in range(2))
    held = {
        (row, token): store.read(lambda tx, row=row, token=token: leases.holds(tx, things, row, token))
        for row in "ab"
        for token in (first, second)
    }
    assert held == {("a", first): True, ("a", second): False, ("b", first): False, ("b", second): True}
    assert not store.read(lambda tx: leases.holds(tx, things, "absent", first))
    assert not store.write(lambda tx: leases.release(tx, things, "b", first, due_us=None))
    assert store.write(lambda tx: leases.release(tx, things, "a", first, due_us=None))
    assert thing(store, "b")["lease_token"] == second, "the other row is still held"


def test_a_wake_up_later_than_our_own_time_does_not_delay_the_row(world: World) -> None:
    store, _ = world
    store.write(lambda tx: (add(tx, "a", due_us=0), add(tx, "b", due_us=0)))
    token, _ = store.write(_lease)
    store.write(lambda tx: tx.execute(sa.update(things).values(due_us=9_000_000_000_000_000)))
    store.write(lambda tx: leases.release(tx, things, "a", token, due_us=5))
    assert thing(store, "a")["due_us"] == 5


def test_the_only_server_frees_every_lease_at_its_start(world: World) -> None:
    store, clock = world
    metadata.create_all(store.database.engine)

    def fill(tx: Tx) -> None:
        held = {"lease_token": "dead", "lease_until_us": 1 << 62, "due_us": 1 << 62}
        for row_id, lease in (("prp_held", held), ("prp_free", {"due_us": 7})):
            made = {"org_id": "o", "kind": "k", "digest": row_id, "spec": {}, "state": "s", "at_us": 1}
            tx.execute(sa.insert(preparations).values(id=row_id, **made, **lease))
        assert leases.take_named(tx, "planner", "dead", lease_s=3600)

    store.write(fill)
    assert store.write(leases.free_all) == 1
    rows = {row["id"]: row for row in store.read(lambda tx: tx.rows(sa.select(preparations)))}
    assert (rows["prp_held"]["lease_token"], rows["prp_held"]["lease_until_us"]) == (None, None)
    assert rows["prp_held"]["due_us"] == clock.now_us(), "looked at again at once"
    assert rows["prp_free"]["due_us"] == 7, "who held nothing is not woken"
    assert store.write(lambda tx: leases.take_named(tx, "planner", "new", lease_s=9))


def test_named_leases_do_not_touch_each_other(world: World) -> None:
    store, clock = world

    def take(name: str, token: str) -> bool:
        return store.write(lambda tx: leases.take_named(tx, name, token, lease_s=10))

    assert take("planner", "one") and take("billing", "two"), "another name is another lease"
    assert not take("billing", "one") and not take("planner", "two")
    clock.advance(9)
    assert take("planner", "one")
    clock.advance(2)
    assert not take("planner", "two"), "its holder kept it"
    assert take("billing", "three"), "nobody kept this one"


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
    assert store.read(lambda tx: leases.named_holder(tx, "planner")) == ("two", clock.now_us() + 10_000_000)
    assert store.read(lambda tx: leases.named_holder(tx, "nobody took it")) is None


def test_the_token_of_another_row_holds_nothing(world: World) -> None:
    store, _ = world
    store.write(lambda tx: (add(tx, "a", due_us=0), add(tx, "b", due_us=1)))
    of_a, _ = store.write(lambda tx: _lease(tx, limit=1))
    of_b, _ = store.write(lambda tx: _lease(tx, limit=1))
    held = store.read(
        lambda tx: [leases.holds(tx, things, row, token) for row in "ab" for token in (of_a, of_b)]
    )
    assert held == [True, False, False, True]


def test_rows_in_work_count_as_the_first_of_their_account(world: World) -> None:
    store, _ = world

    def fill(tx: Tx) -> None:
        for number in range(4):
            add(tx, f"a{number}", due_us=number, org="busy")
            add(tx, f"b{number}", due_us=10 + number, org="idle")

    store.write(fill)

    def chosen(busy: dict[str, int]) -> list[str]:
        return store.read(
            lambda tx: list(leases.choose_rows(tx, things, account=things.c.org_id, limit=4, busy=busy))
        )

    assert chosen({}) == ["a0", "b0", "a1", "b1"]
    assert chosen({"busy": 1}) == ["b0", "a0", "b1", "a1"]
    assert chosen({"busy": 2}) == ["b0", "b1", "a0", "b2"]


def test_only_chosen_rows_are_leased(world: World) -> None:
    store, _ = world
    store.write(lambda tx: [add(tx, name, due_us=0) for name in "abc"])
    token, found = store.write(
        lambda tx: leases.lease_rows(tx, things, limit=1, lease_s=9, chosen=["c", "gone", "a"])
    )
    assert list(found) == ["c", "a"]
    assert len(token) == 32
    assert thing(store, "b")["lease_token"] is None


@pytest.mark.parametrize(
    ("theirs", "ours", "kept"), [(5, 5, 5), (4, 5, 4), (6, 5, 5), (6, None, 6), (None, 5, 5)]
)
def test_the_earlier_of_two_wake_ups_is_kept(
    world: World, theirs: int | None, ours: int | None, kept: int | None
) -> None:
    store, clock = world
    now = clock.now_us()
    store.write(lambda tx: add(tx, "a", due_us=0))
    token, _ = store.write(_lease)
    if theirs is not None:
        store.write(lambda tx: tx.execute(sa.update(things).values(due_us=now + theirs)))
    assert store.write(
        lambda tx: leases.release(tx, things, "a", token, due_us=None if ours is None else now + ours)
    )
    assert thing(store, "a")["due_us"] == (None if kept is None else now + kept)
