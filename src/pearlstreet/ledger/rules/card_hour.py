"""Accelerators by the card-hour: 3,600 card-seconds, a part of a card counting as its share."""

from __future__ import annotations

from fractions import Fraction

from pearlstreet.base.text import Text, text
from pearlstreet.ledger.model import CARD_BP, US_PER_HOUR, Unit
from pearlstreet.ledger.rules.protocol import Slice


class CardHour:
    """One price per model of card."""

    name = "card_hour"
    unit = Unit.CARD_BP

    @property
    def label(self) -> Text:
        return text("card·h")

    def quantity(self, used: Slice) -> Fraction:
        return Fraction(used.quantity, CARD_BP * US_PER_HOUR)
