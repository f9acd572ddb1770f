"""Price rule per token, for use that is counted and not held over time."""

from __future__ import annotations

from fractions import Fraction

from pearlstreet.base.text import Text, text
from pearlstreet.ledger.model import Unit
from pearlstreet.ledger.rules.protocol import Slice


class Count:
    """Rule kind `count`; prices usually have a `per` of 1,000,000 tokens."""

    name = "count"
    unit = Unit.TOKENS

    @property
    def label(self) -> Text:
        return text("tokens")

    def quantity(self, used: Slice) -> Fraction:
        return Fraction(used.quantity)
