"""From energy of the machines to facility energy, carbon and cost."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from zoneinfo import ZoneInfo

from tests.unit.energy.site import BANDS, version

from pearlstreet.energy.model import HOUR_US, Constant, Days, Facts, Flat, Hourly, Hours, Period
from pearlstreet.energy.rules import footprint, starts_by_carbon

SHANGHAI = ZoneInfo("Asia/Shanghai")


def us(*when: int) -> int:
    """A moment in Shanghai."""
    return int(datetime(*when, tzinfo=SHANGHAI).timestamp()) * 1_000_000  # type: ignore[arg-type]


def test_pue_is_applied_once_to_energy_cost_and_carbon() -> None:
    found = footprint(100.0, us(2026, 5, 4, 8), us(2026, 5, 4, 10), Facts((version(),)))
    assert found.it_kwh == 100.0
    assert found.facility_kwh == 125.0
    assert found.carbon_kg == 62.5
    assert found.energy_cost_micro == 125 * 700_000
    assert (found.versions, found.forecast, found.missing) == ((1,), False, ())


def test_hours_weekends_and_nights_have_their_own_price() -> None:
    facts = Facts((version(pue_bp=10_000),))
    # 21:30 to 22:30 on a Friday: half an hour of day, half of night.
    assert (
        footprint(10.0, us(2026, 5, 8, 21, 30), us(2026, 5, 8, 22, 30), facts).energy_cost_micro == 5_000_000
    )
    # Saturday.
    assert footprint(10.0, us(2026, 5, 9, 8), us(2026, 5, 9, 9), facts).energy_cost_micro == 5_000_000
    assert footprint(10.0, us(2026, 5, 8, 8), us(2026, 5, 8, 9), facts).energy_cost_micro == 7_000_000


def test_holidays_and_days_that_make_up_for_them_have_the_price_of_their_kind() -> None:
    # Friday and Saturday are holidays, Sunday is worked.
    calendar = {"holidays": (date(2026, 5, 8), date(2026, 5, 9)), "working_days": (date(2026, 5, 10),)}
    own = (Period("quiet", 100_000, hours=(10, 11), months=(5,), days=Days.HOLIDAYS),)
    for periods, at_ten in ((BANDS.periods, 5_000_000), ((*BANDS.periods, *own), 1_000_000)):
        tariff = replace(BANDS, periods=periods, **calendar)
        facts = Facts((version(pue_bp=10_000, tariff=tariff),))
        paid = {
            (day, hour): footprint(
                10.0, us(2026, 5, day, hour), us(2026, 5, day, hour + 1), facts
            ).energy_cost_micro
            for day in (7, 8, 9, 10)
            for hour in (3, 9, 10)
        }
        assert {paid[day, 3] for day in (7, 8, 9, 10)} == {3_000_000}, "nights are nights on every day"
        assert paid[7, 9] == paid[7, 10] == paid[10, 9] == paid[10, 10] == 7_000_000
        assert paid[8, 9] == paid[9, 9] == 5_000_000, "a holiday counts as a weekend where it has no period"
        assert paid[8, 10] == paid[9, 10] == at_ten


def test_a_holiday_ends_at_midnight_of_the_tariffs_zone() -> None:
    tariff = replace(BANDS, periods=(Period("all", 1_000_000), Period("rest", 0, days=Days.HOLIDAYS)))
    facts = Facts((version(pue_bp=10_000, tariff=replace(tariff, holidays=(date(2026, 5, 8),))),))
    for hour, expected in ((23, 0), (24, 10_000_000)):
        begin_us = us(2026, 5, 8, 0) + hour * HOUR_US
        assert footprint(10.0, begin_us, begin_us + HOUR_US, facts).energy_cost_micro == expected


def test_a_new_version_holds_from_its_time_on() -> None:
    at = us(2026, 5, 4, 9)
    facts = Facts((version(), version(2, at, pue_bp=10_000, tariff=Flat(1_000_000), carbon=None)))
    found = footprint(2.0, at - HOUR_US, at + HOUR_US, facts)
    assert found.facility_kwh == 1.25 + 1.0
    assert found.energy_cost_micro == 875_000 + 1_000_000
    assert found.carbon_kg is None, (
        "the second hour has no factor: half of the carbon would be a wrong figure"
    )
    assert found.missing == ("carbon",)
    assert found.versions == (1, 2)


def test_of_versions_valid_from_the_same_moment_the_newest_holds() -> None:
    facts = Facts((version(1, 0, pue_bp=20_000), version(2, 0, pue_bp=10_000)))
    assert footprint(1.0, 10, 20, facts).facility_kwh == 1.0


def test_nothing_is_guessed_where_no_fact_is() -> None:
    nothing = footprint(5.0, 0, HOUR_US, Facts())
    assert (nothing.facility_kwh, nothing.carbon_kg, nothing.energy_cost_micro) == (None, None, None)
    assert nothing.missing == ("pue", "tariff", "carbon")
    late = footprint(5.0, 0, 2 * HOUR_US, Facts((version(1, HOUR_US),)))
    assert late.facility_kwh is None


def test_hourly_values_are_taken_hour_by_hour() -> None:
    rule = Hourly("ser_a")
    hours = {"ser_a": Hours({0: 100_000, 1: 300_000}, 2)}
    facts = Facts((version(pue_bp=10_000, carbon=rule, tariff=None),), hours)
    assert footprint(4.0, 0, 2 * HOUR_US, facts).carbon_kg == 0.8
    # A quarter of the time in the first hour.
    assert footprint(4.0, HOUR_US * 3 // 4, HOUR_US * 7 // 4, facts).carbon_kg == 1.0


def test_an_hour_without_value_is_unknown_and_only_hours_to_come_are_foretold() -> None:
    rule = Hourly("ser_a")
    known = {hour: 100_000 + 1_000 * hour for hour in range(24 * 10) if hour != 30}
    facts = Facts((version(pue_bp=10_000, carbon=rule, tariff=None),), {"ser_a": Hours(known, 240)})
    gap = footprint(1.0, 30 * HOUR_US, 31 * HOUR_US, facts, forecast=True)
    assert (gap.carbon_kg, gap.forecast, gap.missing) == (None, False, ("tariff", "carbon"))
    assert footprint(1.0, 250 * HOUR_US, 251 * HOUR_US, facts).carbon_kg is None
    for hour in (240, 250, 263, 264, 400):
        found = footprint(1.0, hour * HOUR_US, (hour + 1) * HOUR_US, facts, forecast=True)
        days = [day * 24 + hour % 24 for day in range(3, 10)]
        assert found.carbon_kg == round(sum(known[one] for one in days) / 7) / 1_000_000
        assert found.forecast


def test_the_greenest_start_comes_first() -> None:
    rule = Hourly("ser_a")
    values = {hour: (100_000 if 10 <= hour % 24 < 16 else 600_000) for hour in range(24 * 8)}
    facts = Facts((version(carbon=rule),), {"ser_a": Hours(values, 192)})
    candidates = [hour * HOUR_US for hour in range(180, 210)]
    found = starts_by_carbon(facts, 5 * HOUR_US, candidates)
    assert found[0].start_us == 202 * HOUR_US, (
        "at 12:00 only four green hours are left; the next morning has five"
    )
    assert found[0].g_per_it_kwh == 125.0
    assert found[0].forecast


def test_without_hourly_carbon_no_start_is_greener() -> None:
    assert starts_by_carbon(Facts((version(),)), HOUR_US, [0, HOUR_US]) == ()
    assert starts_by_carbon(Facts(), HOUR_US, [0]) == ()


def test_clocks_that_change_keep_the_hours_of_the_wall() -> None:
    """On the day clocks go forward in Berlin the night has seven hours."""
    zone = "Europe/Berlin"
    bands = type(BANDS)(zone, BANDS.periods)
    facts = Facts((version(pue_bp=10_000, tariff=bands, carbon=Constant(0)),))
    start = int(datetime(2026, 3, 29, tzinfo=ZoneInfo(zone)).timestamp()) * 1_000_000
    end = int(datetime(2026, 3, 30, tzinfo=ZoneInfo(zone)).timestamp()) * 1_000_000
    assert end - start == 23 * HOUR_US
    assert footprint(23.0, start, end, facts).energy_cost_micro == 7 * 300_000 + 16 * 500_000
