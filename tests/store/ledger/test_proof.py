"""The proof finds every kind of tampering and names the row; triggers refuse the plain ones at once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.conftest import make_store
from tests.store.ledger.books import (
    AUDITOR,
    CLERK,
    NOON,
    ORG,
    OWNER,
    at,
    books_are_right,
    opened,
    pay,
    shanghai_us,
    use,
    use_at,
    yuan,
)

from pearlstreet.base.errors import Forbidden
from pearlstreet.base.text import text
from pearlstreet.ledger import guards
from pearlstreet.ledger.holds import place_hold
from pearlstreet.ledger.invoices.service import issue_invoice
from pearlstreet.ledger.posting import post_due_spans
from pearlstreet.ledger.proof import proof
from pearlstreet.ledger.spans import refund_attempt
from pearlstreet.store.core import Store
from pearlstreet.store.database import Database


def busy(store: Store) -> Store:
    """Books with something of everything."""
    books = opened(store)
    pay(books, "100")
    use_at(books, "att_0", shanghai_us(2026, 10, 31, 23), shanghai_us(2026, 11, 1, 1))
    post_due_spans(books)
    issue_invoice(books, CLERK, ORG, "2026-10", energy=None)
    books.write(lambda tx: place_hold(tx, ORG, yuan("3"), "att_1"))
    use(books, 10)
    use(books, 5, external_id="att_2")
    use(books, 1, external_id="att_3", billable=False, why_not=text("maintenance"))
    post_due_spans(books)
    books.write(lambda tx: refund_attempt(tx, "att_2", text("The node failed")))
    use(books, 2, first=10)
    books_are_right(books)
    return books


def tamper(store: Store, statement: str) -> None:
    """What somebody with the database in hand could do: drop the triggers and constraints' effect, then change."""

    def command(tx):  # type: ignore[no-untyped-def]
        sqlite = tx.connection.dialect.name == "sqlite"
        for table, _ in guards._NEVER:
            for name in ("fixed", "kept"):
                suffix = "" if sqlite else f" ON {table.name}"
                tx.connection.exec_driver_sql(f"DROP TRIGGER {table.name}_{name}{suffix}")
        assert tx.connection.exec_driver_sql(statement).rowcount >= 1

    store.write(command)


CHANGES = {
    "an entry is larger": (
        "UPDATE ledger_entries SET amount_micro = amount_micro + 1 WHERE tx_seq = 1 AND line = 0",
        "transaction 1",
    ),
    "both sides are larger": (
        "UPDATE ledger_entries SET amount_micro = amount_micro * 2 WHERE tx_seq = 1",
        "transaction 1",
    ),
    "an entry is gone": ("DELETE FROM ledger_entries WHERE tx_seq = 2 AND line = 1", "transaction 2"),
    "entries moved to another organisation": (
        "UPDATE ledger_transactions SET org_id = 'org_b' WHERE seq = 2",
        "transaction 2",
    ),
    "a running balance": (
        "UPDATE ledger_transactions SET funds_after_micro = funds_after_micro + 1 WHERE seq = 3",
        "transaction 3",
    ),
    "an account's balance": (
        "UPDATE ledger_accounts SET balance_micro = balance_micro + 1 WHERE id = 'bank'",
        "account bank",
    ),
    "an account's kind": ("UPDATE ledger_accounts SET kind = 'equity' WHERE id = 'bank'", "account bank"),
    "the balance at submit": (
        "UPDATE ledger_funds SET balance_micro = balance_micro + 1 WHERE org_id = 'org_a'",
        "funds of org_a",
    ),
    "what is held": (
        "UPDATE ledger_funds SET held_micro = held_micro - 1 WHERE org_id = 'org_a'",
        "funds of org_a",
    ),
    "a hold's use": ("UPDATE ledger_holds SET used_micro = used_micro + 1", "funds of org_a"),
    "a span is longer": (
        "UPDATE ledger_spans SET end_us = end_us + 1 WHERE stream_id = 2 AND sequence = 3",
        "span 2/4",
    ),
    "a span used more": (
        "UPDATE ledger_spans SET amount = amount + 1 WHERE stream_id = 2 AND sequence = 3",
        "charge chg",
    ),
    "a span is not billed": (
        "UPDATE ledger_spans SET state = 'free', why_not = 'x', charge_id = NULL "
        "WHERE stream_id = 2 AND sequence = 3",
        "charge chg",
    ),
    "a span is posted twice": (
        "UPDATE ledger_spans SET state = 'posted', charge_id = (SELECT MIN(id) FROM ledger_charges) "
        "WHERE stream_id = 2 AND sequence = 11",
        "span 2/11",
    ),
    "the last span is gone": ("DELETE FROM ledger_spans WHERE stream_id = 2 AND sequence = 11", "stream 2"),
    "a price": ("UPDATE ledger_price_rules SET micro = micro * 2 WHERE resource = 'cpu'", "charge chg"),
    "a charge's amount": (
        "UPDATE ledger_charges SET amount_micro = amount_micro + 1 WHERE stream_id = 2",
        "charge chg",
    ),
    "a charge's month": ("UPDATE ledger_charges SET month = '2026-12' WHERE stream_id = 2", "charge chg"),
    "a charge's transaction": (
        "UPDATE ledger_charges SET tx_seq = 1 WHERE stream_id = 2",
        "charge chg",
    ),
    "the carry": ("UPDATE ledger_streams SET carry = '1/2' WHERE id = 2", "stream 2"),
    "a refund": (
        "UPDATE ledger_charges SET amount_micro = amount_micro - 1 WHERE refunds_id IS NOT NULL",
        "charge chg",
    ),
    "spending": ("UPDATE ledger_spending SET spent_micro = 0 WHERE month = '2026-11'", "spending of"),
    "an invoice's total": ("UPDATE ledger_invoices SET total_micro = total_micro + 10000", "invoice PS-"),
    "an invoice's number": ("UPDATE ledger_invoices SET serial = 7", "invoice PS-"),
    "a charge taken off its invoice": (
        "UPDATE ledger_charges SET invoice_id = NULL WHERE invoice_id IS NOT NULL",
        "invoice PS-",
    ),
    "a top-up": ("UPDATE ledger_top_ups SET amount_micro = amount_micro + 1", "top-up topup_"),
}


@pytest.fixture(scope="module")
def busy_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with busy books, made once and copied for each way to tamper."""
    file = tmp_path_factory.mktemp("books") / "pearl.db"
    made = make_store(f"sqlite:///{file}")
    busy(made)
    made.close()
    return file


@pytest.mark.parametrize("what", CHANGES)
def test_tampering_is_found(busy_file: Path, tmp_path: Path, what: str) -> None:
    books = Store(Database(f"sqlite:///{shutil.copy(busy_file, tmp_path)}"))
    statement, row = CHANGES[what]
    tamper(books, statement)
    report = proof(books, AUDITOR)
    assert not report.is_right
    assert report.row is not None
    assert report.row.startswith(row), f"{report.row}: {report.problem}"
    books.close()


@pytest.mark.parametrize(
    "what", ["an entry is larger", "a span used more", "a price", "the balance at submit"]
)
def test_tampering_is_found_on_postgresql_too(store: Store, what: str) -> None:
    books = busy(store)
    tamper(books, CHANGES[what][0])
    assert not proof(books, AUDITOR).is_right


REFUSED = [
    "UPDATE ledger_entries SET amount_micro = 1",
    "DELETE FROM ledger_entries",
    "UPDATE ledger_transactions SET memo = '{}'",
    "DELETE FROM ledger_transactions",
    "UPDATE ledger_price_rules SET micro = 0",
    "DELETE FROM ledger_spans",
    "UPDATE ledger_spans SET amount = 1",
    "UPDATE ledger_charges SET amount_micro = 0",
    "UPDATE ledger_invoices SET total_micro = 0",
]


def test_the_books_refuse_to_be_changed(store: Store) -> None:
    books = busy(store)
    for statement in REFUSED:
        with pytest.raises(sa.exc.DBAPIError, match="never change"):
            books.write(lambda tx, statement=statement: tx.connection.exec_driver_sql(statement))
    books_are_right(books)


def test_the_guards_come_back_at_the_next_start(store: Store) -> None:
    books = busy(store)
    tamper(books, "UPDATE ledger_spending SET month = month")
    books.write(lambda tx: guards.install(tx.connection))
    books.write(lambda tx: guards.install(tx.connection))
    with pytest.raises(sa.exc.DBAPIError, match="never change"):
        books.write(lambda tx: tx.connection.exec_driver_sql(REFUSED[0]))


def test_the_proof_counts_what_it_looked_at(sqlite_store: Store) -> None:
    report = proof(at(busy(sqlite_store), NOON), AUDITOR)
    assert report.checked["ledger_spans"] == 1 + 12 + 5 + 1
    assert report.checked["ledger_transactions"] == 7
    with pytest.raises(Forbidden):
        proof(sqlite_store, OWNER)
