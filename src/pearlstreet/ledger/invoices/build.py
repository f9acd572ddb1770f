"""PURE: Invoices built from a month's charges, with the total split exactly into net amount and tax."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from pearlstreet.base.money import Money
from pearlstreet.ledger.invoices.model import FEN, Invoice, InvoiceLine
from pearlstreet.ledger.model import Party, Site
from pearlstreet.ledger.months import Month
from pearlstreet.ledger.pricing import PriceRule


@dataclass(frozen=True, slots=True)
class Charged:
    """One charge for an invoice; refunds have a negative amount."""

    resource: str
    rule: PriceRule
    quantity: Fraction
    amount: Money
    is_refund: bool


def build(
    org_id: str, month: Month, site: Site, buyer: Party, charged: Iterable[Charged], carried_in: Money
) -> Invoice:
    """Return a draft invoice. The part of the total below a fen is carried to the next invoice, not rounded."""
    lines = _lines(charged)
    due = sum(line.amount.micro for line in lines) + carried_in.micro
    carried_out = due % FEN
    total = due - carried_out
    tax = tax_within(total, site.tax_rate_bp)
    return Invoice(
        id=None,
        number=None,
        org_id=org_id,
        month=month.name,
        start_us=month.start_us,
        end_us=month.end_us,
        zone=site.time_zone,
        seller=site.seller,
        buyer=buyer,
        tax_rate_bp=site.tax_rate_bp,
        lines=lines,
        carried_in=carried_in,
        carried_out=Money(carried_out),
        total=Money(total),
        tax=Money(tax),
        net=Money(total - tax),
        issued_us=None,
    )


def tax_within(total_micro: int, rate_bp: int) -> int:
    """Return the tax contained in an amount including tax, in micro-yuan, rounded half-even to a fen."""
    return round(Fraction(total_micro * rate_bp, (10_000 + rate_bp) * FEN)) * FEN


def _lines(charged: Iterable[Charged]) -> tuple[InvoiceLine, ...]:
    groups: dict[tuple[str, str, bool, int, int], tuple[Fraction, int]] = {}
    for item in charged:
        key = (item.resource, item.rule.kind, item.is_refund, item.rule.micro, item.rule.per)
        quantity, amount = groups.get(key, (Fraction(0), 0))
        groups[key] = (quantity + item.quantity, amount + item.amount.micro)
    return tuple(
        InvoiceLine(resource, kind, is_refund, quantity, price, per, Money(amount))
        for (resource, kind, is_refund, price, per), (quantity, amount) in sorted(groups.items())
        if quantity or amount
    )
