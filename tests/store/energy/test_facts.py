"""Versions of facts and imported series in the store, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from tests.store.ledger.books import CLERK, MEMBER, NOON, at, opened
from tests.unit.energy.site import BANDS, ORIGIN

from pearlstreet.base.errors import Conflict, Forbidden, InvalidInput
from pearlstreet.energy.documents import CALENDAR, from_row, to_document
from pearlstreet.energy.model import (
    HOUR_US,
    Carbon,
    Constant,
    Days,
    FactsWish,
    Flat,
    Hourly,
    Origin,
    Period,
    Pue,
    SeriesKind,
    Tariff,
)
from pearlstreet.energy.rules import footprint
from pearlstreet.energy.service import (
    Import,
    current_facts,
    facts_between,
    import_series,
    list_facts,
    list_series,
    series_hours,
    set_facts,
)
from pearlstreet.store.core import Store

WISH = FactsWish(Pue(12_500, ORIGIN), Tariff(BANDS, ORIGIN), Carbon(Constant(536_600), ORIGIN))
FILE = "time,g_per_kwh\n" + "".join(
    f"2026-11-{day:02d}T{hour:02d}:00Z,{day * 10}.5\n" for day in (9, 10) for hour in range(24)
)


def test_versions_follow_each_other_and_none_is_changed(store: Store) -> None:
    ours = opened(store)
    assert current_facts(ours, MEMBER) is None
    first = set_facts(ours, CLERK, WISH)
    later = replace(WISH, pue=Pue(11_000, ORIGIN), valid_from_us=NOON + HOUR_US)
    second = set_facts(ours, CLERK, later)
    assert [one.number for one in list_facts(ours, MEMBER)] == [2, 1]
    assert list_facts(ours, MEMBER)[1] == first
    assert first.tariff == WISH.tariff
    assert current_facts(ours, MEMBER) == first
    assert current_facts(at(ours, NOON + HOUR_US), MEMBER) == second


def test_only_operators_set_them_and_everybody_reads_them(store: Store) -> None:
    ours = opened(store)
    with pytest.raises(Forbidden):
        set_facts(ours, MEMBER, WISH)
    with pytest.raises(Forbidden):
        import_series(ours, MEMBER, Import("grid", SeriesKind.CARBON, FILE, "dispatch center", "2026-11-11"))
    assert list_facts(ours, MEMBER) == []


def test_what_cannot_be_true_is_refused_field_by_field(sqlite_store: Store) -> None:
    ours = opened(sqlite_store)
    nights = replace(BANDS.periods[0], hours=(0, 1, 2, 3, 4, 5, 22))
    wrong = FactsWish(
        Pue(9_999, Origin(" ", "yesterday")),
        Tariff(replace(BANDS, periods=(nights, *BANDS.periods[1:])), ORIGIN),
        Carbon(Constant(3_000_001), ORIGIN),
    )
    with pytest.raises(InvalidInput) as caught:
        set_facts(ours, CLERK, wrong)
    fields = [problem.field for problem in caught.value.problems]
    assert fields == ["pue.value", "pue.source", "pue.as_of", "tariff.periods", "carbon.g_per_kwh"]
    assert "hour 23 of workdays in month 1" in str(caught.value.problems[3].message)
    twice = replace(BANDS, periods=(*BANDS.periods, replace(BANDS.periods[0], days=Days.WEEKENDS)))
    with pytest.raises(InvalidInput) as caught:
        set_facts(ours, CLERK, replace(WISH, tariff=Tariff(twice, ORIGIN)))
    assert "hour 0 of weekends in month 1: night + night" in str(caught.value.problems[0].message)
    with pytest.raises(InvalidInput) as caught:
        set_facts(ours, CLERK, replace(WISH, carbon=Carbon(Hourly("nowhere"), ORIGIN)))
    assert [problem.field for problem in caught.value.problems] == ["carbon.series"]
    assert list_facts(ours, CLERK) == []


def test_a_calendar_is_kept_with_its_tariff(store: Store) -> None:
    ours = opened(store)
    rule = replace(BANDS, holidays=(date(2026, 10, 1), date(2026, 10, 2)), working_days=(date(2026, 9, 26),))
    made = set_facts(ours, CLERK, replace(WISH, tariff=Tariff(rule, ORIGIN)))
    assert made.tariff == Tariff(rule, ORIGIN)
    assert current_facts(ours, MEMBER) == made


def test_tariffs_of_before_calendars_are_read(sqlite_store: Store) -> None:
    document = to_document(WISH)
    for name in CALENDAR:
        del document["tariff"][name]
    row = {"number": 1, "valid_from_us": 0, "document": document, "set_by": "x", "set_us": 0}
    assert from_row(row).tariff == WISH.tariff


@pytest.mark.parametrize(
    ("changed", "field", "said"),
    [
        ({"holidays": (date(2026, 5, 1), date(2026, 5, 1))}, "holidays", "2026-05-01 is named twice"),
        (
            {"holidays": (date(2026, 5, 3),), "working_days": (date(2026, 5, 3),)},
            "working_days",
            "at once",
        ),
        ({"working_days": (date(2026, 5, 5),)}, "working_days", "2026-05-05 is no Saturday or Sunday"),
        ({"holidays": (date(1926, 5, 1),)}, "holidays", "not between 1990 and 2100"),
        (
            {"periods": (*BANDS.periods, Period("rest", 1, days=Days.HOLIDAYS))},
            "holidays",
            "no day is named as one",
        ),
        (
            {
                "periods": (*BANDS.periods, *[Period("rest", 1, days=Days.HOLIDAYS)] * 2),
                "holidays": (date(2026, 5, 1),),
            },
            "periods",
            "hour 0 of holidays in month 1: rest + rest",
        ),
        (
            {"periods": (Period("rest", 1, days=Days.HOLIDAYS),), "holidays": (date(2026, 5, 1),)},
            "periods",
            "No period has hour 0 of workdays",
        ),
    ],
)
def test_a_calendar_that_cannot_be_is_refused(
    sqlite_store: Store, changed: dict[str, Any], field: str, said: str
) -> None:
    ours = opened(sqlite_store)
    with pytest.raises(InvalidInput) as caught:
        set_facts(ours, CLERK, replace(WISH, tariff=Tariff(replace(BANDS, **changed), ORIGIN)))
    (problem,) = caught.value.problems
    assert problem.field == f"tariff.{field}"
    assert said in str(problem.message)


def test_a_series_is_imported_extended_and_reckoned_with(store: Store) -> None:
    ours = opened(store)
    made = import_series(
        ours, CLERK, Import("grid", SeriesKind.CARBON, FILE, "dispatch center", "2026-11-11")
    )
    assert (made.added, made.series.hours) == (48, 48)
    more = FILE + "2026-11-11T00:00Z,400\n"
    grown = import_series(ours, CLERK, Import("grid", SeriesKind.CARBON, more))
    assert (grown.added, grown.series.hours) == (1, 49)
    assert grown.series.until_us - grown.series.first_us == 49 * HOUR_US
    assert list_series(ours, MEMBER) == [grown.series]
    _, hours = series_hours(ours, MEMBER, "grid", from_us=grown.series.until_us - 2 * HOUR_US)
    assert list(hours.values.values()) == [100_500, 400_000]
    wish = FactsWish(
        Pue(10_000, ORIGIN),
        Tariff(Flat(0), ORIGIN),
        Carbon(Hourly("grid"), ORIGIN),
        valid_from_us=made.series.first_us,
    )
    set_facts(ours, CLERK, wish)
    start = grown.series.until_us - 2 * HOUR_US
    facts = facts_between(ours, MEMBER, start, start + 2 * HOUR_US)
    assert footprint(2.0, start, start + 2 * HOUR_US, facts).carbon_kg == pytest.approx(0.5005)
    assert footprint(2.0, start + HOUR_US, start + 3 * HOUR_US, facts).carbon_kg is None


def test_an_hour_that_is_known_is_never_changed(store: Store) -> None:
    ours = opened(store)
    wish = Import("grid", SeriesKind.CARBON, FILE, "dispatch center", "2026-11-11")
    import_series(ours, CLERK, wish)
    with pytest.raises(Conflict, match="2026-11-10T05:00Z"):
        import_series(
            ours, CLERK, replace(wish, csv="time,g_per_kwh\n2026-11-12T00:00Z,1\n2026-11-10T05:00Z,1\n")
        )
    with pytest.raises(Conflict, match="holds carbon, not price"):
        import_series(
            ours, CLERK, Import("grid", SeriesKind.PRICE, "time,yuan_per_kwh\n2026-11-12T00:00Z,1\n")
        )
    assert list_series(ours, CLERK)[0].hours == 48
    with pytest.raises(InvalidInput) as caught:
        set_facts(ours, CLERK, replace(WISH, tariff=Tariff(Hourly("grid"), ORIGIN)))
    assert caught.value.problems[0].field == "tariff.series"


def test_a_new_series_says_where_it_comes_from(sqlite_store: Store) -> None:
    with pytest.raises(InvalidInput) as caught:
        import_series(opened(sqlite_store), CLERK, Import("grid", SeriesKind.CARBON, FILE))
    assert [problem.field for problem in caught.value.problems] == ["source", "as_of"]
