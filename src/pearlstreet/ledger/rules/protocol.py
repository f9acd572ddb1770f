"""PURE: The interface of all kinds of price rules."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from pearlstreet.base.text import Text
from pearlstreet.ledger.model import Unit


@dataclass(frozen=True, slots=True)
class Slice:
    """Use inside one month. `quantity` is Σ amount × µs for timed units, Σ amount for counted ones."""

    unit: Unit
    quantity: int
    pflops: float | None
    month_us: int
    """Length in µs of the month that contains the use."""


class RuleKind(Protocol):
    """Conversion of use to the priced quantity. It is linear in `Slice.quantity`, so splitting use changes no price."""

    @property
    def name(self) -> str:
        """Name of the kind in price lists."""
        ...

    @property
    def unit(self) -> Unit:
        """Unit of the spans to which the rule applies."""
        ...

    @property
    def label(self) -> Text:
        """Unit of the quantity, as shown to users."""
        ...

    def quantity(self, used: Slice) -> Fraction:
        """Return the exact quantity used, in the rule's own unit."""
        ...


def exact_factor(pflops: float | None) -> Fraction:
    """Return a PFLOPS factor as the exact decimal number of its shortest notation; unknown (None) counts as 0."""
    return Fraction(str(pflops)) if pflops else Fraction(0)
