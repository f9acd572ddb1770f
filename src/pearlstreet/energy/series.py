"""PURE: reading an hourly series from CSV: a header, then a time and a value on each line."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from io import StringIO
from typing import Any

from pearlstreet.base.clock import US_PER_S, from_rfc3339
from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import Text, text
from pearlstreet.energy.model import HOUR_US, SeriesKind

ROWS_MOST = 1_000_000
PROBLEMS_MOST = 20
"""Largest number of problems reported."""
UNITS: Mapping[SeriesKind, Mapping[str, int]] = {
    SeriesKind.CARBON: {"g_per_kwh": 1_000, "kg_per_kwh": 1_000_000, "kg_per_mwh": 1_000},
    SeriesKind.PRICE: {"yuan_per_kwh": 1_000_000, "yuan_per_mwh": 1_000},
}
"""Unit → factor to the stored unit (milligrams or micro-yuan per kilowatt hour). The first is the default."""
BOUNDS: Mapping[SeriesKind, tuple[int, int]] = {
    SeriesKind.CARBON: (0, 3_000_000),
    SeriesKind.PRICE: (-100_000_000, 100_000_000),
}
"""Prices on a power market can be below zero."""
_FROM_HOUR, _TO_HOUR = 175_320, 1_139_568
"""1990 to 2100."""


def read_series(
    written: str, kind: SeriesKind, *, column: str | None = None, unit: str | None = None
) -> dict[int, int]:
    """Hour since 1970 UTC → value, from CSV. `column`: the values' (else the second). `unit`: else the column's name, if
    it is one. Raises InvalidInput with the line of each problem."""
    rows = csv.reader(StringIO(written.removeprefix("\ufeff")))
    try:
        header = [name.strip() for name in next(rows, [])]
        place = _place(header, column)
        scale = _scale(kind, unit, header[place])
        return _hours(_lines(rows), kind, place, scale)
    except csv.Error as error:
        message = text("The file is not CSV: {problem}", problem=str(error))
        raise _wrong([Problem("csv", message, line=rows.line_num)]) from None


def _lines(rows: Any) -> Iterator[tuple[int, list[str]]]:
    for row in rows:
        if row:
            yield rows.line_num, row


def _place(header: Sequence[str], column: str | None) -> int:
    if len(header) < 2:
        message = text("The first line names two columns at least: the time and the value")
        raise _wrong([Problem("csv", message, line=1, hint=text("Such as: time,g_per_kwh"))])
    if column is None:
        return 1
    if column not in header[1:]:
        names = ", ".join(header[1:])
        message = text(
            "There is no column {column}; there are {names}", column=column[:80], names=names[:200]
        )
        raise _wrong([Problem("column", message, line=1)])
    return header.index(column, 1)


def _scale(kind: SeriesKind, unit: str | None, name: str) -> int:
    units = UNITS[kind]
    wanted = unit or (name if name in units else next(iter(units)))
    if wanted not in units:
        known = ", ".join(units)
        message = text("{unit} is none of {known}", unit=wanted[:40], known=known)
        raise _wrong([Problem("unit", message)])
    return units[wanted]


def _hours(rows: Iterator[tuple[int, list[str]]], kind: SeriesKind, place: int, scale: int) -> dict[int, int]:
    found: dict[int, int] = {}
    problems: list[Problem] = []
    for line, row in rows:
        if len(found) >= ROWS_MOST:
            problems.append(
                Problem("csv", text("A series has at most {count} hours", count=ROWS_MOST), line=line)
            )
        if len(problems) >= PROBLEMS_MOST:
            break
        if len(row) <= place:
            problems.append(Problem("csv", text("The line has too few columns"), line=line))
            continue
        hour, value = _hour(row[0].strip()), _value(row[place].strip(), kind, scale)
        wrong = [part for part in (hour, value) if isinstance(part, Text)]
        if isinstance(hour, int) and isinstance(value, int) and found.setdefault(hour, value) != value:
            wrong = [text("{time} stands here a second time, with another value", time=row[0].strip())]
        problems += [Problem("csv", message, line=line) for message in wrong]
    if problems:
        raise _wrong(problems)
    if not found:
        raise _wrong([Problem("csv", text("No line follows the header"), line=1)])
    return found


def _hour(written: str) -> int | Text:
    try:
        us = from_rfc3339(written)
    except (ValueError, OverflowError):
        return text(
            "{value} is not a time with a zone such as 2026-01-31T08:00:00Z", value=written[:40] or "-"
        )
    if us % HOUR_US:
        minute = us // US_PER_S % 3600 // 60
        return text(
            "{value} is not the beginning of an hour (minute {minute})", value=written[:40], minute=minute
        )
    hour = us // HOUR_US
    if not _FROM_HOUR <= hour < _TO_HOUR:
        return text("{value} is not between 1990 and 2100", value=written[:40])
    return hour


def _value(written: str, kind: SeriesKind, scale: int) -> int | Text:
    least, most = BOUNDS[kind]
    try:
        value = Decimal(written[:40])
    except InvalidOperation:
        return text("{value} is not a number", value=written[:40] or "-")
    if value.is_finite() and Decimal(least) / scale <= value <= Decimal(most) / scale:
        return int((value * scale).quantize(Decimal(1), ROUND_HALF_EVEN))
    return text(
        "{value} is not from {least} to {most}",
        value=written[:40],
        least=f"{Decimal(least) / scale:,f}",
        most=f"{Decimal(most) / scale:,f}",
    )


def _wrong(problems: Sequence[Problem]) -> InvalidInput:
    return InvalidInput(text("The series cannot be read"), problems=problems)
