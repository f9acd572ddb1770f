"""Money comes in by one person up to a limit, by two above it, and every step is in the audit log."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from tests.store.ledger.books import (
    CLERK,
    MEMBER,
    ORG,
    OTHER,
    OWNER,
    SECOND,
    STRANGER,
    books_are_right,
    has,
    opened,
    yuan,
)

from pearlstreet.base.errors import Conflict, Forbidden, InvalidInput, NotFound
from pearlstreet.base.money import Money
from pearlstreet.ledger.model import Party, Site, TxKind
from pearlstreet.ledger.site import get_buyer, read_site, set_buyer, set_site
from pearlstreet.ledger.topups import (
    TopUpState,
    approve_top_up,
    correct,
    list_top_ups,
    reject_top_up,
    top_up,
)
from pearlstreet.store import audit
from pearlstreet.store.core import Store
from pearlstreet.store.tables import audit as audit_rows


def actions(store: Store) -> list[tuple[str, str]]:
    query = sa.select(audit_rows.c.actor, audit_rows.c.action).order_by(audit_rows.c.seq)
    return [(row["actor"], row["action"]) for row in store.read(lambda tx: tx.rows(query))]


def test_a_top_up_up_to_the_limit_counts_at_once(store: Store) -> None:
    books = opened(store)
    made = top_up(books, CLERK, ORG, yuan("10000"), memo="transfer 1")
    assert (made.state, has(books).balance) == (TopUpState.POSTED, yuan("10000"))
    assert actions(books) == [("clerk", "credit.top_up")]
    books_are_right(books)


def test_one_above_it_waits_for_somebody_else(store: Store) -> None:
    books = opened(store)
    made = top_up(books, CLERK, ORG, yuan("10000.01"))
    assert (made.state, has(books).balance) == (TopUpState.PENDING, Money(0))
    with pytest.raises(Forbidden, match="another operator"):
        approve_top_up(books, CLERK, made.id)
    with pytest.raises(Forbidden):
        approve_top_up(books, OWNER, made.id)
    done = approve_top_up(books, SECOND, made.id)
    assert (done.state, done.decided_by, has(books).balance) == (
        TopUpState.POSTED,
        "second",
        yuan("10000.01"),
    )
    with pytest.raises(Conflict):
        approve_top_up(books, SECOND, made.id)
    assert has(books).balance == yuan("10000.01")
    assert actions(books) == [("clerk", "credit.top_up"), ("second", "credit.approve")]
    assert books.read(audit.verify).problem is None
    books_are_right(books)


def test_a_rejected_top_up_never_counts(store: Store) -> None:
    books = opened(store)
    made = top_up(books, CLERK, ORG, yuan("20000"))
    assert reject_top_up(books, CLERK, made.id).state is TopUpState.REJECTED
    with pytest.raises(Conflict):
        approve_top_up(books, SECOND, made.id)
    assert has(books).balance == Money(0)
    books_are_right(books)


def test_a_grant_is_promotion_not_money_in_the_bank(sqlite_store: Store) -> None:
    books = opened(sqlite_store)
    assert top_up(books, CLERK, ORG, yuan("50"), promotion=True).kind is TxKind.GRANT
    assert has(books).balance == yuan("50")
    books_are_right(books)


@pytest.mark.parametrize("amount", ["0", "-5", "1000000000.01"])
def test_amounts_that_cannot_be_right_are_refused(sqlite_store: Store, amount: str) -> None:
    with pytest.raises(InvalidInput):
        top_up(opened(sqlite_store), CLERK, ORG, yuan(amount))


def test_who_may_not_may_not(sqlite_store: Store) -> None:
    books = opened(sqlite_store)
    for actor in (MEMBER, OWNER, STRANGER):
        with pytest.raises(Forbidden):
            top_up(books, actor, ORG, yuan("1"))
    with pytest.raises(NotFound):
        top_up(books, CLERK, "org_nowhere", yuan("1"))
    with pytest.raises(NotFound):
        approve_top_up(books, CLERK, "topup_nowhere")
    with pytest.raises(NotFound):
        list_top_ups(books, STRANGER, ORG)


def test_the_list_is_newest_first_and_pages(sqlite_store: Store) -> None:
    books = opened(sqlite_store)
    made = [top_up(books, CLERK, ORG, Money(index + 1)).id for index in range(5)]
    top_up(books, CLERK, OTHER, Money(9))
    newest = sorted(made, reverse=True)
    first = list_top_ups(books, MEMBER, ORG, limit=3)
    rest = list_top_ups(books, MEMBER, ORG, before_id=first[-1].id)
    assert [one.id for one in [*first, *rest]] == newest
    assert len(list_top_ups(books, CLERK)) == 6


def test_a_correction_is_a_new_transaction_made_once(store: Store) -> None:
    books = opened(store)
    top_up(books, CLERK, ORG, yuan("10"))
    first = correct(books, CLERK, ORG, yuan("-3"), memo="paid in twice", reference="c1")
    assert correct(books, CLERK, ORG, yuan("-3"), memo="paid in twice", reference="c1") == first
    assert has(books).balance == yuan("7")
    with pytest.raises(Conflict, match="another correction"):
        correct(books, CLERK, ORG, yuan("-4"), memo="paid in twice", reference="c1")
    assert has(books).balance == yuan("7")
    with pytest.raises(InvalidInput):
        correct(books, CLERK, ORG, yuan("1"), memo=" ", reference="c2")
    with pytest.raises(Forbidden, match="top-up"):
        correct(books, CLERK, ORG, yuan("10000.01"), memo="much", reference="c3")
    books_are_right(books)


def test_the_limit_is_the_centers_to_set(store: Store) -> None:
    books = opened(store)
    assert books.read(read_site) == Site()
    site = Site(seller=Party(name="明珠算力", tax_id="91310000MA1FL00000"), approval_above=yuan("1"))
    assert set_site(books, CLERK, site) == books.read(read_site) == site
    assert top_up(books, CLERK, ORG, yuan("1.01")).state is TopUpState.PENDING
    with pytest.raises(Forbidden):
        set_site(books, OWNER, site)
    with pytest.raises(InvalidInput) as wrong:
        set_site(books, CLERK, Site(seller=Party(tax_id="12"), tax_rate_bp=9999, invoice_prefix="?"))
    fields = {problem.field for problem in wrong.value.problems}
    assert fields == {"seller.tax_id", "tax_rate_bp", "invoice_prefix"}
    with pytest.raises(InvalidInput, match="no time zone"):
        set_site(books, CLERK, Site(time_zone="Asia/Atlantis"))


def test_an_owner_says_how_the_organisation_is_named(sqlite_store: Store) -> None:
    books = opened(sqlite_store)
    party = Party(name="海鸥科技", tax_id="91310000MA1FL11111")
    set_buyer(books, OWNER, ORG, party)
    assert get_buyer(books, MEMBER, ORG) == party
    with pytest.raises(Forbidden):
        set_buyer(books, MEMBER, ORG, party)
    with pytest.raises(NotFound):
        get_buyer(books, STRANGER, ORG)
