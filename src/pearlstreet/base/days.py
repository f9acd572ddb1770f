"""Reads and writes calendar days and runs of consecutive days: 2026-02-15 and 2026-02-15..2026-02-23."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date

from pearlstreet.base.units import runs_of

RUN_MOST = 400
"""Largest number of days in one run."""
_DAY = re.compile(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_BETWEEN = re.compile(r"[\s,;，；、]+")
DOTS = ".."


def parse_day(written: str) -> date:
    """Return the day written as `2026-02-15`. Raises ValueError for any other form."""
    if not _DAY.match(written):
        raise ValueError(written)
    return date.fromisoformat(written)


def parse_run(written: str) -> tuple[date, ...]:
    """Return each day of `2026-02-15` or `2026-02-15..2026-02-23`.

    Raises ValueError if a day is malformed, the last lies before the first, or the run is longer than RUN_MOST.
    """
    first, dots, last = written.strip().partition(DOTS)
    start = parse_day(first.strip())
    end = parse_day(last.strip()) if dots else start
    if not start <= end or (end - start).days >= RUN_MOST:
        raise ValueError(written)
    return tuple(date.fromordinal(number) for number in range(start.toordinal(), end.toordinal() + 1))


def split_runs(written: str) -> tuple[str, ...]:
    """Split a text at commas, semicolons and white space into its days and runs, which are not parsed."""
    return tuple(part for part in _BETWEEN.split(written.strip()) if part)


def format_days(days: Iterable[date]) -> str:
    """Return days as text, consecutive days as a run: `2026-01-01, 2026-02-15..2026-02-23`."""
    runs = (tuple(map(date.fromordinal, run)) for run in runs_of(day.toordinal() for day in days))
    return ", ".join(str(first) if first == last else f"{first}{DOTS}{last}" for first, last in runs)
