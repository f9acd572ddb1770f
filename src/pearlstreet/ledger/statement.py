"""The account statement: all transactions of an organisation, each with the balance after it and its spans of use."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from pearlstreet.base.money import Money
from pearlstreet.base.text import Text, from_json
from pearlstreet.ledger.model import TxKind
from pearlstreet.ledger.rules import KINDS
from pearlstreet.ledger.tables import charges, streams, transactions
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor


@dataclass(frozen=True, slots=True)
class Detail:
    """The use behind a charge or refund: spans `first_sequence` to `last_sequence` of one stream."""

    source: str
    external_id: str
    """Id of the attempt."""
    reference: str
    """Id of the job."""
    project_id: str
    resource: str
    first_sequence: int
    last_sequence: int
    month: str
    quantity: Fraction
    unit: Text
    price_version_id: str


@dataclass(frozen=True, slots=True)
class Line:
    """One transaction on the statement of an organisation."""

    seq: int
    tx_id: str
    at_us: int
    kind: TxKind
    memo: Text
    amount: Money
    """Change of the balance; above 0 adds to it."""
    balance: Money
    """Balance after the transaction."""
    actor: str
    detail: Detail | None


def statement(
    store: Store,
    actor: Actor,
    org_id: str,
    *,
    before_seq: int | None = None,
    from_us: int | None = None,
    to_us: int | None = None,
    kinds: Collection[TxKind] = (),
    limit: int = 100,
) -> Sequence[Line]:
    """Return statement lines, newest first, below `before_seq`, with times in [`from_us`, `to_us`).

    Non-empty `kinds` selects transactions of these kinds only.
    """
    actor.require("credit:read", org_id)
    return store.read(lambda tx: read_statement(tx, org_id, before_seq, from_us, to_us, limit, kinds))


def read_statement(
    tx: Tx,
    org_id: str,
    before_seq: int | None = None,
    from_us: int | None = None,
    to_us: int | None = None,
    limit: int = 100,
    kinds: Collection[TxKind] = (),
) -> Sequence[Line]:
    """Return statement lines as `statement` does, inside a transaction."""
    query = (
        sa.select(
            transactions,
            *_labelled(charges, "first_sequence", "last_sequence", "month", "quantity", "rule_kind"),
            *_labelled(streams, "source", "external_id", "reference", "project_id", "resource"),
            streams.c.price_version_id,
        )
        .outerjoin_from(transactions, charges, charges.c.tx_seq == transactions.c.seq)
        .outerjoin(streams, streams.c.id == charges.c.stream_id)
        .where(transactions.c.org_id == org_id, transactions.c.funds_micro != 0)
        .order_by(transactions.c.seq.desc())
        .limit(limit)
    )
    if before_seq is not None:
        query = query.where(transactions.c.seq < before_seq)
    if from_us is not None:
        query = query.where(transactions.c.at_us >= from_us)
    if to_us is not None:
        query = query.where(transactions.c.at_us < to_us)
    if kinds:
        query = query.where(transactions.c.kind.in_([kind.value for kind in kinds]))
    return [_line(row) for row in tx.rows(query)]


def _labelled(table: sa.Table, *names: str) -> list[sa.ColumnElement[object]]:
    return [table.c[name].label(f"use_{name}") for name in names]


def _line(row: RowMapping) -> Line:
    detail = None
    if row["use_resource"] is not None:
        detail = Detail(
            source=row["use_source"],
            external_id=row["use_external_id"],
            reference=row["use_reference"],
            project_id=row["use_project_id"],
            resource=row["use_resource"],
            first_sequence=row["use_first_sequence"],
            last_sequence=row["use_last_sequence"],
            month=row["use_month"],
            quantity=Fraction(row["use_quantity"]),
            unit=KINDS[row["use_rule_kind"]].label,
            price_version_id=row["price_version_id"],
        )
    return Line(
        seq=row["seq"],
        tx_id=row["id"],
        at_us=row["at_us"],
        kind=TxKind(row["kind"]),
        memo=from_json(row["memo"]),
        amount=Money(row["funds_micro"]),
        balance=Money(row["funds_after_micro"]),
        actor=row["actor"],
        detail=detail,
    )


@dataclass(frozen=True, slots=True)
class CostLine:
    """Quantity and cost of one resource under a reference."""

    resource: str
    quantity: Fraction
    unit: Text
    amount: Money


def cost_of(tx: Tx, org_id: str, reference: str | sa.Select[tuple[str]]) -> Sequence[CostLine]:
    """Return the charges less refunds of a job by resource, over all its attempts.

    `reference` is a job's id, or a query of job ids, whose charges are added up.
    """
    job_id = streams.c.reference
    query = (
        sa.select(streams.c.resource, charges.c.rule_kind, charges.c.quantity, charges.c.amount_micro)
        .join_from(charges, streams, charges.c.stream_id == streams.c.id)
        .where(
            streams.c.org_id == org_id,
            job_id == reference if isinstance(reference, str) else job_id.in_(reference),
        )
        .order_by(charges.c.seq)
    )
    totals: dict[tuple[str, str], tuple[Fraction, int]] = {}
    for row in tx.rows(query):
        key = (row["resource"], row["rule_kind"])
        quantity, amount = totals.get(key, (Fraction(0), 0))
        totals[key] = (quantity + Fraction(row["quantity"]), amount + row["amount_micro"])
    return [
        CostLine(resource, quantity, KINDS[kind].label, Money(amount))
        for (resource, kind), (quantity, amount) in totals.items()
    ]
