"""Accelerators by normalised compute: card-hours times the PFLOPS of one card, frozen on the span."""

from __future__ import annotations

from fractions import Fraction

from pearlstreet.base.text import Text, text
from pearlstreet.ledger.model import CARD_BP, US_PER_HOUR, Unit
from pearlstreet.ledger.rules.protocol import Slice, exact_factor


class PflopsHour:
    """One price for unlike cards."""

    name = "pflops_hour"
    unit = Unit.CARD_BP

    @property
    def label(self) -> Text:
        return text("PFLOPS·h")

    def quantity(self, used: Slice) -> Fraction:
        return Fraction(used.quantity, CARD_BP * US_PER_HOUR) * exact_factor(used.pflops)
