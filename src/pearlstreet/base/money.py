"""Money: whole micro-yuan (10⁻⁶ CNY) in a type that cannot be added to plain numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

MICRO = 1_000_000
LIMIT_MICRO = 2**63 - 1
"""The largest amount a 64-bit column holds: about 9.2 × 10¹² yuan."""

_YUAN = re.compile(r"^[+-]?[0-9]{1,13}(\.[0-9]{1,6})?\Z")


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """An amount in micro-yuan. It may be negative: a credit where a positive amount is a debit, and the reverse."""

    micro: int

    def __add__(self, other: Money) -> Money:
        return Money(self.micro + other.micro)

    def __sub__(self, other: Money) -> Money:
        return Money(self.micro - other.micro)

    def __neg__(self) -> Money:
        return Money(-self.micro)

    def __bool__(self) -> bool:
        return self.micro != 0

    def __str__(self) -> str:
        return format_yuan(self.micro)


ZERO = Money(0)


def parse_yuan(value: str) -> Money:
    """Return an amount written in yuan: `"12.5"` → 12,500,000 micro-yuan.

    Raises ValueError for more than six decimals and for amounts beyond LIMIT_MICRO.
    """
    stripped = value.strip().replace(",", "").replace("¥", "", 1)
    if not _YUAN.match(stripped):
        raise ValueError(f"{value!r} is not an amount of yuan with at most 6 decimals, such as 1000 or 12.50")
    micro = Fraction(stripped) * MICRO
    if abs(micro) > LIMIT_MICRO:
        raise ValueError(f"{value!r} is beyond the largest amount, 9,223,372,036,854.775807 yuan")
    return Money(int(micro))


def format_yuan(micro: int, *, decimals: int = 2) -> str:
    """Return an amount in yuan, such as `12.50`, with `decimals` decimals or more: nothing is rounded."""
    sign = "-" if micro < 0 else ""
    whole, rest = divmod(abs(micro), MICRO)
    digits = f"{rest:06d}".rstrip("0").ljust(decimals, "0")
    return f"{sign}{whole:,}.{digits}" if digits else f"{sign}{whole:,}"


def with_yuan_sign(amount: str) -> str:
    """Return a written amount with the sign of the yuan: `¥12.50`, `-¥3.00`."""
    return f"-¥{amount[1:]}" if amount.startswith("-") else f"¥{amount}"


def round_half_even(amount: Fraction) -> tuple[int, Fraction]:
    """Return the nearest integer (ties to even) and the remainder: `amount == integer + remainder`."""
    nearest = round(amount)
    return nearest, amount - nearest
