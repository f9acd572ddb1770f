"""The books again from scratch: the same use, payments and refunds posted in other portions must come to the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from pearlstreet.base.money import Money
from pearlstreet.base.text import Text, from_json, text
from pearlstreet.ledger.book import post
from pearlstreet.ledger.model import Draft, Entry, Span, TxKind, Unit
from pearlstreet.ledger.posting import post_spans
from pearlstreet.ledger.spans import append_span, refund_attempt
from pearlstreet.ledger.tables import (
    FREE,
    accounts,
    charges,
    entries,
    price_rules,
    price_versions,
    spans,
    spending,
    streams,
    top_ups,
    transactions,
)
from pearlstreet.store.core import Store, Tx

TOGETHER = 50
"""Attempts replayed in one transaction."""
FUNDS_ACCOUNTS = ("wallet/", "receivable/")


def replay(old: Store, new: Store) -> int:
    """Fill the empty books `new` from the use, payments and refunds in `old`; returns how many spans."""
    new.write(lambda tx: _copy_prices(old, tx))
    for portion in _portions(_payments(old), 1000):
        new.write(lambda tx, portion=portion: post(tx, portion))
    new.write(lambda tx: _copy_top_ups(old, tx))
    count = 0
    attempts = old.read(lambda tx: tx.execute(sa.select(streams.c.external_id).distinct()).scalars().all())
    for names in _portions(iter(sorted(attempts)), TOGETHER):
        lives = [(name, _life(old, name)) for name in names]
        new.write(lambda tx, lives=lives: [_relive(tx, name, life) for name, life in lives])
        count += sum(len(step) for _, life in lives for step in life)
    return count


def differences(old: Store, new: Store) -> list[str]:
    """Where two books differ: balances of accounts, what each stream was charged by month, monthly spending."""
    found: list[str] = []
    for what, query in _SUMS.items():
        before, after = _sums(old, query), _sums(new, query)
        found += [
            f"{what} {'/'.join(key)}: {before.get(key, 0)} is {after.get(key, 0)} again"
            for key in sorted(before.keys() | after.keys())
            if before.get(key, 0) != after.get(key, 0)
        ]
    return found


def _sums(store: Store, query: sa.Select[Any]) -> dict[tuple[str, ...], int]:
    rows = store.read(lambda tx: tx.execute(query).all())
    return {tuple(row)[:-1]: int(row[-1]) for row in rows if row[-1]}


_SUMS: Mapping[str, sa.Select[Any]] = {
    "account": sa.select(accounts.c.id, accounts.c.balance_micro),
    "stream": sa.select(
        streams.c.external_id, streams.c.resource, charges.c.month, sa.func.sum(charges.c.amount_micro)
    )
    .join_from(charges, streams, charges.c.stream_id == streams.c.id)
    .group_by(streams.c.external_id, streams.c.resource, charges.c.month),
    "spending": sa.select(spending.c.subject_id, spending.c.month, spending.c.spent_micro),
}


def _copy_prices(old: Store, tx: Tx) -> None:
    for table in (price_versions, price_rules):
        rows = [dict(row) for row in old.read(lambda read, table=table: read.rows(sa.select(table)))]
        tx.execute(sa.insert(table), rows)


def _copy_top_ups(old: Store, tx: Tx) -> None:
    """They stand for their transactions, which have other ids here."""
    query = sa.select(transactions.c.reference, transactions.c.id)
    ids = {row.reference: row.id for row in tx.execute(query)}
    rows = [dict(row) for row in old.read(lambda read: read.rows(sa.select(top_ups)))]
    for row in rows:
        row["tx_id"] = ids.get(f"top-up/{row['id']}")
    if rows:
        tx.execute(sa.insert(top_ups), rows)


def _payments(old: Store) -> Iterator[Draft]:
    """What moved money and was neither use nor a refund of it."""
    rows = old.read(
        lambda tx: tx.rows(
            sa.select(transactions)
            .where(transactions.c.kind.not_in((TxKind.CHARGE.value, TxKind.REFUND.value)))
            .order_by(transactions.c.seq)
        )
    )
    sides: dict[int, list[Entry]] = {}
    query = sa.select(entries).join_from(entries, transactions, transactions.c.seq == entries.c.tx_seq)
    query = query.where(transactions.c.kind.not_in((TxKind.CHARGE.value, TxKind.REFUND.value)))
    for row in old.read(lambda tx: tx.rows(query)):
        if not row["account_id"].startswith(FUNDS_ACCOUNTS):
            sides.setdefault(row["tx_seq"], []).append(Entry(row["account_id"], Money(row["amount_micro"])))
    for row in rows:
        yield Draft(
            TxKind(row["kind"]),
            row["reference"],
            from_json(row["memo"]),
            org_id=row["org_id"],
            funds=Money(row["funds_micro"]),
            entries=tuple(sides[row["seq"]]),
            actor=row["actor"],
        )


def _life(old: Store, attempt: str) -> list[list[Span]]:
    """An attempt's spans, cut into what came before its first refund, between it and the next, and so on."""
    return old.read(lambda tx: _read_life(tx, attempt))


def _read_life(tx: Tx, attempt: str) -> list[list[Span]]:
    mine = streams.c.external_id == attempt
    refund = sa.select(charges.c.stream_id, charges.c.at_us, charges.c.last_sequence).join_from(
        charges, streams, charges.c.stream_id == streams.c.id
    )
    refund = refund.where(mine, charges.c.refunds_id.is_not(None)).order_by(charges.c.at_us)
    used = (
        sa.select(
            spans,
            *(streams.c[name] for name in _STREAM_NAMES),
        )
        .join_from(spans, streams, spans.c.stream_id == streams.c.id)
        .where(mine)
        .order_by(spans.c.stream_id, spans.c.sequence)
    )
    left = list(tx.rows(used))
    life = []
    for _, rows in groupby(tx.rows(refund), key=lambda row: row["at_us"]):
        until: dict[int, int] = {}
        for row in rows:
            until[row["stream_id"]] = max(until.get(row["stream_id"], -1), row["last_sequence"])
        before = [row for row in left if row["sequence"] <= until.get(row["stream_id"], -1)]
        left = [row for row in left if row["sequence"] > until.get(row["stream_id"], -1)]
        life.append([_span(row) for row in before])
    life.append([_span(row) for row in left])
    return life


_STREAM_NAMES = (
    "source",
    "external_id",
    "resource",
    "org_id",
    "project_id",
    "reference",
    "unit",
    "price_version_id",
)


def _span(row: Mapping[Any, Any]) -> Span:
    names = (*_STREAM_NAMES, "sequence", "start_us", "end_us", "amount", "pflops", "pflops_basis", "why_not")
    why_not = Text(row["why_not"]) if row["why_not"] else None
    given = {name: row[name] for name in names} | {"unit": Unit(row["unit"]), "why_not": why_not}
    return Span(**given, billable=row["state"] != FREE)


def _relive(tx: Tx, attempt: str, life: Sequence[Sequence[Span]]) -> None:
    for number, step in enumerate(life):
        for span in step:
            append_span(tx, span)
        post_spans(tx, external_id=attempt)
        if number + 1 < len(life):
            refund_attempt(tx, attempt, text("again"))


def _portions(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    portion: list[Any] = []
    for item in items:
        portion.append(item)
        if len(portion) == size:
            yield portion
            portion = []
    if portion:
        yield portion
