"""Reading hourly series from CSV."""

from __future__ import annotations

import pytest

from pearlstreet.base.errors import InvalidInput
from pearlstreet.energy.model import SeriesKind
from pearlstreet.energy.series import PROBLEMS_MOST, read_series

CARBON, PRICE = SeriesKind.CARBON, SeriesKind.PRICE


def test_units_come_from_the_header_or_are_named() -> None:
    line = "\n1970-01-01T02:00Z,1.5\n"
    late = line.replace("1970", "2020")
    hour = 438_290
    assert read_series("time,g_per_kwh" + late, CARBON) == {hour: 1_500}
    assert read_series("time,kg_per_kwh" + late, CARBON) == {hour: 1_500_000}
    assert read_series("utc,market" + late, PRICE, unit="yuan_per_mwh") == {hour: 1_500}
    assert read_series(
        "time,other,yuan_per_kwh\n2020-01-01T10:00:00+08:00,x,-0.2\n", PRICE, column="yuan_per_kwh"
    ) == {hour: -200_000}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("2020-01-01T00:30Z,1", "not the beginning of an hour"),
        ("2020-01-01T00:00,1", "not a time with a zone"),
        ("tomorrow,1", "not a time with a zone"),
        ("1889-01-01T00:00Z,1", "not between 1990 and 2100"),
        ("2020-01-01T00:00Z,-1", "not from 0 to 3,000"),
        ("2020-01-01T00:00Z,3001", "not from 0 to 3,000"),
        ("2020-01-01T00:00Z,nan", "not from 0"),
        ("2020-01-01T00:00Z,1e999999", "not from 0"),
        ("2020-01-01T00:00Z,many", "not a number"),
        ("2020-01-01T00:00Z", "too few columns"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(line: str, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_series(f"time,g_per_kwh\n2020-01-02T00:00Z,5\n{line}\n", CARBON)
    (problem,) = caught.value.problems
    assert problem.line == 3
    assert words in str(problem.message)


def test_an_hour_given_twice_is_known_once_or_refused() -> None:
    twice = "time,g_per_kwh\n2020-01-02T00:00Z,5\n2020-01-02T08:00:00+08:00,"
    assert len(read_series(twice + "5\n", CARBON)) == 1
    with pytest.raises(InvalidInput) as caught:
        read_series(twice + "6\n", CARBON)
    assert caught.value.problems[0].line == 3


@pytest.mark.parametrize("written", ["", "time\n", "time,g_per_kwh\n", "time,g_per_kwh\n\n\n"])
def test_files_without_hours_are_refused(written: str) -> None:
    with pytest.raises(InvalidInput):
        read_series(written, CARBON)


def test_problems_told_are_bounded() -> None:
    with pytest.raises(InvalidInput) as caught:
        read_series("time,g_per_kwh\n" + "x,y\n" * 5_000, CARBON)
    assert PROBLEMS_MOST <= len(caught.value.problems) <= PROBLEMS_MOST + 1


def test_an_unknown_column_or_unit_names_those_there_are() -> None:
    with pytest.raises(InvalidInput) as caught:
        read_series("time,a,b\n2020-01-02T00:00Z,5,6\n", CARBON, column="c")
    assert "a, b" in str(caught.value.problems[0].message)
    with pytest.raises(InvalidInput) as caught:
        read_series("time,a\n2020-01-02T00:00Z,5\n", CARBON, unit="yuan_per_kwh")
    assert "g_per_kwh, kg_per_kwh" in str(caught.value.problems[0].message)
