"""The invoice and its JSON form. Amounts are in whole micro-yuan, the total in whole fen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Any

from pearlstreet.base.money import Money
from pearlstreet.base.text import Text, text
from pearlstreet.ledger.invoices.energy import EnergyUse
from pearlstreet.ledger.model import Party
from pearlstreet.ledger.rules import KINDS

FEN = 10_000
"""Micro-yuan in a fen (0.01 yuan), the smallest amount that can be paid."""
_SIX = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """The use of one resource at one price. Refunds have separate lines."""

    resource: str
    kind: str
    """Name of the price rule kind."""
    is_refund: bool
    quantity: Fraction
    price_micro: int
    per: int
    amount: Money

    @property
    def unit(self) -> Text:
        """Unit of the quantity."""
        return KINDS[self.kind].label

    @property
    def label(self) -> Text:
        """Name of the resource, as shown to users."""
        used = resource_label(self.resource)
        return text("Refund: {resource}", resource=used) if self.is_refund else used


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice. `total` = lines + `carried_in` − `carried_out`, and exactly `net` + `tax`."""

    id: str | None
    """Id of the invoice; None for a draft."""
    number: str | None
    org_id: str
    month: str
    start_us: int
    end_us: int
    zone: str
    seller: Party
    buyer: Party
    tax_rate_bp: int
    lines: tuple[InvoiceLine, ...]
    carried_in: Money
    """Amount below a fen, carried over from the previous invoice."""
    carried_out: Money
    """Amount below a fen, carried over to the next invoice."""
    total: Money
    """Amount to be paid, including tax, in whole fen."""
    tax: Money
    net: Money
    issued_us: int | None
    energy: EnergyUse | None = None
    """Energy of the use; None on invoices by versions that did not show energy."""
    org: str = ""
    """Name (slug) of the organisation; empty in stored documents of versions that kept only its id."""

    @property
    def used(self) -> Money:
        """Sum of the lines, exactly."""
        return Money(sum(line.amount.micro for line in self.lines))

    def to_json(self) -> dict[str, object]:
        """Return a form for JSON, with amounts in micro-yuan, which `from_json` reads."""
        return {
            **{
                name: getattr(self, name)
                for name in ("id", "number", "org_id", "month", "start_us", "end_us", "zone")
            },
            "org": self.org,
            "currency": "CNY",
            "seller": asdict(self.seller),
            "buyer": asdict(self.buyer),
            "tax_rate_bp": self.tax_rate_bp,
            "lines": [_line_json(line) for line in self.lines],
            **{
                name: getattr(self, name).micro
                for name in ("used", "carried_in", "carried_out", "total", "tax", "net")
            },
            "issued_us": self.issued_us,
            "energy": None if self.energy is None else self.energy.to_json(),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Invoice:
        """Return the invoice that `to_json` wrote."""
        amounts: dict[str, Any] = {
            name: Money(value[name]) for name in ("carried_in", "carried_out", "total", "tax", "net")
        }
        plain = ("id", "number", "org_id", "month", "start_us", "end_us", "zone", "tax_rate_bp", "issued_us")
        return Invoice(
            **{name: value[name] for name in plain},
            **amounts,
            seller=Party(**value["seller"]),
            buyer=Party(**value["buyer"]),
            lines=tuple(_line_from(line) for line in value["lines"]),
            energy=EnergyUse.from_json(value["energy"]) if value.get("energy") else None,
            org=value.get("org", ""),
        )


def resource_label(resource: str) -> Text:
    """Return the name of a resource for users: `accelerator/t4` → Accelerator T4."""
    family, _, model = resource.partition("/")
    model, _, sharing = model.partition("/")
    if family == "accelerator" and sharing == "mps":
        return text("Accelerator {model}, share by MPS", model=model.upper())
    if family == "accelerator" and sharing == "time_slice":
        return text("Accelerator {model}, time slice", model=model.upper())
    if family == "accelerator":
        return text("Accelerator {model}", model=model.upper())
    known = {"cpu": text("CPU"), "memory": text("Memory"), "storage": text("Storage")}
    return known.get(family) or text("{resource}", resource=resource)


def decimal_text(quantity: Fraction) -> str:
    """Return a quantity with at most six decimals and no trailing zeros, for users. The JSON has the exact fraction."""
    exact = Decimal(quantity.numerator) / Decimal(quantity.denominator)
    shown = f"{exact.quantize(_SIX, ROUND_HALF_EVEN):,f}"
    return shown.rstrip("0").rstrip(".")


def _line_json(line: InvoiceLine) -> dict[str, Any]:
    return {
        "resource": line.resource,
        "kind": line.kind,
        "unit": str(line.unit),
        "is_refund": line.is_refund,
        "quantity": decimal_text(line.quantity).replace(",", ""),
        "quantity_exact": str(line.quantity),
        "price_micro": line.price_micro,
        "per": line.per,
        "amount": line.amount.micro,
    }


def _line_from(value: Mapping[str, Any]) -> InvoiceLine:
    return InvoiceLine(
        value["resource"],
        value["kind"],
        value["is_refund"],
        Fraction(value["quantity_exact"]),
        value["price_micro"],
        value["per"],
        Money(value["amount"]),
    )
