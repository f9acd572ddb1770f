"""Money: whole micro-yuan (10⁻⁶ CNY) in a type that does not mix with plain numbers."""

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
    """An amount in micro-yuan; negative is allowed and means the other side."""

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
    """`"12.5"` → 12,500,000 micro-yuan. Raises ValueError beyond six decimals or the 64-bit range."""
    stripped = value.strip().replace(",", "").removeprefix("¥")
    if not _YUAN.match(stripped):
        raise ValueError(f"{value!r} is not an amount of yuan with at most 6 decimals, such as 1000 or 12.50")
    micro = Fraction(stripped) * MICRO
    if abs(micro) > LIMIT_MICRO:
        raise ValueError(f"{value!r} is more than the books can hold")
    return Money(int(micro))


def format_yuan(micro: int, *, decimals: int = 2) -> str:
    """`12.50`: at least `decimals`, and every further digit that is not zero (nothing is rounded away)."""
    sign = "-" if micro < 0 else ""
    whole, rest = divmod(abs(micro), MICRO)
    digits = f"{rest:06d}".rstrip("0").ljust(decimals, "0")
    return f"{sign}{whole:,}.{digits}" if digits else f"{sign}{whole:,}"


def round_half_even(amount: Fraction) -> tuple[int, Fraction]:
    """The nearest integer (ties to even) and the remainder that was left: `amount == integer + remainder`."""
    nearest = round(amount)
    return nearest, amount - nearest
