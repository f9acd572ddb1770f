"""The fragment cache: what many visitors share."""

from __future__ import annotations

import threading

import pytest

from pearlstreet.console.fragment_cache import ENTRIES_MAX, get_current, rights, shared
from pearlstreet.store import audit
from pearlstreet.store.core import Store
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.scopes import OperatorRole, OrgRole


def test_a_value_is_computed_once_and_again_when_it_expired(sqlite_store: Store) -> None:
    made: list[int] = []

    def make() -> int:
        made.append(1)
        return len(made)

    assert [shared(sqlite_store, "a", 60, make) for _ in range(3)] == [1, 1, 1]
    assert shared(sqlite_store, "b", 60, make) == 2, "another key is another entry"
    assert shared(sqlite_store, "c", 0, make) == 3
    assert shared(sqlite_store, "c", 0, make) == 4, "too old at once"


def test_others_get_the_expired_value_while_one_computes_the_next(sqlite_store: Store) -> None:
    begun, go, found = threading.Event(), threading.Event(), []
    assert shared(sqlite_store, "a", 0, lambda: "old") == "old"

    def slow() -> str:
        begun.set()
        assert go.wait(60)
        return "new"

    maker = threading.Thread(target=lambda: found.append(shared(sqlite_store, "a", 60, slow)))
    maker.start()
    assert begun.wait(60)
    assert shared(sqlite_store, "a", 60, lambda: "mine") == "old"
    go.set()
    maker.join(60)
    assert found == ["new"] and shared(sqlite_store, "a", 60, lambda: "mine") == "new"


def test_a_failure_is_nobody_elses(sqlite_store: Store) -> None:
    assert shared(sqlite_store, "a", 0, lambda: "old") == "old"

    def fails() -> str:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        shared(sqlite_store, "a", 60, fails)
    assert shared(sqlite_store, "a", 60, lambda: "good") == "good"


def test_the_cache_is_bounded(sqlite_store: Store) -> None:
    for number in range(ENTRIES_MAX + 10):
        shared(sqlite_store, number, 60, lambda: "x")
    assert shared(sqlite_store, 0, 60, lambda: "made again") == "made again"
    assert shared(sqlite_store, ENTRIES_MAX + 9, 60, lambda: "made again") == "x"


def test_a_current_value_is_computed_again_after_any_action(sqlite_store: Store) -> None:
    made: list[int] = []

    def make() -> int:
        made.append(1)
        return len(made)

    first = get_current(sqlite_store, "a", make)
    sqlite_store.write(lambda tx: audit.record(tx, actor="x", action="do", target="y"))
    second = get_current(sqlite_store, "a", make)
    assert second == first + 1, "an action is visible at once, however fresh the value was"


def test_all_who_ask_at_once_wait_for_one_maker(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pearlstreet.console.fragment_cache.CURRENT_S", 3600.0
    )  # who is late on a busy machine is no other
    begun, go, found = threading.Event(), threading.Event(), list[str]()

    def slow() -> str:
        begun.set()
        assert go.wait(60)
        return "made once"

    def ask() -> None:
        found.append(get_current(sqlite_store, "a", slow))

    people = [threading.Thread(target=ask) for _ in range(5)]
    people[0].start()
    assert begun.wait(60)
    begun.clear()
    for one in people[1:]:
        one.start()
    for one in people[1:]:
        one.join(0.05)
    assert not found
    go.set()
    for one in people:
        one.join(60)
    assert found == ["made once"] * 5 and not begun.is_set()


def test_who_waited_for_a_failure_tries_for_itself(sqlite_store: Store) -> None:
    begun, go, told = threading.Event(), threading.Event(), list[str]()

    def fails() -> str:
        begun.set()
        assert go.wait(60)
        raise ValueError("no")

    def first() -> None:
        with pytest.raises(ValueError, match="no"):
            get_current(sqlite_store, "a", fails)

    people = [
        threading.Thread(target=first),
        threading.Thread(target=lambda: told.append(get_current(sqlite_store, "a", lambda: "mine"))),
    ]
    people[0].start()
    assert begun.wait(60)
    people[1].start()
    go.set()
    for one in people:
        one.join(60)
    assert told == ["mine"]


def test_only_equal_rights_share() -> None:
    member = Actor("a", "u1", orgs={"o": OrgRole.MEMBER})
    assert rights(member) == rights(Actor("b", "u2", orgs={"o": OrgRole.MEMBER}))
    for other in (
        Actor("a", "u1", orgs={"o": OrgRole.OWNER}),
        Actor("a", "u1", orgs={"p": OrgRole.MEMBER}),
        Actor("a", "u1", orgs={"o": OrgRole.MEMBER}, scopes=frozenset({"jobs:read"})),
        Actor("a", "u1", orgs={"o": OrgRole.MEMBER}, suspended=frozenset({"o"})),
        Actor("a", "u1", orgs={"o": OrgRole.MEMBER}, operator_roles=frozenset({OperatorRole.SYSTEM})),
    ):
        assert rights(other) != rights(member)
