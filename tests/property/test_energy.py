"""The integration over hours against a model that looks at every second."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.energy.model import (
    HOUR_US,
    Carbon,
    Constant,
    Days,
    Facts,
    Flat,
    Hourly,
    Hours,
    Origin,
    Period,
    Pue,
    SiteFacts,
    Tariff,
    TimeOfUse,
)
from pearlstreet.energy.rules import Footprint, Meter, footprint

S = 1_000_000
STEP_S = 300
"""Stretches begin and end on it, so that the model may look at every fifth minute instead of every second."""
ORIGIN = Origin("x", "2026-01-01")
START = int(datetime(2026, 3, 27, tzinfo=UTC).timestamp())
"""Two days before clocks go forward in Europe; a weekend is inside."""
SPAN = 5 * 86_400 // STEP_S
DAYS = (*(date(2026, 3, day) for day in range(26, 32)), date(2026, 4, 1), date(2026, 4, 2))
ZONES = ("Asia/Shanghai", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns", "UTC")

seconds = st.integers(0, SPAN).map(lambda steps: START + steps * STEP_S)


@st.composite
def tariffs(draw: st.DrawFn) -> Tariff | None:
    """Each kind there is."""
    kind = draw(st.sampled_from(["none", "flat", "bands", "hourly"]))
    if kind == "none":
        return None
    if kind == "flat":
        return Tariff(Flat(draw(st.integers(0, 2_000_000))), ORIGIN)
    if kind == "hourly":
        return Tariff(Hourly("price"), ORIGIN)
    cut = draw(st.integers(1, 23))
    price = st.integers(0, 2_000_000)
    early, late = tuple(range(cut)), tuple(range(cut, 24))
    periods = (
        Period("early", draw(price), hours=early),
        Period("late", draw(price), hours=late, days=Days.WORKDAYS),
        Period("weekend", draw(price), hours=late, days=Days.WEEKENDS),
    )
    if draw(st.booleans()):
        some = tuple(draw(st.sets(st.integers(0, 23), min_size=1)))
        periods += (Period("holiday", draw(price), hours=some, days=Days.HOLIDAYS),)
    holidays = tuple(draw(st.sets(st.sampled_from(DAYS))))
    worked = tuple(day for day in DAYS if day.weekday() >= 5 and day not in holidays and draw(st.booleans()))
    return Tariff(TimeOfUse(draw(st.sampled_from(ZONES)), periods, holidays, worked), ORIGIN)


@st.composite
def sites(draw: st.DrawFn) -> Facts:
    """Up to three versions, and series with gaps."""
    versions = []
    for number in range(1, draw(st.integers(0, 3)) + 1):
        carbon = draw(st.sampled_from([None, Constant(draw(st.integers(0, 900_000))), Hourly("carbon")]))
        versions.append(
            SiteFacts(
                number,
                (draw(seconds) if draw(st.booleans()) else START) * S,
                Pue(draw(st.integers(10_000, 20_000)), ORIGIN),
                draw(tariffs()),
                None if carbon is None else Carbon(carbon, ORIGIN),
                None,
                "",
                "x",
                0,
            )
        )
    first = START // 3600
    hours = {}
    for name in ("price", "carbon"):
        known = {hour: (hour * 7919) % 1_000_000 for hour in range(first, first + 5 * 24 + 1)}
        for gap in draw(st.lists(st.integers(first, first + 119), max_size=2)):
            known.pop(gap, None)
        hours[name] = Hours(known, first + 5 * 24 + 1)
    return Facts(tuple(versions), hours)


def naive(kwh: float, start_s: int, end_s: int, facts: Facts) -> Footprint:
    """By looking at each moment."""
    moments = range(start_s, end_s, STEP_S)
    part = kwh / len(moments)
    facility: float | None = 0.0
    carbon: float | None = 0.0
    cost: float | None = 0.0
    for moment in moments:
        held = None
        for version in facts.versions:
            if version.valid_from_us <= moment * S and (
                held is None or (version.valid_from_us, version.number) > (held.valid_from_us, held.number)
            ):
                held = version
        price = grams = None
        if held is not None:
            price = _price(held.tariff, moment, facts)
            grams = _grams(held.carbon, moment, facts)
        used = None if held is None else part * held.pue.bp / 10_000
        facility = None if facility is None or used is None else facility + used
        cost = None if cost is None or used is None or price is None else cost + used * price
        carbon = None if carbon is None or used is None or grams is None else carbon + used * grams / 1e6
    return Footprint(kwh, facility, carbon, None if cost is None else round(cost))


def _price(tariff: Tariff | None, moment: int, facts: Facts) -> int | None:
    if tariff is None:
        return None
    if isinstance(tariff.rule, Flat):
        return tariff.rule.micro_per_kwh
    if isinstance(tariff.rule, Hourly):
        return facts.hours["price"].values.get(moment // 3600)
    local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=moment)).astimezone(
        ZoneInfo(tariff.rule.zone)
    )
    holiday = local.date() in tariff.rule.holidays
    weekend = holiday or (local.weekday() >= 5 and local.date() not in tariff.rule.working_days)
    for period in tariff.rule.periods:
        if holiday and period.days is Days.HOLIDAYS and local.hour in period.hours:
            return period.micro_per_kwh
    for period in tariff.rule.periods:
        if period.days is Days.HOLIDAYS:
            continue
        fits = period.days is Days.ALL or (period.days is Days.WEEKENDS) == weekend
        if fits and local.hour in period.hours and local.month in period.months:
            return period.micro_per_kwh
    raise AssertionError("no period")


def _grams(carbon: Carbon | None, moment: int, facts: Facts) -> int | None:
    if carbon is None:
        return None
    if isinstance(carbon.rule, Constant):
        return carbon.rule.mg_per_kwh
    return facts.hours["carbon"].values.get(moment // 3600)


def same(one: float | None, other: float | None, least: float) -> bool:
    """Both unknown, or as near as sums of many parts come."""
    if one is None or other is None:
        return one is other
    return abs(one - other) <= max(least, 1e-9 * abs(other))


@given(sites(), seconds, seconds, st.floats(0.001, 1e6))
def test_it_is_what_every_moment_adds_up_to(facts: Facts, one: int, other: int, kwh: float) -> None:
    start, end = min(one, other), max(one, other) + STEP_S
    found, expected = footprint(kwh, start * S, end * S, facts), naive(kwh, start, end, facts)
    assert same(found.facility_kwh, expected.facility_kwh, 1e-9)
    assert same(found.carbon_kg, expected.carbon_kg, 1e-9)
    assert same(found.energy_cost_micro, expected.energy_cost_micro, 1.0)
    assert ("pue" in found.missing) == (found.facility_kwh is None)
    assert ("tariff" in found.missing) == (found.energy_cost_micro is None)
    assert ("carbon" in found.missing) == (found.carbon_kg is None)


@given(sites(), st.lists(seconds, min_size=3, max_size=6, unique=True))
def test_it_does_not_matter_where_a_stretch_is_cut(facts: Facts, cuts: list[int]) -> None:
    """A kilowatt for the whole time, as one stretch or as several, through one meter or through many."""
    edges = sorted(cuts)
    whole = Meter(facts, edges[0] * S, edges[-1] * S)
    total = whole.of((edges[-1] - edges[0]) / 3600, edges[0] * S, edges[-1] * S)
    parts = [footprint((end - start) / 3600, start * S, end * S, facts) for start, end in pairwise(edges)]
    inside = [whole.of((end - start) / 3600, start * S, end * S) for start, end in pairwise(edges)]
    assert parts == inside
    for name, least in (("facility_kwh", 1e-9), ("carbon_kg", 1e-9), ("energy_cost_micro", len(parts))):
        found = [getattr(part, name) for part in parts]
        added = None if None in found else sum(found)
        assert same(added, getattr(total, name), least), name


@given(sites(), seconds, st.integers(1, 48))
def test_unknown_hours_are_never_guessed_without_a_forecast(facts: Facts, start: int, hours: int) -> None:
    found = footprint(1.0, start * S, start * S + hours * HOUR_US, facts)
    assert not found.forecast
    foretold = footprint(1.0, start * S, start * S + hours * HOUR_US, facts, forecast=True)
    if not foretold.forecast:
        assert foretold == found
