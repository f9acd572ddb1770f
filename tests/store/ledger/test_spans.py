"""Use is appended once, in order, without overlap or gap."""

from __future__ import annotations

from contextlib import suppress

import pytest
import sqlalchemy as sa
from tests.store.ledger.books import NOON, ORG, OTHER, books_are_right, cpu_span, has, opened, use

from pearlstreet.base.errors import BugError, InvalidInput
from pearlstreet.base.text import text
from pearlstreet.ledger.model import Unit
from pearlstreet.ledger.posting import post_due_spans
from pearlstreet.ledger.spans import TOPIC, append_span, spans_of
from pearlstreet.ledger.tables import streams
from pearlstreet.store.core import Store, Tx


def test_the_same_span_again_is_not_used_twice(store: Store) -> None:
    books = opened(store)
    use(books, 3)
    use(books, 3)
    assert len(books.read(lambda tx: spans_of(tx, ORG, "job_1"))) == 3
    assert post_due_spans(books) == 3
    use(books, 3)
    assert post_due_spans(books) == 0
    assert has(books).balance.micro == -60_000


@pytest.mark.parametrize(
    "change",
    [
        {"amount": 20_000},
        {"end_us": NOON + 61_000_000},
        {"pflops": 1.5},
        {"org_id": OTHER},
        {"project_id": "prj_b"},
        {"reference": "job_2"},
    ],
)
def test_another_span_under_the_same_key_is_refused(sqlite_store: Store, change: dict[str, object]) -> None:
    books = opened(sqlite_store)
    use(books, 1)
    other = cpu_span(books, 0, **change)
    with pytest.raises(BugError):
        books.write(lambda tx: append_span(tx, other))


@pytest.mark.parametrize(
    ("sequence", "start", "end"),
    [(1, 61, 120), (1, 59, 120), (2, 60, 120), (1, 120, 60)],
    ids=["gap", "overlap", "a sequence left out", "backwards"],
)
def test_spans_of_a_stream_run_on(store: Store, sequence: int, start: int, end: int) -> None:
    books = opened(store)
    use(books, 1)
    wrong = cpu_span(books, sequence, start_us=NOON + start * 1_000_000, end_us=NOON + end * 1_000_000)
    with pytest.raises(BugError):
        books.write(lambda tx: append_span(tx, wrong))
    use(books, 1, first=1)
    assert [kept.span.sequence for kept in books.read(lambda tx: spans_of(tx, ORG, "job_1"))] == [0, 1]


def test_a_stream_starts_at_zero(sqlite_store: Store) -> None:
    books = opened(sqlite_store)
    with pytest.raises(BugError, match="sequence 0"):
        use(books, 1, first=1)


def test_use_without_a_price_is_refused_when_it_is_reported(sqlite_store: Store) -> None:
    books = opened(sqlite_store)
    water = cpu_span(books, 0, resource="water")
    with pytest.raises(InvalidInput, match="no price for water"):
        books.write(lambda tx: append_span(tx, water))


def test_use_without_a_price_leaves_nothing_in_a_transaction_that_goes_on(sqlite_store: Store) -> None:
    books = opened(sqlite_store)
    water = cpu_span(books, 0, resource="water")

    def command(tx: Tx) -> None:
        with suppress(InvalidInput):
            append_span(tx, water)

    books.write(command)
    assert books.read(lambda tx: tx.rows(sa.select(streams))) == []
    use(books, 1)
    later = cpu_span(books, 1, resource="cpu", unit=Unit.TOKENS)
    with suppress(InvalidInput):
        books.write(lambda tx: append_span(tx, later))
    use(books, 1, first=1)
    books_are_right(books)


def test_use_that_is_not_billed_costs_nothing_and_says_why(store: Store) -> None:
    books = opened(store)
    use(books, 2)
    use(books, 2, first=2, billable=False, why_not=text("Saving its work because the center stops it"))
    use(books, 1, first=4)
    post_due_spans(books)
    assert has(books).balance.micro == -60_000
    kept = books.read(lambda tx: spans_of(tx, ORG, "job_1"))
    why = [one.span.why_not for one in kept]
    assert [str(one or "") for one in why] == [
        "",
        "",
        *["Saving its work because the center stops it"] * 2,
        "",
    ]
    assert why[2] is not None
    assert why[2].render("zh-CN") == "因中心停止它而保存工作"
    books_are_right(books)


def test_spans_of_another_organisation_are_not_seen(sqlite_store: Store) -> None:
    books = opened(sqlite_store)
    use(books, 1)
    assert books.read(lambda tx: spans_of(tx, OTHER, "job_1")) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"end_us": NOON - 1}, "use runs forward"),
        ({"amount": -1}, "use runs forward"),
        ({"unit": Unit.TOKENS, "start_us": 0, "end_us": 0}, "a counted span has a time"),
    ],
    ids=["ends before it starts", "less than nothing", "without a time"],
)
def test_use_that_cannot_have_been_is_refused(
    sqlite_store: Store, change: dict[str, object], told: str
) -> None:
    books = opened(sqlite_store)
    wrong = cpu_span(books, 0, **change)
    with pytest.raises(BugError, match=f"{told}.*compute/att_1/cpu/0"):
        books.write(lambda tx: append_span(tx, wrong))
    assert books.read(lambda tx: tx.rows(sa.select(streams))) == []


def test_use_of_no_time_and_of_nothing_is_kept(sqlite_store: Store) -> None:
    books = opened(sqlite_store)
    nothing = cpu_span(books, 0, end_us=NOON, amount=0)
    books.write(lambda tx: append_span(tx, nothing))
    assert [kept.span.amount for kept in books.read(lambda tx: spans_of(tx, ORG, "job_1"))] == [0]


def test_only_use_that_is_billed_wakes_the_posting(sqlite_store: Store) -> None:
    books = opened(sqlite_store)
    woken: list[None] = []
    books.hints.listen(TOPIC, lambda: woken.append(None))
    use(books, 1, billable=False, why_not=text("Saving its work because the center stops it"))
    assert woken == []
    use(books, 1, first=1)
    assert woken == [None]


def test_spans_of_another_job_are_not_among_them(sqlite_store: Store) -> None:
    books = opened(sqlite_store)
    use(books, 1)
    use(books, 2, external_id="att_2", reference="job_2")
    assert len(books.read(lambda tx: spans_of(tx, ORG, "job_2"))) == 2


def test_a_repeated_span_is_compared_with_its_own_stream(sqlite_store: Store) -> None:
    books = opened(sqlite_store)
    use(books, 1)
    use(books, 1, external_id="att_2", amount=500)
    use(books, 1, external_id="att_2", amount=500)
    assert len(books.read(lambda tx: spans_of(tx, ORG, "job_1"))) == 2
