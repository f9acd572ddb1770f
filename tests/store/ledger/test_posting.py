"""Due spans become charges exactly once, at the prices fixed for them, whatever the batches are."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from tests.store.ledger.books import (
    CLERK,
    NOON,
    ORG,
    OTHER,
    OWNER,
    PROJECT,
    at,
    books_are_right,
    cpu_span,
    has,
    opened,
    shanghai_us,
    use,
    use_at,
    yuan,
)

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import BugError
from pearlstreet.base.money import Money
from pearlstreet.base.text import text
from pearlstreet.ledger import chart
from pearlstreet.ledger.book import post, post_one
from pearlstreet.ledger.budgets import Budget, set_budget, spent
from pearlstreet.ledger.loops import ledger_loops
from pearlstreet.ledger.model import Draft, Entry, TxKind, Unit
from pearlstreet.ledger.posting import post_due_spans, post_spans
from pearlstreet.ledger.prices import current_prices, parse_prices, prices, publish_prices, write_prices
from pearlstreet.ledger.spans import append_span
from pearlstreet.ledger.statement import cost_of
from pearlstreet.ledger.tables import IS_DUE, charges, spans
from pearlstreet.store import outbox
from pearlstreet.store.core import Store, Tx

SECOND = US_PER_S


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 1000])
def test_batches_of_any_size_bill_the_same(sqlite_store: Store, batch: int) -> None:
    """0.12 yuan a core-hour for 7 s of one core is 233.3 micro-yuan: rounding each span would lose the thirds."""
    books = opened(sqlite_store)
    moments = [NOON + index * 7 * SECOND for index in range(31)]
    use_at(books, "att_1", *moments, amount=1000)
    while post_due_spans(books, batch):
        pass
    assert has(books).balance.micro == -7000
    books_are_right(books)


def test_posting_is_done_once_even_when_asked_for_twice(store: Store) -> None:
    books = opened(store)
    use(books, 10)
    assert post_due_spans(books) == 10
    assert post_due_spans(books) == 0
    assert has(books).balance == yuan("-0.2")


def test_posting_for_one_tenant_or_attempt_leaves_the_rest_due(store: Store) -> None:
    books = opened(store)
    places = {"att_1": ORG, "att_2": ORG, "att_3": OTHER}

    def use_all(tx: Tx) -> None:
        for attempt, org_id in places.items():
            append_span(
                tx, cpu_span(books, 0, external_id=attempt, org_id=org_id, reference=f"job_{attempt}")
            )

    books.write(use_all)
    assert books.write(lambda tx: post_spans(tx, external_id="att_2")) == 1
    assert (has(books).balance, has(books, OTHER).balance) == (yuan("-0.02"), yuan("0"))
    assert books.write(lambda tx: post_spans(tx, org_id=OTHER)) == 1
    assert (has(books).balance, has(books, OTHER).balance) == (yuan("-0.02"), yuan("-0.02"))
    assert books.write(lambda tx: post_spans(tx, external_id="att_1", org_id=OTHER)) == 0
    assert post_due_spans(books) == 1, "what was left is still due"
    assert has(books).balance == yuan("-0.04")
    books_are_right(books)


def test_the_loop_posts_what_is_due(store: Store) -> None:
    books = opened(store)
    use(books, 10)
    loop = next(loop for loop in ledger_loops() if loop.name == "ledger-posting")
    assert loop.step(books) is False
    assert has(books).balance == yuan("-0.2")
    assert "spans" in loop.hints


def test_a_price_change_leaves_running_work_alone(store: Store) -> None:
    books = opened(store)
    before = books.read(current_prices)
    use(books, 5)
    dearer = parse_prices(write_prices(before).replace('"0.12"', '"1.20"'))
    published = publish_prices(books, CLERK, dearer)
    assert books.read(current_prices) == published
    use(books, 5, first=5)
    assert (post_due_spans(books), has(books).balance) == (10, yuan("-0.2"))
    use(books, 10, external_id="att_2", price_version_id=published.id)
    post_due_spans(books)
    assert has(books).balance == yuan("-2.2")
    books_are_right(books)


def test_a_list_may_be_valid_later(store: Store) -> None:
    books = opened(store)
    old = books.read(current_prices)
    new = publish_prices(books, CLERK, old.rules, valid_from_us=NOON + SECOND)
    assert books.read(current_prices).id == old.id
    assert at(books, NOON + SECOND).read(current_prices).id == new.id
    assert books.read(lambda tx: prices(tx, old.id)).rules == old.rules


def test_use_across_the_end_of_a_month_is_billed_to_both(store: Store) -> None:
    midnight = shanghai_us(2026, 12, 1)
    books = opened(store, midnight + 3600 * SECOND)
    use_at(books, "att_1", midnight - 3600 * SECOND, midnight + 1800 * SECOND)
    post_due_spans(books)
    read = [books.read(lambda tx, m=month: spent(tx, ORG, m)) for month in ("2026-11", "2026-12")]
    assert read == [yuan("1.2"), yuan("0.6")]
    books_are_right(books)


def test_a_gib_costs_the_same_in_february_as_in_march(sqlite_store: Store) -> None:
    months = [shanghai_us(2026, 2, 1), shanghai_us(2026, 3, 1), shanghai_us(2026, 4, 1)]
    books = opened(sqlite_store, months[-1])
    use_at(books, "disk", *months, resource="storage", unit=Unit.STORAGE_BYTES, amount=100 * 2**30)
    post_due_spans(books)
    read = [books.read(lambda tx, m=month: spent(tx, ORG, m)) for month in ("2026-02", "2026-03")]
    assert read == [yuan("60"), yuan("60")]
    books_are_right(books)


def test_cards_are_priced_by_compute_where_it_is_known(sqlite_store: Store) -> None:
    books = opened(sqlite_store)
    hour = (NOON, NOON + 3600 * SECOND)
    card = {"resource": "accelerator/h100-sxm-80g", "unit": Unit.CARD_BP, "amount": 20_000}
    use_at(books, "att_1", *hour, **card, pflops=0.5934, pflops_basis="assumed")
    use_at(books, "att_2", *hour, **card)
    post_due_spans(books)
    costs = books.read(lambda tx: cost_of(tx, ORG, "job_1"))
    assert [(float(line.quantity), str(line.unit), str(line.amount)) for line in costs] == [
        (1.1868, "PFLOPS·h", "29.67"),
        (2.0, "card·h", "10.00"),
    ]
    books_are_right(books)


def test_a_budget_tells_each_threshold_once(store: Store) -> None:
    books = opened(store)
    set_budget(books, OWNER, Budget(PROJECT, ORG, yuan("1")))
    for first in range(0, 60, 10):
        use(books, 10, first=first)
        post_due_spans(books)
    events = books.read(lambda tx: outbox.pending(tx, "test"))
    told = [event["payload"]["percent"] for event in events if event["topic"] == "budget.reached"]
    assert told == [50, 80, 100]


def test_looking_for_due_spans_does_not_read_the_posted_ones(sqlite_store: Store) -> None:
    books = opened(sqlite_store)
    query = sa.select(spans.c.amount).where(IS_DUE).order_by(spans.c.id)
    written = query.compile(books.database.engine)
    given = tuple(written.params.values())
    plan = books.read(
        lambda tx: str(tx.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {written}", given).all())
    )
    assert "ix_ledger_spans_due" in plan


def _draft(reference: str, amount: int, *, org_id: str = ORG, other: int | None = None) -> Draft:
    money = Money(amount)
    side = Entry(chart.BANK, Money(amount if other is None else other))
    return Draft(TxKind.TOP_UP, reference, text("test"), org_id=org_id, funds=money, entries=(side,))


def test_a_transaction_that_does_not_balance_is_refused(store: Store) -> None:
    books = opened(store)
    with pytest.raises(BugError, match="sum to zero"):
        books.write(lambda tx: post_one(tx, _draft("a", 100, other=99)))
    assert has(books).balance == Money(0)


def test_a_reference_is_written_once(store: Store) -> None:
    books = opened(store)
    first, again = books.write(lambda tx: post(tx, [_draft("a", 100), _draft("a", 100)]))
    assert (first.fresh, again.fresh, again.id) == (True, False, first.id)
    later = books.write(lambda tx: post_one(tx, _draft("a", 100)))
    assert (later.fresh, later.id) == (False, first.id)
    assert has(books).balance == Money(100)
    with pytest.raises(BugError, match="one transaction only"):
        books.write(lambda tx: post_one(tx, _draft("a", 101)))
    with pytest.raises(BugError, match="one transaction only"):
        books.write(lambda tx: post_one(tx, _draft("a", 100, org_id=OTHER)))


def test_a_failed_command_leaves_no_trace(store: Store) -> None:
    books = opened(store)

    def command(tx):  # type: ignore[no-untyped-def]
        post_one(tx, _draft("a", 100))
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        books.write(command)
    assert has(books).balance == Money(0)
    books_are_right(books)


def test_amounts_beyond_the_column_are_refused(sqlite_store: Store) -> None:
    books = opened(sqlite_store)
    books.write(lambda tx: post_one(tx, _draft("a", 2**62)))
    with pytest.raises(BugError, match="fit the books"):
        books.write(lambda tx: post_one(tx, _draft("b", 2**62)))


def test_a_span_of_years_posts_in_one_piece(sqlite_store: Store) -> None:
    books = opened(sqlite_store)
    start, end = shanghai_us(2024, 1, 1), shanghai_us(2026, 1, 1)
    use_at(books, "att_1", start, end, amount=1000)
    post_due_spans(books)
    assert has(books).balance == yuan("-2105.28")
    books_are_right(books)


def test_charges_are_numbered_from_one_without_gaps_and_named_as_charges(sqlite_store: Store) -> None:
    books = opened(sqlite_store)
    for minute in range(3):
        use(books, 1, first=minute)
        post_due_spans(books)
    rows = books.read(lambda tx: tx.rows(sa.select(charges).order_by(charges.c.seq)))
    assert [row["seq"] for row in rows] == [1, 2, 3]
    assert all(row["id"].startswith("chg_") for row in rows)
    assert all(row["refunds_id"] is None and row["invoice_id"] is None for row in rows)


def test_a_price_for_a_million_is_divided_by_it(sqlite_store: Store) -> None:
    """2 yuan for 1,000,000 tokens: 1,500,000 tokens cost 3 yuan."""
    books = opened(sqlite_store)
    listed = write_prices(books.read(current_prices)).rstrip()
    tokens = '\n[[price]]\nresource = "tokens"\nkind = "count"\nyuan = "2"\nper = 1000000\n'
    published = publish_prices(books, CLERK, parse_prices(listed + tokens))
    span = cpu_span(
        books, 0, resource="tokens", unit=Unit.TOKENS, amount=1_500_000, price_version_id=published.id
    )
    books.write(lambda tx: append_span(tx, span))
    post_due_spans(books)
    assert has(books).balance == -yuan("3")
    books_are_right(books)
