"""Refunds for failures of the platform, as new transactions; earlier transactions are never changed."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from pearlstreet.base.money import Money
from pearlstreet.base.text import Text, text
from pearlstreet.ledger import chart
from pearlstreet.ledger.book import post
from pearlstreet.ledger.budgets import add_spending
from pearlstreet.ledger.model import Draft, Entry, TxKind
from pearlstreet.ledger.tables import DUE, FREE, charges, spans, streams
from pearlstreet.store.core import Tx


def refund_attempt(tx: Tx, external_id: str, reason: Text, since_us: int = 0) -> Money:
    """Refund the charges of an attempt for time after `since_us` and mark its due spans from then on as not billed.

    Returns the amount refunded. A span or charge for time before and after `since_us` counts whole. Idempotent: a charge is
    refunded once.
    """
    query = sa.select(streams.c.id).where(streams.c.external_id == external_id)
    stream_ids = tx.execute(query).scalars().all()
    if not stream_ids:
        return Money(0)
    tx.execute(
        sa.update(spans)
        .where(spans.c.stream_id.in_(stream_ids), spans.c.state == DUE, spans.c.end_us > since_us)
        .values(state=FREE, why_not=reason.template[:200])
    )
    charged = _unrefunded_charges(tx, list(stream_ids), since_us)
    if not charged:
        return Money(0)
    drafts = [_draft(row, reason) for row in charged if row["amount_micro"]]
    posted = iter(post(tx, drafts))
    seq: int = tx.scalar(sa.select(sa.func.max(charges.c.seq))) or 0
    rows: list[dict[str, object]] = []
    spent: dict[tuple[str, str], int] = {}
    for row in charged:
        seq += 1
        entry = next(posted) if row["amount_micro"] else None
        rows.append(_refund_row(tx, seq, row, entry.seq if entry else None))
        for subject in (row["org_id"], row["project_id"]):
            spent[subject, row["month"]] = spent.get((subject, row["month"]), 0) - row["amount_micro"]
    tx.execute(sa.insert(charges), rows)
    add_spending(tx, spent)
    return Money(sum(row["amount_micro"] for row in charged))


def _unrefunded_charges(tx: Tx, stream_ids: list[int], since_us: int) -> list[RowMapping]:
    """Return the charges of these streams without a refund that bill time after `since_us`, with resource and reference."""
    refund, last = charges.alias("refund"), spans.alias("last")
    query = (
        sa.select(charges, streams.c.resource, streams.c.reference)
        .join_from(charges, streams, charges.c.stream_id == streams.c.id)
        .join(last, (last.c.stream_id == charges.c.stream_id) & (last.c.sequence == charges.c.last_sequence))
        .outerjoin(refund, refund.c.refunds_id == charges.c.id)
        .where(charges.c.stream_id.in_(stream_ids), charges.c.refunds_id.is_(None), refund.c.id.is_(None))
        .where(last.c.end_us > since_us)
        .order_by(charges.c.seq)
    )
    return list(tx.rows(query))


def _draft(row: RowMapping, reason: Text) -> Draft:
    amount = Money(row["amount_micro"])
    return Draft(
        TxKind.REFUND,
        f"refund/{row['id']}",
        text(
            "Refund of {resource} of {reference}: {reason}",
            resource=row["resource"],
            reference=row["reference"],
            reason=reason,
        ),
        org_id=row["org_id"],
        funds=amount,
        entries=(Entry(chart.REFUNDS, amount),),
    )


def _refund_row(tx: Tx, seq: int, row: RowMapping, tx_seq: int | None) -> dict[str, object]:
    kept = ("stream_id", "org_id", "project_id", "month", "first_sequence", "last_sequence")
    return {
        **{name: row[name] for name in (*kept, "rule_resource", "rule_kind")},
        "id": tx.new_id("chg"),
        "seq": seq,
        "quantity": _negated(row["quantity"]),
        "amount_micro": -row["amount_micro"],
        "tx_seq": tx_seq,
        "refunds_id": row["id"],
        "invoice_id": None,
        "at_us": tx.now_us,
    }


def _negated(quantity: str) -> str:
    return quantity if quantity == "0" else f"-{quantity}"
