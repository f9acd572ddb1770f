"""Days as people write them."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.base.days import format_days, parse_run, split_runs


def read(written: str) -> list[date]:
    return [day for run in split_runs(written) for day in parse_run(run)]


def test_days_and_runs_are_read() -> None:
    assert read("2026-01-01, 2026-02-27..2026-03-01；2026-05-01\n2026-06-19") == [
        date(2026, 1, 1),
        date(2026, 2, 27),
        date(2026, 2, 28),
        date(2026, 3, 1),
        date(2026, 5, 1),
        date(2026, 6, 19),
    ]
    assert read(" \n") == []


@pytest.mark.parametrize(
    "written",
    ["", "today", "2026-2-1", "2026-02-30", "20260201", "2026-02-02..2026-02-01", "2026-01-01..", "..2026-01-01",
     "2020-01-01..2026-01-01", "2026-01-01...2026-01-02", "2026-01-01..2026-01-02..2026-01-03", "२०२६-०१-०१"],
)  # fmt: skip
def test_what_is_no_day_is_not_guessed(written: str) -> None:
    with pytest.raises(ValueError):
        parse_run(written)


@given(st.sets(st.dates(date(1990, 1, 1), date(1990, 3, 31))))
def test_what_is_written_reads_back(days: set[date]) -> None:
    assert read(format_days(days)) == sorted(days)
