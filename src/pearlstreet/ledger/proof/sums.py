"""Proof of monthly spending, invoices and top-ups."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.base.money import Money
from pearlstreet.ledger.proof.walk import Differs, Work, differ
from pearlstreet.ledger.tables import charges, invoices, spending, top_ups, transactions


def spending_is_its_charges(work: Work) -> None:
    """Check that monthly spending is the sum of its charges."""
    totals: dict[tuple[str, str], int] = {}
    query = sa.select(
        charges.c.org_id, charges.c.project_id, charges.c.month, sa.func.sum(charges.c.amount_micro)
    ).group_by(charges.c.org_id, charges.c.project_id, charges.c.month)
    for org_id, project_id, month, amount in work.tuples(query):
        for subject in (org_id, project_id):
            totals[subject, month] = totals.get((subject, month), 0) + int(amount)
    for row in work.walk(spending, sa.select(spending)):
        total = totals.pop((row["subject_id"], row["month"]), 0)
        name = f"spending of {row['subject_id']} in {row['month']}"
        differ(total != row["spent_micro"], name, f"its charges sum to {Money(total)}")
    for subject, month in totals:
        raise Differs(f"spending of {subject} in {month}", "the row is missing")


def invoices_are_their_charges(work: Work) -> None:
    """Check that each invoice's total is its charges plus `carried_in` less `carried_out`, and that no number is missing."""
    summed = sa.select(charges.c.invoice_id, sa.func.sum(charges.c.amount_micro)).group_by(
        charges.c.invoice_id
    )
    totals = {invoice_id: int(total) for invoice_id, total in work.tuples(summed)}
    carried: dict[str, int] = {}
    rows = work.walk(invoices, sa.select(invoices).order_by(invoices.c.serial))
    for serial, row in enumerate(rows, 1):
        name = f"invoice {row['number']}"
        differ(row["serial"] != serial, name, f"invoice number {serial} is missing")
        due = totals.get(row["id"], 0) + carried.get(row["org_id"], 0)
        wanted = due - row["carried_out_micro"]
        differ(wanted != row["total_micro"], name, f"its charges come to {Money(wanted)}")
        differ(row["document"]["total"] != row["total_micro"], name, "its document shows another total")
        carried[row["org_id"]] = row["carried_out_micro"]


def top_ups_are_posted(work: Work) -> None:
    """Check that each posted top-up has a transaction of its amount, and each such transaction a top-up."""
    query = (
        sa.select(top_ups.c.id, top_ups.c.state, top_ups.c.amount_micro, transactions.c.funds_micro)
        .outerjoin_from(top_ups, transactions, transactions.c.id == top_ups.c.tx_id)
        .order_by(top_ups.c.id)
    )
    posted = 0
    for top_up_id, state, amount, moved in work.tuples(query):
        wanted = amount if state == "posted" else None
        differ(moved != wanted, f"top-up {top_up_id}", "its transaction does not move its amount")
        posted += wanted is not None
    kinds = transactions.c.kind.in_(("top_up", "grant"))
    written = work.tx.scalar(sa.select(sa.func.count()).select_from(transactions).where(kinds))
    differ(written != posted, "top-ups", f"{written} transactions stand for {posted} top-ups")
