"""Price rule per GiB-month of storage, by the actual length of each month in the site's time zone."""

from __future__ import annotations

from fractions import Fraction

from pearlstreet.base.text import Text, text
from pearlstreet.base.units import GIB
from pearlstreet.ledger.model import Unit
from pearlstreet.ledger.rules.protocol import Slice


class GibMonth:
    """Rule kind `gib_month`; a GiB stored for all of February costs as much as for all of March."""

    name = "gib_month"
    unit = Unit.STORAGE_BYTES

    @property
    def label(self) -> Text:
        return text("GiB·month")

    def quantity(self, used: Slice) -> Fraction:
        return Fraction(used.quantity, GIB * used.month_us)
