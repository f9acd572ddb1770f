"""Types of quantities with their unit, and functions that parse and format them.

Names end in the unit: `_s` seconds, `_us` microseconds, `_gib` 2³⁰ bytes, `_bytes`, `_pflops` 10¹⁵ FLOP/s,
`_pflops_h` PFLOPS hours.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import NewType

from pearlstreet.base.durations import in_unit, unit_for

Seconds = NewType("Seconds", float)
Bytes = NewType("Bytes", int)
Gib = NewType("Gib", float)
Flops = NewType("Flops", float)
"""Operations per second."""
Pflops = NewType("Pflops", float)
PflopsHours = NewType("PflopsHours", float)
CardHours = NewType("CardHours", float)

GIB = 1 << 30
PETA = 1e15
HOUR_S = 3600

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|min|m|h|d|w)")
_DURATION_S = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SIZE = re.compile(r"^([0-9]+(?:\.[0-9]+)?)\s*([kmgtp]?)(i?)b?$", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def parse_duration_s(value: str | float) -> float:
    """Return a duration in seconds, read from `90`, `"90s"`, `"1h30m"` or `"2d"`. Raises ValueError for other forms."""
    if isinstance(value, bool):
        raise ValueError("true/false is not a duration; write 90s, 30m, 2h or 1d")
    if isinstance(value, int | float):
        return float(value)
    compact = value.strip().lower().replace(" ", "")
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", compact):
        return float(compact)
    parts = _DURATION.findall(compact)
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        raise ValueError(f"{value!r} is not a duration; write 90s, 30m, 2h or 1d")
    return float(sum(float(number) * _DURATION_S[unit] for number, unit in parts))


def parse_size_bytes(value: str | float) -> int:
    """Return a size in bytes, read from `1048576`, `"512MiB"`, `"2GB"` (decimal) or `"2GiB"` (binary).

    Raises ValueError for other forms.
    """
    if isinstance(value, bool):
        raise ValueError("true/false is not a size; write 512MiB or 2GB")
    if isinstance(value, int | float):
        return int(value)
    match = _SIZE.match(value.strip())
    if match is None:
        raise ValueError(f"{value!r} is not a size; write 512MiB, 2GB or a number of bytes")
    number, prefix, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** _POWERS[prefix.lower()])


def parse_size_gib(value: str | float) -> float:
    """Return a size in GiB, read from a number of GiB or a size with a unit. Raises ValueError for other forms."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]+(\.[0-9]+)?\s*", value):
        return float(value)
    return parse_size_bytes(value) / GIB


def format_bytes(count: float) -> str:
    """Return a size in the largest binary unit that gives at least 1, such as `1.5 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} PiB"


def is_finite(value: float) -> bool:
    """Return whether a number is finite: neither infinite nor NaN, nor an integer above the float range."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def format_short(value: float) -> str:
    """Return a number with six significant digits: `0.5`, `4711`, `1e+06`.

    An integer above the float range is returned as its power of ten.
    """
    try:
        return f"{value:g}"
    except OverflowError:
        return f"{'-' if value < 0 else ''}1e+{math.floor(math.log10(abs(value)))}"


def format_rough(value: float) -> str:
    """Return a number with three significant digits, from 100 on as an integer: `1,234`, `56.7`, `0.0421`."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def format_price(yuan: float) -> str:
    """Return a price with two decimals, below 0.1 with three significant digits: `1,234.50`, `0.0725`."""
    return f"{yuan:,.2f}" if abs(yuan) >= 0.1 or not yuan else f"{yuan:.3g}"


def format_range(low: float, middle: float, high: float, unit: str = "", language: str = "en") -> str:
    """Return an estimate with its range, such as `3.7 h (2.9–4.7)`; a range without width is one number.

    If `unit` is "s", all three are converted to the unit that suits the middle: days, hours, minutes or seconds.
    Units of time, "d" included, are written in `language`.
    """
    write = format_price if unit == "¥" else format_rough
    if unit == "s":
        size, unit = unit_for(middle)
        low, middle, high = low / size, middle / size, high / size
    if unit == "¥":
        likely = f"¥{write(middle)}"
    elif unit in ("d", "h", "min", "s"):
        likely = in_unit(write(middle), unit).render(language)
    else:
        likely = f"{write(middle)} {unit}".strip()
    return likely if high - low <= 1e-9 * abs(high) else f"{likely} ({write(low)}–{write(high)})"


def format_runs(numbers: Iterable[int]) -> str:
    """Return integers as text, consecutive ones as a run: `1-3,7`."""
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs_of(numbers))


def runs_of(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Return the first and last of each run of consecutive integers, ascending."""
    runs: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1] = runs[-1][0], number
        else:
            runs.append((number, number))
    return runs


def format_figure(value: float) -> str:
    """Return a number with three decimals below 10, one below 1,000 and none above: `0.042`, `12.3`, `4,711`.

    Below 0.01 it has two significant digits, with at most six decimals: `0.00015`.
    """
    size = abs(value)
    decimals = 3 if size < 10 else 1 if size < 1000 else 0
    if 0 < size < 0.01:
        decimals = min(6, 1 - math.floor(math.log10(size)))
    return f"{value:,.{decimals}f}"
