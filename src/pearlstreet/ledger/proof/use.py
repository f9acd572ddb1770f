"""Proof of the charges: each is computed again from its spans, its price version and its stream's earlier charges."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from pearlstreet.base.money import Money
from pearlstreet.ledger.model import Unit
from pearlstreet.ledger.prices import load_prices
from pearlstreet.ledger.pricing import PriceVersion, bill, by_month
from pearlstreet.ledger.proof.walk import Differs, Groups, Work, differ
from pearlstreet.ledger.rules import Slice
from pearlstreet.ledger.tables import DUE, FREE, POSTED, charges, spans, streams, transactions


def charges_follow_from_spans(work: Work) -> None:
    """Check that each stream's spans have no gap, and that its charges have the spans' quantities and prices."""
    versions: dict[str, PriceVersion] = {}
    span_query = sa.select(spans).order_by(spans.c.stream_id, spans.c.sequence)
    charge_query = sa.select(charges).order_by(charges.c.stream_id, charges.c.seq)
    spans_of = Groups(work.walk(spans, span_query), "stream_id", "spans of stream")
    charges_of = Groups(work.walk(charges, charge_query), "stream_id", "charges of stream")
    for stream in work.walk(streams, sa.select(streams).order_by(streams.c.id)):
        version_id = stream["price_version_id"]
        if version_id not in versions:
            versions[version_id] = load_prices(work.tx, version_id)
        used = spans_of.take(stream["id"])
        _stream_spans(stream, used)
        quantities = _quantities(stream, versions[version_id], used)
        _stream_charges(stream, versions[version_id], quantities, charges_of.take(stream["id"]))
    spans_of.end()
    charges_of.end()


Quantities = dict[tuple[int, str, tuple[str, str]], Fraction]
"""Exact quantities of posted spans by (sequence, month, rule)."""


def _stream_charges(
    stream: RowMapping,
    version: PriceVersion,
    quantities: Quantities,
    rows: Sequence[RowMapping],
) -> None:
    carry = Fraction(0)
    billed: dict[str, RowMapping] = {}
    rules = {(rule.resource, rule.kind): rule for rule in version.rules}
    for row in rows:
        name = f"charge {row['id']}"
        same = all(row[key] == stream[key] for key in ("org_id", "project_id"))
        differ(not same, name, "it bills another organisation or project than the use names")
        if row["refunds_id"] is not None:
            _one_refund(name, row, billed.pop(row["refunds_id"], None))
            continue
        key = (row["rule_resource"], row["rule_kind"])
        differ(key not in rules, name, f"price list {version.number} has no such rule")
        exact = Fraction(0)
        for sequence in range(row["first_sequence"], row["last_sequence"] + 1):
            exact += quantities.pop((sequence, row["month"], key), Fraction(0))
        differ(str(exact) != row["quantity"], name, f"its spans come to {exact}, it says {row['quantity']}")
        amount, carry = bill(exact * rules[key].micro / rules[key].per, carry)
        differ(amount.micro != row["amount_micro"], name, f"its spans cost {amount}")
        billed[row["id"]] = row
    differ(str(carry) != stream["carry"], f"stream {stream['id']}", f"its postings come to {carry}")
    for sequence, month, _ in quantities:
        raise Differs(f"span {stream['id']}/{sequence}", f"it is posted, but no charge of {month} bills it")


def _stream_spans(stream: RowMapping, used: Sequence[RowMapping]) -> None:
    end_us = used[0]["start_us"] if used else stream["end_us"]
    for index, row in enumerate(used):
        name = f"span {stream['id']}/{row['sequence']}"
        differ(row["sequence"] != index, f"span {stream['id']}/{index}", "it is missing")
        differ(row["start_us"] != end_us, name, "it does not start where the one before ended")
        end_us = row["end_us"]
    same = (len(used) - 1, end_us) == (stream["last_sequence"], stream["end_us"])
    differ(not same, f"stream {stream['id']}", "its last spans are missing")


def _quantities(stream: RowMapping, version: PriceVersion, used: Sequence[RowMapping]) -> Quantities:
    unit = Unit(stream["unit"])
    quantities: Quantities = {}
    for row in used:
        if row["state"] != POSTED:
            continue
        rule = version.rule_for(stream["resource"], unit, row["pflops"])
        for month, quantity in by_month(unit, row["amount"], row["start_us"], row["end_us"], version.zone):
            part = Slice(unit, quantity, row["pflops"], month.length_us)
            rule_key = (rule.resource, rule.kind)
            quantities[row["sequence"], month.name, rule_key] = rule.rule_kind.quantity(part)
    return quantities


def _one_refund(name: str, row: RowMapping, original: RowMapping | None) -> None:
    if original is None:
        raise Differs(name, "what it gives back was never charged, or was given back before")
    differ(row["amount_micro"] != -original["amount_micro"], name, "it does not give back what was charged")


def transactions_follow_from_charges(work: Work) -> None:
    """Check that each charge's transaction has its amount, and each charge or refund transaction its charge."""
    moved = transactions.alias("moved")
    query = (
        sa.select(charges.c.id, charges.c.amount_micro, moved.c.funds_micro, moved.c.org_id, charges.c.org_id)
        .outerjoin_from(charges, moved, moved.c.seq == charges.c.tx_seq)
        .order_by(charges.c.seq)
    )
    for charge_id, amount, funds_micro, paid_by, org_id in work.tuples(query):
        name = f"charge {charge_id}"
        differ((funds_micro or 0) != -amount, name, f"its transaction moves {Money(funds_micro or 0)}")
        differ(bool(amount) and paid_by != org_id, name, "another organisation pays it")
    stray = (
        sa.select(transactions.c.seq)
        .outerjoin_from(transactions, charges, charges.c.tx_seq == transactions.c.seq)
        .where(transactions.c.kind.in_(("charge", "refund")), charges.c.id.is_(None))
        .limit(1)
    )
    stray_seq = work.tx.scalar(stray)
    differ(stray_seq is not None, f"transaction {stray_seq}", "no use stands behind it")


def spans_have_an_end(work: Work) -> None:
    """Check that each span is due, posted with an existing charge, or free with a reason."""
    query = (
        sa.select(spans.c.stream_id, spans.c.sequence, spans.c.state, spans.c.why_not, charges.c.id)
        .outerjoin_from(spans, charges, charges.c.id == spans.c.charge_id)
        .order_by(spans.c.id)
    )
    for stream_id, sequence, state, why_not, charge_id in work.tuples(query):
        name = f"span {stream_id}/{sequence}"
        differ(state not in (DUE, POSTED, FREE), name, f"its state is {state}")
        differ((state == POSTED) != (charge_id is not None), name, "its charge is missing")
        differ(state == FREE and not why_not, name, "nothing says why it is not billed")
