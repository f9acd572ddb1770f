"""PURE: The texts and rows of an invoice in a language, used by both the plain text and the PDF."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from pearlstreet.base.clock import EPOCH
from pearlstreet.base.money import Money, format_yuan, with_yuan_sign
from pearlstreet.base.text import Text, text
from pearlstreet.base.units import format_figure
from pearlstreet.ledger.invoices.energy import EnergyUse
from pearlstreet.ledger.invoices.model import Invoice, InvoiceLine, decimal_text
from pearlstreet.ledger.model import Party
from pearlstreet.ledger.months import zone_of


@dataclass(frozen=True, slots=True)
class Page:
    """Texts of an invoice in one language."""

    title: str
    facts: tuple[tuple[str, str], ...]
    seller: tuple[tuple[str, str], ...]
    buyer: tuple[tuple[str, str], ...]
    heads: tuple[str, ...]
    """Headings of the columns: resource, quantity, unit, unit price, amount."""
    rows: tuple[tuple[str, ...], ...]
    sums: tuple[tuple[str, str], ...]
    """Pairs (label, amount); the last one is the amount to be paid."""
    energy: tuple[tuple[str, str], ...]
    """Pairs (label, figure) of energy and carbon; empty if the invoice has no energy."""
    energy_notes: tuple[str, ...]
    notes: tuple[str, ...]


def page(invoice: Invoice, language: str) -> Page:
    """Return the texts of an invoice in `language`."""

    def say(message: Text) -> str:
        return message.render(language)

    title = text("Invoice") if invoice.number else text("Draft invoice")
    facts = [
        (say(text("Number")), invoice.number or say(text("draft, not issued"))),
        (say(text("Month")), f"{invoice.month} ({invoice.zone})"),
        (say(text("Organisation")), invoice.org or invoice.org_id),
    ]
    if invoice.issued_us is not None:
        facts.append((say(text("Issued")), _day(invoice.issued_us, invoice.zone)))
    heads = (text("Resource"), text("Quantity"), text("Unit"), text("Unit price"), text("Amount"))
    return Page(
        title=say(title),
        facts=tuple(facts),
        seller=_party(text("Seller"), invoice.seller, say),
        buyer=_party(text("Buyer"), invoice.buyer, say),
        heads=tuple(say(head) for head in heads),
        rows=tuple(_row(line, say) for line in invoice.lines),
        sums=_sums(invoice, say),
        energy=energy_rows(invoice.energy, say) if invoice.energy is not None else (),
        energy_notes=tuple(say(note) for note in invoice.energy.notes) if invoice.energy is not None else (),
        notes=(
            say(text("All amounts are in yuan (CNY); prices include tax.")),
            say(
                text(
                    "This invoice supports a tax invoice (fapiao) of the tax authority's system; it is not a tax invoice itself."
                )
            ),
        ),
    )


def _party(what: Text, party: Party, say: Callable[[Text], str]) -> tuple[tuple[str, str], ...]:
    rows = [(say(what), party.name or "-"), (say(text("Taxpayer number")), party.tax_id or "-")]
    for label, value in (
        (text("Address"), party.address),
        (text("Phone"), party.phone),
        (text("Bank"), party.bank),
        (text("Bank account"), party.bank_account),
    ):
        if value:
            rows.append((say(label), value))
    return tuple(rows)


def _row(line: InvoiceLine, say: Callable[[Text], str]) -> tuple[str, ...]:
    price = format_yuan(line.price_micro)
    if line.per != 1:
        price += f" / {line.per:,}"
    return (say(line.label), decimal_text(line.quantity), say(line.unit), price, str(line.amount))


def _sums(invoice: Invoice, say: Callable[[Text], str]) -> tuple[tuple[str, str], ...]:
    def yuan(amount: Money) -> str:
        return with_yuan_sign(str(amount))

    rate = format_yuan(invoice.tax_rate_bp * 10_000, decimals=0)
    sums = [(say(text("Sum of use")), yuan(invoice.used))]
    if invoice.carried_in:
        sums.append((say(text("Carried over from the previous invoice")), yuan(invoice.carried_in)))
    if invoice.carried_out:
        sums.append(
            (say(text("Carried over to the next invoice (less than a fen)")), yuan(-invoice.carried_out))
        )
    return (
        *sums,
        (say(text("Amount without tax")), yuan(invoice.net)),
        (say(text("Tax ({rate} %)", rate=rate)), yuan(invoice.tax)),
        (say(text("Total including tax")), yuan(invoice.total)),
    )


def energy_rows(used: EnergyUse, say: Callable[[Text], str]) -> tuple[tuple[str, str], ...]:
    """Return pairs (label, figure) of energy and carbon; unknown figures read "not known"."""
    unknown = say(text("not known"))

    def amount(value: float | None, unit: str) -> str:
        return unknown if value is None else f"{format_figure(value)} {unit}"

    machines = amount(used.it_kwh, "kWh")
    low, high = used.it_kwh_low, used.it_kwh_high
    if low is not None and high is not None and format_figure(low) != format_figure(high):
        machines += " " + say(text("({low} to {high})", low=format_figure(low), high=format_figure(high)))
    return (
        (say(text("Energy of the machines (IT)")), machines),
        (say(text("Energy of the facility")), amount(used.facility_kwh, "kWh")),
        (say(text("Carbon")), amount(used.carbon_kg, "kg CO2e")),
        (
            say(text("Energy cost of the site, not charged")),
            unknown
            if used.cost is None
            else with_yuan_sign(
                format_yuan(round(used.cost.micro, -4 if abs(used.cost.micro) >= 1_000_000 else -2))
            ),
        ),
    )


def _day(us: int, zone: str) -> str:
    return (EPOCH + timedelta(microseconds=us)).astimezone(zone_of(zone)).strftime("%Y-%m-%d")
