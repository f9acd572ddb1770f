"""Days of the calendar as people write them: 2026-02-15, or several in a row: 2026-02-15..2026-02-23."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date

from pearlstreet.base.units import runs_of

RUN_MOST = 400
"""Days in one run."""
_DAY = re.compile(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_BETWEEN = re.compile(r"[\s,;，；、]+")
DOTS = ".."


def parse_day(written: str) -> date:
    """A day. Raises ValueError."""
    if not _DAY.match(written):
        raise ValueError(written)
    return date.fromisoformat(written)


def parse_run(written: str) -> tuple[date, ...]:
    """A day, or each day from the first to the last. Raises ValueError."""
    first, dots, last = written.strip().partition(DOTS)
    start = parse_day(first.strip())
    end = parse_day(last.strip()) if dots else start
    if not start <= end or (end - start).days >= RUN_MOST:
        raise ValueError(written)
    return tuple(date.fromordinal(number) for number in range(start.toordinal(), end.toordinal() + 1))


def split_runs(written: str) -> tuple[str, ...]:
    """The days and runs of a text, between commas, blanks and ends of lines."""
    return tuple(part for part in _BETWEEN.split(written.strip()) if part)


def format_days(days: Iterable[date]) -> str:
    """`2026-01-01, 2026-02-15..2026-02-23`: those that follow each other as a run."""
    runs = (tuple(map(date.fromordinal, run)) for run in runs_of(day.toordinal() for day in days))
    return ", ".join(str(first) if first == last else f"{first}{DOTS}{last}" for first, last in runs)
