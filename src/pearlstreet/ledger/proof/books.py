"""Proof of transactions, entries, accounts, funds and holds."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from pearlstreet.base.money import Money
from pearlstreet.ledger import chart
from pearlstreet.ledger.book import funds_entries
from pearlstreet.ledger.proof.walk import Differs, Groups, Work, differ
from pearlstreet.ledger.tables import accounts, entries, funds, holds, transactions


def transactions_balance(work: Work) -> None:
    """Check that each transaction's entries sum to zero, match its totals, and continue the running balance."""
    after: dict[str, int] = {}
    expected = 0
    query = sa.select(entries).order_by(entries.c.tx_seq, entries.c.line)
    sides_of = Groups(work.walk(entries, query), "tx_seq", "entries of transaction")
    for row in work.walk(transactions, sa.select(transactions).order_by(transactions.c.seq)):
        name, expected = f"transaction {row['seq']}", expected + 1
        differ(row["seq"] != expected, f"transaction {expected}", "it is missing")
        sides = sides_of.take(row["seq"])
        _one_transaction(name, row, sides)
        if row["org_id"] is not None:
            before = after.get(row["org_id"], 0)
            now = before + row["funds_micro"]
            differ(now != row["funds_after_micro"], name, f"the balance after it is {Money(now)}")
            after[row["org_id"]] = now
            _same_funds(name, row, sides, before)
    sides_of.end()


def _one_transaction(name: str, row: RowMapping, sides: Sequence[RowMapping]) -> None:
    differ(not sides, name, "it has no entries")
    differ([side["line"] for side in sides] != list(range(len(sides))), name, "an entry is missing")
    by_currency: dict[str, int] = {}
    for side in sides:
        by_currency[side["currency"]] = by_currency.get(side["currency"], 0) + side["amount_micro"]
    for currency, total in by_currency.items():
        differ(total != 0, name, f"its entries sum to {total} micro-{currency}, not 0")
    debit = sum(max(side["amount_micro"], 0) for side in sides)
    differ(
        (row["debit_micro"], row["credit_micro"]) != (debit, debit), name, f"its entries debit {Money(debit)}"
    )


def _same_funds(name: str, row: RowMapping, sides: Sequence[RowMapping], before: int) -> None:
    own = (chart.wallet(row["org_id"]), chart.receivable(row["org_id"]))
    wanted = {
        entry.account: entry.amount.micro
        for entry in funds_entries(row["org_id"], before, row["funds_micro"])
    }
    actual = {side["account_id"]: side["amount_micro"] for side in sides if side["account_id"] in own}
    differ(actual != wanted, name, "its wallet and receivable entries are not what its amount means")


def accounts_are_their_entries(work: Work) -> None:
    """Check that each account's balance is the sum of its entries."""
    summed = sa.select(entries.c.account_id, sa.func.sum(entries.c.amount_micro)).group_by(
        entries.c.account_id
    )
    totals = {account: int(total) for account, total in work.tuples(summed)}
    for row in work.walk(accounts, sa.select(accounts).order_by(accounts.c.id)):
        total = totals.pop(row["id"], 0)
        differ(
            total != row["balance_micro"],
            f"account {row['id']}",
            f"its entries sum to {Money(total)}, its balance says {Money(row['balance_micro'])}",
        )
        kind = chart.chapter_of(row["id"]).kind.value
        differ(row["kind"] != kind, f"account {row['id']}", f"it is of kind {kind}")
    for account in sorted(totals):
        raise Differs(f"account {account}", "it has entries but no row")


def funds_are_their_accounts(work: Work) -> None:
    """Check that each organisation's balance matches its wallet and receivable, and its held money its open holds."""
    rest = sa.func.sum(holds.c.amount_micro - holds.c.used_micro)
    open_holds = sa.select(holds.c.org_id, rest).where(holds.c.settled_us.is_(None)).group_by(holds.c.org_id)
    held = {org_id: int(total) for org_id, total in work.tuples(open_holds)}
    owned: dict[str, int] = {}
    own_accounts = sa.select(accounts.c.org_id, accounts.c.balance_micro).where(
        accounts.c.org_id.is_not(None)
    )
    for org_id, amount in work.tuples(own_accounts):
        owned[org_id] = owned.get(org_id, 0) - amount
    for row in work.walk(funds, sa.select(funds).order_by(funds.c.org_id)):
        name, org_id = f"funds of {row['org_id']}", row["org_id"]
        has, holding = owned.pop(org_id, 0), held.pop(org_id, 0)
        differ(has != row["balance_micro"], name, f"its accounts sum to {Money(has)}")
        differ(holding != row["held_micro"], name, f"its open holds sum to {Money(holding)}")
    for org_id in sorted([*owned, *held]):
        raise Differs(f"funds of {org_id}", "the row is missing")
    for row in work.walk(holds, sa.select(holds).order_by(holds.c.id)):
        differ(
            not 0 <= row["used_micro"] <= row["amount_micro"], f"hold {row['id']}", "more was used than held"
        )
