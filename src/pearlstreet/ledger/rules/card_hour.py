"""Price rule per card-hour of an accelerator; a share of a card counts as that fraction of a card."""

from __future__ import annotations

from fractions import Fraction

from pearlstreet.base.text import Text, text
from pearlstreet.ledger.model import CARD_BP, US_PER_HOUR, Unit
from pearlstreet.ledger.rules.protocol import Slice


class CardHour:
    """Rule kind `card_hour`, for one price per accelerator model."""

    name = "card_hour"
    unit = Unit.CARD_BP

    @property
    def label(self) -> Text:
        return text("card·h")

    def quantity(self, used: Slice) -> Fraction:
        return Fraction(used.quantity, CARD_BP * US_PER_HOUR)
