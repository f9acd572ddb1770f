"""Holds set money aside once: what is charged is not counted again, what is left comes back."""

from __future__ import annotations

import pytest
from tests.store.ledger.books import (
    CLERK,
    MEMBER,
    ORG,
    STRANGER,
    books_are_right,
    has,
    opened,
    pay,
    use,
    yuan,
)

from pearlstreet.base.errors import BugError, NotFound, PaymentRequired
from pearlstreet.base.money import Money
from pearlstreet.base.text import text
from pearlstreet.ledger.funds import balance, check_affordable, set_credit_limit
from pearlstreet.ledger.holds import extend_hold, place_hold, settle_hold
from pearlstreet.ledger.posting import post_due_spans
from pearlstreet.ledger.spans import refund_attempt
from pearlstreet.store.core import Store


def hold(store: Store, amount: str, reference: str = "att_1") -> str:
    return store.write(lambda tx: place_hold(tx, ORG, yuan(amount), reference))


def test_a_hold_needs_what_it_sets_aside(store: Store) -> None:
    books = opened(store)
    pay(books, "10")
    hold(books, "7")
    with pytest.raises(PaymentRequired, match=r"needs ¥4.00 and ¥3.00 is available"):
        hold(books, "4", "att_2")
    hold(books, "3", "att_2")
    assert has(books).available == Money(0)
    assert has(books).balance == yuan("10")


def test_placing_it_again_sets_nothing_more_aside(sqlite_store: Store) -> None:
    books = opened(sqlite_store)
    pay(books, "10")
    assert hold(books, "7") == hold(books, "7")
    assert has(books).held == yuan("7")


def test_a_charge_uses_its_hold_up(store: Store) -> None:
    books = opened(store)
    pay(books, "10")
    hold(books, "7")
    use(books, 100)
    post_due_spans(books)
    assert (has(books).balance, has(books).held, has(books).available) == (yuan("8"), yuan("5"), yuan("3"))
    books_are_right(books)


def test_settling_charges_what_is_not_posted_yet_and_frees_the_rest(store: Store) -> None:
    books = opened(store)
    pay(books, "10")
    hold_id = hold(books, "7")
    use(books, 100)
    assert books.write(lambda tx: settle_hold(tx, hold_id)) == yuan("5")
    assert (has(books).balance, has(books).held) == (yuan("8"), Money(0))
    assert books.write(lambda tx: settle_hold(tx, hold_id)) == Money(0)
    books_are_right(books)


def test_use_beyond_the_hold_is_still_charged(store: Store) -> None:
    books = opened(store)
    pay(books, "1")
    hold_id = hold(books, "1")
    use(books, 100)
    post_due_spans(books)
    assert (has(books).balance, has(books).held) == (yuan("-1"), Money(0))
    books.write(lambda tx: settle_hold(tx, hold_id))
    books_are_right(books)


def test_extending_takes_the_difference_or_nothing(store: Store) -> None:
    books = opened(store)
    pay(books, "10")
    hold_id = hold(books, "4")
    use(books, 100)
    post_due_spans(books)
    assert books.write(lambda tx: extend_hold(tx, hold_id, yuan("10")))
    assert has(books).held == yuan("8")
    assert not books.write(lambda tx: extend_hold(tx, hold_id, yuan("10.000001")))
    assert has(books).held == yuan("8")
    assert books.write(lambda tx: extend_hold(tx, hold_id, yuan("1")))
    assert has(books).held == yuan("8")


def test_a_settled_hold_is_not_extended(sqlite_store: Store) -> None:
    books = opened(sqlite_store)
    pay(books, "10")
    hold_id = hold(books, "4")
    books.write(lambda tx: settle_hold(tx, hold_id))
    with pytest.raises(BugError):
        books.write(lambda tx: extend_hold(tx, hold_id, yuan("5")))


def test_a_credit_limit_lets_it_go_below_zero_that_far(store: Store) -> None:
    books = opened(store)
    set_credit_limit(books, CLERK, ORG, yuan("5"))
    hold(books, "5")
    with pytest.raises(PaymentRequired):
        hold(books, "0.01", "att_2")
    use(books, 100)
    post_due_spans(books)
    assert has(books).balance == yuan("-2")
    pay(books, "3")
    assert has(books).balance == yuan("1")
    books_are_right(books)


def test_an_hour_must_be_affordable(store: Store) -> None:
    books = opened(store)
    with pytest.raises(PaymentRequired, match=r"needs ¥0.000001"):
        books.read(lambda tx: check_affordable(tx, ORG, Money(1)))
    books.read(lambda tx: check_affordable(tx, ORG, Money(0)))
    pay(books, "2")
    books.read(lambda tx: check_affordable(tx, ORG, yuan("2")))
    hold(books, "1")
    with pytest.raises(PaymentRequired):
        books.read(lambda tx: check_affordable(tx, ORG, yuan("1.5")))


def test_refunded_work_gives_the_hold_and_the_money_back(store: Store) -> None:
    books = opened(store)
    pay(books, "10")
    hold_id = hold(books, "7")
    use(books, 60)
    post_due_spans(books)
    use(books, 40, first=60)
    lost = text("The node failed")
    assert books.write(lambda tx: refund_attempt(tx, "att_1", lost)) == yuan("1.2")
    books.write(lambda tx: settle_hold(tx, hold_id))
    assert (has(books).balance, has(books).held) == (yuan("10"), Money(0))
    assert books.write(lambda tx: refund_attempt(tx, "att_1", lost)) == Money(0)
    assert has(books).balance == yuan("10")
    books_are_right(books)


def test_a_balance_is_for_those_who_may_see_it(sqlite_store: Store) -> None:
    books = opened(sqlite_store)
    pay(books, "10")
    assert balance(books, MEMBER, ORG).available == yuan("10")
    with pytest.raises(NotFound):
        balance(books, STRANGER, ORG)
