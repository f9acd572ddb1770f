"""PURE: Calendar months of a time zone, in exact microseconds. The zone database counts as data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pearlstreet.base.clock import EPOCH, US_PER_S
from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import text

YEARS = (1970, 9998)
"""First and last year that are supported; Python's dates also cover the month after the last one."""
_MONTH = re.compile(r"^(\d{4})-(0[1-9]|1[0-2])$")


@dataclass(frozen=True, slots=True)
class Month:
    """A month such as `2026-11`, from `start_us` to `end_us` (exclusive)."""

    name: str
    start_us: int
    end_us: int

    @property
    def length_us(self) -> int:
        """Length in µs: 28 to 31 days, an hour more or less when clocks change."""
        return self.end_us - self.start_us


@cache
def zone_of(name: str) -> ZoneInfo:
    """Return the time zone of an IANA name. Raises InvalidInput for an unknown name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInput(
            text("There is no time zone {name}", name=name),
            hint=text("Use a name of the IANA database such as Asia/Shanghai or UTC"),
        ) from None


def month_at(us: int, zone: str) -> Month:
    """Return the month that contains the time `us` (µs since 1970)."""
    local = (EPOCH + timedelta(seconds=us // US_PER_S)).astimezone(zone_of(zone))
    return _month(local.year, local.month, zone)


def month_named(name: str, zone: str) -> Month:
    """Return the month of a name such as `2026-11`. Raises InvalidInput for anything else."""
    match = _MONTH.match(name)
    if match is None or not YEARS[0] <= int(match[1]) <= YEARS[1]:
        raise InvalidInput(
            text("{value} is not a month", value=name),
            hint=text("Write the year and the month, such as 2026-11"),
        )
    return _month(int(match[1]), int(match[2]), zone)


def cut(start_us: int, end_us: int, zone: str) -> Iterator[tuple[Month, int, int]]:
    """Yield the parts of [start, end) by month as (month, start, end), in order; one empty part if start = end."""
    month = month_at(start_us, zone)
    while end_us > month.end_us:
        yield month, start_us, month.end_us
        start_us = month.end_us
        month = month_at(start_us, zone)
    yield month, start_us, end_us


@lru_cache(maxsize=4096)
def _month(year: int, number: int, zone: str) -> Month:
    after = (year + 1, 1) if number == 12 else (year, number + 1)
    return Month(f"{year:04d}-{number:02d}", _midnight_us(year, number, zone), _midnight_us(*after, zone))


def _midnight_us(year: int, number: int, zone: str) -> int:
    delta = datetime(year, number, 1, tzinfo=zone_of(zone)) - EPOCH
    return (delta.days * 86_400 + delta.seconds) * US_PER_S
