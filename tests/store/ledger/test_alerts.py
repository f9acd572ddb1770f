"""A balance that falls below its limit is told once, and again only after it has risen."""

from __future__ import annotations

import pytest
from tests.store.ledger.books import MEMBER, ORG, OWNER, STRANGER, opened, pay, yuan

from pearlstreet.base.errors import Forbidden, InvalidInput, NotFound
from pearlstreet.base.money import Money
from pearlstreet.ledger.alerts import TOPIC, balance_loop, get_alert, set_alert
from pearlstreet.ledger.holds import place_hold
from pearlstreet.store import outbox
from pearlstreet.store.core import Store


def told(store: Store) -> list[tuple[str, str]]:
    """(available, below) of every event so far, after a look."""
    balance_loop().step(store)
    found = store.read(lambda tx: outbox.pending(tx, "test"))
    return [(row["payload"]["available"], row["payload"]["below"]) for row in found if row["topic"] == TOPIC]


def hold(store: Store, amount: str, reference: str) -> None:
    store.write(lambda tx: place_hold(tx, ORG, yuan(amount), reference))


def test_it_is_told_once_while_it_lasts_and_again_after_a_top_up(store: Store) -> None:
    books = opened(store)
    pay(books, "100")
    set_alert(books, OWNER, ORG, yuan("30"))
    assert told(books) == []
    hold(books, "80", "att_1")
    assert told(books) == [("20.00", "30.00")]
    hold(books, "5", "att_2")
    assert told(books) == [("20.00", "30.00")], "once while it lasts"
    pay(books, "100")
    assert len(told(books)) == 1
    hold(books, "90", "att_3")
    assert told(books)[1:] == [("25.00", "30.00")]


def test_without_a_limit_it_is_told_when_nothing_is_left(store: Store) -> None:
    books = opened(store)
    assert told(books) == [], "who never had anything is not told that nothing is left"
    pay(books, "10")
    assert told(books) == []
    hold(books, "10", "att_1")
    assert told(books) == told(books) == [("0.00", "0.00")]


def test_a_new_limit_is_looked_at_anew(store: Store) -> None:
    books = opened(store)
    pay(books, "10")
    set_alert(books, OWNER, ORG, yuan("5"))
    assert told(books) == []
    set_alert(books, OWNER, ORG, yuan("20"))
    assert get_alert(books, OWNER, ORG) == yuan("20")
    assert told(books) == [("10.00", "20.00")]


def test_owners_set_it_and_others_do_not(sqlite_store: Store) -> None:
    books = opened(sqlite_store)
    with pytest.raises(Forbidden):
        set_alert(books, MEMBER, ORG, yuan("1"))
    with pytest.raises(NotFound):
        set_alert(books, STRANGER, ORG, yuan("1"))
    with pytest.raises(InvalidInput):
        set_alert(books, OWNER, ORG, Money(-1))
