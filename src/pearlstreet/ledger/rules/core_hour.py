"""Price rule per core-hour of CPU."""

from __future__ import annotations

from fractions import Fraction

from pearlstreet.base.text import Text, text
from pearlstreet.ledger.model import US_PER_HOUR, Unit
from pearlstreet.ledger.rules.protocol import Slice


class CoreHour:
    """Rule kind `core_hour`; counts allocated cores, whether busy or idle."""

    name = "core_hour"
    unit = Unit.CPU_MILLI

    @property
    def label(self) -> Text:
        return text("core·h")

    def quantity(self, used: Slice) -> Fraction:
        return Fraction(used.quantity, 1000 * US_PER_HOUR)
