"""Price rule per GiB-hour of memory."""

from __future__ import annotations

from fractions import Fraction

from pearlstreet.base.text import Text, text
from pearlstreet.ledger.model import US_PER_HOUR, Unit
from pearlstreet.ledger.rules.protocol import Slice


class GibHour:
    """Rule kind `gib_hour`; counts allocated memory, whether used or not."""

    name = "gib_hour"
    unit = Unit.MEMORY_MIB

    @property
    def label(self) -> Text:
        return text("GiB·h")

    def quantity(self, used: Slice) -> Fraction:
        return Fraction(used.quantity, 1024 * US_PER_HOUR)
