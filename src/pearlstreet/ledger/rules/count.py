"""Things that are counted, not held: tokens."""

from __future__ import annotations

from fractions import Fraction

from pearlstreet.base.text import Text, text
from pearlstreet.ledger.model import Unit
from pearlstreet.ledger.rules.protocol import Slice


class Count:
    """The price's `per` is usually 1,000,000."""

    name = "count"
    unit = Unit.TOKENS

    @property
    def label(self) -> Text:
        return text("tokens")

    def quantity(self, used: Slice) -> Fraction:
        return Fraction(used.quantity)
