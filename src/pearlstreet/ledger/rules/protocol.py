"""What every price rule kind promises. PURE."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from pearlstreet.base.text import Text
from pearlstreet.ledger.model import Unit


@dataclass(frozen=True, slots=True)
class Slice:
    """Use inside one month: Σ amount × µs for timed units, Σ amount for counted ones."""

    unit: Unit
    quantity: int
    pflops: float | None
    month_us: int
    """Length of the month it lies in."""


class RuleKind(Protocol):
    """How use becomes a priced quantity. `quantity` is linear in `Slice.quantity`, so splitting changes nothing."""

    @property
    def name(self) -> str:
        """As price lists write it."""
        ...

    @property
    def unit(self) -> Unit:
        """The unit of the spans it prices."""
        ...

    @property
    def label(self) -> Text:
        """The unit of the quantity, for people."""
        ...

    def quantity(self, used: Slice) -> Fraction:
        """Exactly how much was used, in the rule's own unit."""
        ...


def exact_factor(pflops: float | None) -> Fraction:
    """A PFLOPS factor as the decimal number it is written as; unknown counts as 0."""
    return Fraction(str(pflops)) if pflops else Fraction(0)
