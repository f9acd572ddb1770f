"""The statement shows every change of the balance, and what use it came from."""

from __future__ import annotations

from itertools import pairwise

import pytest
from tests.store.ledger.books import CLERK, MEMBER, NOON, ORG, STRANGER, at, cpu_span, opened, pay, use, yuan

from pearlstreet.base.errors import NotFound
from pearlstreet.base.text import text
from pearlstreet.ledger.invoices.model import decimal_text
from pearlstreet.ledger.posting import post_due_spans
from pearlstreet.ledger.spans import refund_attempt, spans_of
from pearlstreet.ledger.statement import Line, statement
from pearlstreet.ledger.topups import top_up
from pearlstreet.store.core import Store

GOLDEN = """\
5 refund +1.00 = 49.50 Refund of cpu of job_1: The node failed [cpu 0-49 -8.333333 core·h]
4 charge -0.50 = 48.50 cpu of job_2 [cpu 0-24 4.166667 core·h]
3 charge -1.00 = 49.00 cpu of job_1 [cpu 0-49 8.333333 core·h]
2 grant +20.00 = 50.00 Promotional grant: welcome
1 top_up +30.00 = 30.00 Top-up: transfer 77"""


def _busy(store: Store) -> Store:

    books = opened(store)
    top_up(books, CLERK, ORG, yuan("30"), memo="transfer 77")
    top_up(books, CLERK, ORG, yuan("20"), memo="welcome", promotion=True)
    use(books, 50)
    use(books, 25, external_id="att_2", reference="job_2")
    post_due_spans(books)
    books.write(lambda tx: refund_attempt(tx, "att_1", text("The node failed")))
    return books


def _shown(line: Line) -> str:
    sign = "+" if line.amount.micro > 0 else ""
    shown = f"{line.seq} {line.kind} {sign}{line.amount} = {line.balance} {line.memo}"
    if line.detail is None:
        return shown
    use_of = line.detail
    sequences = f"{use_of.first_sequence}-{use_of.last_sequence}"
    return f"{shown} [{use_of.resource} {sequences} {decimal_text(use_of.quantity)} {use_of.unit}]"


def test_the_statement_reads_as_it_always_did(store: Store) -> None:
    books = _busy(store)
    assert "\n".join(_shown(line) for line in statement(books, MEMBER, ORG)) == GOLDEN


def test_it_pages_without_a_gap_or_a_double(sqlite_store: Store) -> None:
    books = _busy(sqlite_store)
    seen: list[Line] = []
    while part := statement(books, MEMBER, ORG, limit=2, before_seq=seen[-1].seq if seen else None):
        seen += part
    assert [line.seq for line in seen] == [5, 4, 3, 2, 1]
    for newer, older in pairwise(seen):
        assert newer.balance - newer.amount == older.balance


def test_each_charge_leads_to_its_spans(sqlite_store: Store) -> None:
    books = _busy(sqlite_store)
    line = next(line for line in statement(books, MEMBER, ORG) if line.kind == "charge")
    assert line.detail is not None
    kept = books.read(lambda tx: spans_of(tx, ORG, line.detail.reference))
    found = [one.span for one in kept if one.span.external_id == line.detail.external_id]
    assert found == [cpu_span(books, n, external_id="att_2", reference="job_2") for n in range(25)]


def test_it_can_be_asked_for_a_stretch_of_time(sqlite_store: Store) -> None:
    books = _busy(sqlite_store)
    pay(at(books, NOON + 1000), "5")
    later = statement(books, MEMBER, ORG, from_us=NOON + 1)
    assert [str(line.amount) for line in later] == ["5.00"]
    assert len(statement(books, MEMBER, ORG, to_us=NOON + 1)) == 5


def test_a_strangers_statement_is_not_there(sqlite_store: Store) -> None:
    with pytest.raises(NotFound):
        statement(_busy(sqlite_store), STRANGER, ORG)
