"""Writes all transactions of the books: balanced, in whole micro-yuan, once per reference, and never changed later."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from pearlstreet.base.errors import check
from pearlstreet.base.money import LIMIT_MICRO, Money
from pearlstreet.ledger import chart
from pearlstreet.ledger.model import CURRENCY, Draft, Entry, Posted
from pearlstreet.ledger.tables import accounts, entries, funds, transactions
from pearlstreet.store.core import Tx

T = TypeVar("T")
CHUNK = 500
"""Largest number of values in one IN list; SQLite permits at least 999 parameters."""

# Statements are built once because building one costs far more than running it.
_LAST = sa.select(sa.func.max(transactions.c.seq))
_BY_REFERENCE = sa.select(transactions).where(
    transactions.c.reference.in_(sa.bindparam("references", expanding=True))
)
_FUNDS = sa.select(funds).where(funds.c.org_id.in_(sa.bindparam("ids", expanding=True)))
_ACCOUNTS = sa.select(accounts.c.id).where(accounts.c.id.in_(sa.bindparam("ids", expanding=True)))
_INSERT_TRANSACTION = sa.insert(transactions)
_INSERT_ENTRY = sa.insert(entries)
_CHANGE_FUNDS = (
    sa.update(funds)
    .where(funds.c.org_id == sa.bindparam("of_org"))
    .values(balance_micro=funds.c.balance_micro + sa.bindparam("change", type_=sa.BigInteger))
)
_CHANGE_ACCOUNT = (
    sa.update(accounts)
    .where(accounts.c.id == sa.bindparam("account"))
    .values(balance_micro=accounts.c.balance_micro + sa.bindparam("change", type_=sa.BigInteger))
)


def post(tx: Tx, drafts: Sequence[Draft]) -> list[Posted]:
    """Write all transactions, in order, and return them; a draft whose reference exists already is not written again.

    Raises BugError if the existing transaction has another kind, organisation or amount, or a draft is not balanced.
    """
    known = _known(tx, drafts)
    batch = _Batch(tx, {draft.org_id for draft in drafts if draft.org_id is not None})
    posted = []
    for draft in drafts:
        existing = known.get(draft.reference)
        if existing is not None:
            check(
                (existing["kind"], existing["org_id"], existing["funds_micro"])
                == (draft.kind.value, draft.org_id, draft.funds.micro),
                "a reference stands for one transaction only",
                reference=draft.reference,
            )
            posted.append(Posted(existing["id"], existing["seq"], fresh=False))
            continue
        row = batch.add(draft)
        known[draft.reference] = row
        posted.append(Posted(row["id"], row["seq"], fresh=True))
    batch.flush()
    return posted


def post_one(tx: Tx, draft: Draft) -> Posted:
    """Write one transaction as `post` does, and return it."""
    return post(tx, [draft])[0]


def chunks(values: Iterable[T]) -> Iterator[list[T]]:
    """Yield the values in lists of at most `CHUNK`, short enough for an IN clause."""
    ordered = list(values)
    for start in range(0, len(ordered), CHUNK):
        yield ordered[start : start + CHUNK]


def funds_entries(org_id: str, before: int, change: int) -> list[Entry]:
    """Return the entries on wallet and receivable for a change of an organisation's net balance (micro-yuan).

    The wallet holds a positive balance, the receivable a negative one; at most one of the two is not zero.
    """
    after = before + change
    paid_in = max(after, 0) - max(before, 0)
    owed = max(-after, 0) - max(-before, 0)
    sides = (Entry(chart.wallet(org_id), Money(-paid_in)), Entry(chart.receivable(org_id), Money(owed)))
    return [entry for entry in sides if entry.amount]


class _Batch:
    """Rows of transactions and entries to be written, with the resulting balances."""

    def __init__(self, tx: Tx, org_ids: set[str]) -> None:
        self._tx = tx
        self._seq: int = tx.execute(_LAST).scalar() or 0
        self._balances = _balances(tx, org_ids)
        self._changes: dict[str, int] = {}
        self._moves: dict[str, int] = {}
        self._transactions: list[dict[str, object]] = []
        self._entries: list[dict[str, object]] = []

    def add(self, draft: Draft) -> Mapping[str, Any]:
        sides = list(draft.entries)
        after = 0
        if draft.org_id is not None:
            before = self._balances[draft.org_id]
            after = before + draft.funds.micro
            sides = funds_entries(draft.org_id, before, draft.funds.micro) + sides
            self._balances[draft.org_id] = after
            self._changes[draft.org_id] = self._changes.get(draft.org_id, 0) + draft.funds.micro
        debit = sum(side.amount.micro for side in sides if side.amount.micro > 0)
        credit = -sum(side.amount.micro for side in sides if side.amount.micro < 0)
        check(debit == credit, "entries sum to zero", reference=draft.reference, debit=debit, credit=credit)
        check(0 < debit <= LIMIT_MICRO and abs(after) <= LIMIT_MICRO, "amounts fit the books", amount=debit)
        self._seq += 1
        row = {
            "seq": self._seq,
            "id": self._tx.new_id("txn"),
            "kind": draft.kind.value,
            "reference": draft.reference,
            "memo": draft.memo.to_json(),
            "org_id": draft.org_id,
            "actor": draft.actor[:80],
            "at_us": self._tx.now_us,
            "funds_micro": draft.funds.micro,
            "funds_after_micro": after,
            "debit_micro": debit,
            "credit_micro": credit,
        }
        self._transactions.append(row)
        for line, side in enumerate(sides):
            self._add_entry(line, side)
        return row

    def _add_entry(self, line: int, side: Entry) -> None:
        amount = side.amount.micro
        self._moves[side.account] = self._moves.get(side.account, 0) + amount
        self._entries.append(
            {
                "tx_seq": self._seq,
                "line": line,
                "account_id": side.account,
                "currency": CURRENCY,
                "amount_micro": amount,
            }
        )

    def flush(self) -> None:
        if not self._transactions:
            return
        self._tx.execute(_INSERT_TRANSACTION, self._transactions)
        self._move_accounts()
        self._tx.execute(_INSERT_ENTRY, self._entries)
        for org_id, change in self._changes.items():
            self._tx.execute(_CHANGE_FUNDS, {"of_org": org_id, "change": change})

    def _move_accounts(self) -> None:
        existing: set[str] = set()
        for part in chunks(self._moves):
            existing |= set(self._tx.execute(_ACCOUNTS, {"ids": part}).scalars())
        fresh = [_account_row(account) for account in self._moves if account not in existing]
        if fresh:
            self._tx.execute(sa.insert(accounts), fresh)
        self._tx.execute(
            _CHANGE_ACCOUNT,
            [{"account": account, "change": change} for account, change in self._moves.items()],
        )


def _account_row(account: str) -> dict[str, Any]:
    return {
        "id": account,
        "kind": chart.chapter_of(account).kind.value,
        "currency": CURRENCY,
        "org_id": chart.org_of(account),
        "balance_micro": 0,
    }


def _known(tx: Tx, drafts: Sequence[Draft]) -> dict[str, Mapping[str, Any]]:
    """Return the existing transactions of the drafts' references, by reference."""
    rows: dict[str, Mapping[str, object]] = {}
    for part in chunks({draft.reference for draft in drafts}):
        for row in tx.execute(_BY_REFERENCE, {"references": part}).mappings():
            rows[str(row["reference"])] = dict(row)
    return rows


def _balances(tx: Tx, org_ids: set[str]) -> dict[str, int]:
    """Return the net balances (micro-yuan) by organisation, and insert a row of funds where none exists."""
    balances: dict[str, int] = {}
    for part in chunks(sorted(org_ids)):
        for row in tx.execute(_FUNDS, {"ids": part}).mappings():
            balances[row["org_id"]] = row["balance_micro"]
    fresh = [
        {"org_id": org_id, "balance_micro": 0, "held_micro": 0, "credit_limit_micro": 0}
        for org_id in sorted(org_ids - balances.keys())
    ]
    if fresh:
        tx.execute(sa.insert(funds), fresh)
    return balances | dict.fromkeys(org_ids - balances.keys(), 0)
