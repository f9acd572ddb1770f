"""Price rule per PFLOPS·h: card-hours times the normalised PFLOPS of one card, which each span stores."""

from __future__ import annotations

from fractions import Fraction

from pearlstreet.base.text import Text, text
from pearlstreet.ledger.model import CARD_BP, US_PER_HOUR, Unit
from pearlstreet.ledger.rules.protocol import Slice, exact_factor


class PflopsHour:
    """Rule kind `pflops_hour`, for one price over different accelerator models."""

    name = "pflops_hour"
    unit = Unit.CARD_BP

    @property
    def label(self) -> Text:
        return text("PFLOPS·h")

    def quantity(self, used: Slice) -> Fraction:
        return Fraction(used.quantity, CARD_BP * US_PER_HOUR) * exact_factor(used.pflops)
