"""PURE: reads and writes large numbers as people write them: 7B, 1.5T, 300 million, 70亿, 1.2万亿."""

from __future__ import annotations

import re
from decimal import Decimal

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import text

_WRITTEN = re.compile(
    r"([0-9][0-9,_ ]*(?:\.[0-9]+)?|\.[0-9]+)(?:e([+-]?[0-9]{1,2}))?\s*([^\W\d_]*)", re.IGNORECASE
)
_POWERS = {
    "": 1.0,
    **dict.fromkeys(("k", "thousand", "千"), 1e3),
    "万": 1e4,
    **dict.fromkeys(("m", "million", "百万"), 1e6),
    **dict.fromkeys(("b", "bn", "g", "billion", "十亿"), 1e9),
    "亿": 1e8,
    **dict.fromkeys(("t", "trillion", "万亿"), 1e12),
}


def amount(field: str, written: str | None) -> float | None:
    """Return the number that a form field holds, or None for an empty field.

    Raises InvalidInput, with a problem that names `field`, for text that is not a number.
    """
    if written is None or not written.strip():
        return None
    number = read_amount(written)
    if number is None:
        message = text("{value} is not a number", value=written[:40])
        hint = text("Write digits with K, M, B or T, for example {example}", example="7B")
        raise InvalidInput(message, problems=[Problem(field, message, hint=hint)])
    return number


def read_amount(written: str) -> float | None:
    """Return the number that a text means, or None if it means none.

    A negative number is read too, so that the caller can say what is wrong with it.
    """
    plain = written.strip()
    sign = -1.0 if plain[:1] in "-−" else 1.0
    match = _WRITTEN.fullmatch(plain.lstrip("-−+").strip())
    if match is None or match[3].lower() not in _POWERS:
        return None
    # Decimal: as floats, 8.03 × 10⁹ is not exactly 8030000000.
    exact = Decimal(re.sub(r"[,_ ]", "", match[1])) * Decimal(_POWERS[match[3].lower()])
    return sign * float(exact.scaleb(int(match[2] or 0)))


def rough_amount(value: float) -> str:
    """Return a number with three significant digits: `288B`, `1.74T`."""
    return short_amount(float(f"{value:.3g}"))


def short_amount(value: float) -> str:
    """Return a number in the short form that `read_amount` reads: `7B`, `1.5T`, `300M`, `12.5K`.

    A number that the short form would round is returned with all its digits.
    """
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        short = f"{value / size:.6g}{letter}"
        if abs(value) >= size and read_amount(short) == value:
            return short
    return f"{value:.15g}"
