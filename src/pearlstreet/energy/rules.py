"""PURE: from energy of the machines and the facts of the site to energy of the facility, carbon and what it cost.

Energy is taken as spread evenly over its stretch of time. The rates (PUE, price, carbon factor) change at hours and at new
versions of the facts; they are integrated piece by piece in whole numbers, so nothing depends on where a stretch is
cut. What no fact is known for is None: nothing is guessed, unless a forecast is asked for, which says so.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from itertools import pairwise

from pearlstreet.base.clock import EPOCH
from pearlstreet.energy.model import (
    HOUR_US,
    ONE_BP,
    Constant,
    Facts,
    Flat,
    Hourly,
    Hours,
    SiteFacts,
    TimeOfUse,
    table_of,
)
from pearlstreet.ledger.months import zone_of

FORECAST_DAYS = 7
"""Number of last known days whose mean at the same hour forecasts a future hour."""
NAMES = ("pue", "tariff", "carbon")


@dataclass(frozen=True, slots=True)
class Footprint:
    """Footprint at the site of some energy of machines. None: a fact was missing for some of the time."""

    it_kwh: float
    facility_kwh: float | None
    """PUE applied once."""
    carbon_kg: float | None
    """CO2e, location-based, of the facility's energy."""
    energy_cost_micro: int | None
    """Cost of the energy for the site, in micro-yuan. Shown, never charged."""
    versions: tuple[int, ...] = ()
    """Numbers of the versions of the facts that it was calculated with."""
    forecast: bool = False
    """Whether a value of some hour is a forecast."""
    missing: tuple[str, ...] = ()
    """Facts of `NAMES` that were unknown for some of the time."""

    def times(self, factor: float) -> Footprint:
        """Return the footprint of `factor` times as much energy at the same time."""
        cost = self.energy_cost_micro
        return Footprint(
            self.it_kwh * factor,
            None if self.facility_kwh is None else self.facility_kwh * factor,
            None if self.carbon_kg is None else self.carbon_kg * factor,
            None if cost is None else round(cost * factor),
            self.versions,
            self.forecast,
            self.missing,
        )


def footprint(
    it_kwh: float, start_us: int, end_us: int, facts: Facts, *, forecast: bool = False
) -> Footprint:
    """Return what `it_kwh`, used evenly from `start_us` to `end_us`, came to.

    `facts`: service.read_facts of (at least) that stretch. `forecast`: hours after the end of a series count as the
    same hour of its last known days.
    """
    return Meter(facts, start_us, end_us, forecast=forecast).of(it_kwh, start_us, end_us)


class Meter:
    """The rates of a stretch of time, summed up once, for many footprints inside it."""

    def __init__(self, facts: Facts, start_us: int, end_us: int, *, forecast: bool = False) -> None:
        self._facts = facts
        end_us = max(end_us, start_us + 1)
        pieces = list(_pieces(facts, start_us, end_us, forecast))
        self._starts = [piece.start_us for piece in pieces]
        self._pieces = pieces
        ends = [*self._starts[1:], end_us]
        self._pue, self._cost, self._carbon = (
            _Sum([getattr(piece, name) for piece in pieces], self._starts, ends)
            for name in ("pue", "cost", "carbon")
        )

    def of(self, it_kwh: float, start_us: int, end_us: int) -> Footprint:
        """Return the footprint of energy used evenly between two moments of the stretch."""
        end_us = max(end_us, start_us + 1)
        first = bisect_right(self._starts, start_us) - 1
        last = bisect_right(self._starts, end_us - 1)
        used = self._pieces[first:last]
        pue, cost, carbon = (rate.mean(start_us, end_us) for rate in (self._pue, self._cost, self._carbon))
        return Footprint(
            it_kwh=it_kwh,
            facility_kwh=None if pue is None else it_kwh * pue / ONE_BP,
            carbon_kg=None if carbon is None else it_kwh * carbon / (ONE_BP * 1_000_000),
            energy_cost_micro=None if cost is None else round(it_kwh * cost / ONE_BP),
            versions=tuple(sorted({piece.version for piece in used if piece.version})),
            forecast=any(piece.forecast for piece in used),
            missing=tuple(
                name for name, known in zip(NAMES, (pue, cost, carbon), strict=True) if known is None
            ),
        )

    def carbon_mg_per_it_kwh(self, start_us: int, end_us: int) -> float | None:
        """Return mean carbon of a kilowatt hour of the machines between two moments, PUE in it."""
        mean = self._carbon.mean(start_us, end_us)
        return None if mean is None else mean / ONE_BP

    def is_forecast(self, start_us: int, end_us: int) -> bool:
        """Return whether a value of some hour between two moments is a forecast."""
        first = bisect_right(self._starts, start_us) - 1
        return any(piece.forecast for piece in self._pieces[first : bisect_right(self._starts, end_us - 1)])


@dataclass(frozen=True, slots=True)
class Start:
    """A moment at which work could begin, and the mean carbon of a kilowatt hour of the machines until its end."""

    start_us: int
    g_per_it_kwh: float
    forecast: bool


def starts_by_carbon(facts: Facts, duration_us: int, candidates: Iterable[int]) -> Sequence[Start]:
    """Candidate starts, greenest first; of equal ones the earliest. Empty where no hourly carbon is known: then no
    start is greener than another. Future hours are forecasts (see `footprint`)."""
    starts = sorted(set(candidates))
    if not starts or duration_us <= 0:
        return ()
    end_us = starts[-1] + duration_us
    held = [version for version in facts.versions if version.valid_from_us < end_us]
    if not any(version.carbon and isinstance(version.carbon.rule, Hourly) for version in held):
        return ()
    meter = Meter(facts, starts[0], end_us, forecast=True)
    found = []
    for start_us in starts:
        mean = meter.carbon_mg_per_it_kwh(start_us, start_us + duration_us)
        if mean is not None:
            foretold = meter.is_forecast(start_us, start_us + duration_us)
            found.append(Start(start_us, mean / 1000, foretold))
    return sorted(found, key=lambda start: (start.g_per_it_kwh, start.start_us))


@dataclass(frozen=True, slots=True)
class _Piece:
    """A stretch at one rate. `pue`, `cost` and `carbon` are per kilowatt hour of the machines, in basis points."""

    start_us: int
    version: int
    pue: int | None
    cost: int | None
    carbon: int | None
    forecast: bool


class _Sum:
    """The integral of a rate over time. A piece without a rate makes every stretch that touches it unknown."""

    def __init__(self, rates: Sequence[int | None], starts: Sequence[int], ends: Sequence[int]) -> None:
        self._rates, self._starts = rates, starts
        self._sums, self._gaps = [0], [0]
        for rate, start_us, end_us in zip(rates, starts, ends, strict=True):
            self._sums.append(self._sums[-1] + (rate or 0) * (end_us - start_us))
            self._gaps.append(self._gaps[-1] + (end_us - start_us if rate is None else 0))

    def mean(self, start_us: int, end_us: int) -> float | None:
        """Return the mean over the period, rounded once from whole numbers; None if part of it is unknown."""
        if self._upto(self._gaps, end_us, gap=True) != self._upto(self._gaps, start_us, gap=True):
            return None
        return (self._upto(self._sums, end_us) - self._upto(self._sums, start_us)) / (end_us - start_us)

    def _upto(self, sums: Sequence[int], us: int, *, gap: bool = False) -> int:
        index = max(bisect_right(self._starts, us) - 1, 0)
        rate = self._rates[index]
        inside = int(rate is None) if gap else rate or 0
        return sums[index] + inside * (us - self._starts[index])


def _pieces(facts: Facts, start_us: int, end_us: int, forecast: bool) -> Iterable[_Piece]:
    changes = sorted({version.valid_from_us for version in facts.versions})
    for from_us, to_us in _cut(start_us, end_us, changes):
        version = facts.at(from_us)
        if version is None:
            yield _Piece(from_us, 0, None, None, None, False)
        else:
            yield from _version_pieces(version, facts, from_us, to_us, forecast)


def _cut(start_us: int, end_us: int, changes: Sequence[int]) -> Iterable[tuple[int, int]]:
    inside = [us for us in changes if start_us < us < end_us]
    edges = [start_us, *inside, end_us]
    return pairwise(edges)


def _version_pieces(
    version: SiteFacts, facts: Facts, start_us: int, end_us: int, forecast: bool
) -> Iterable[_Piece]:
    tariff = version.tariff.rule if version.tariff else None
    carbon = version.carbon.rule if version.carbon else None
    bp = version.pue.bp
    us = start_us
    while us < end_us:
        until_us = end_us
        cost: int | None = None
        grams: int | None = None
        foretold = False
        if isinstance(tariff, Flat):
            cost = tariff.micro_per_kwh
        elif isinstance(tariff, TimeOfUse):
            cost, local_end_us = _local(tariff, us)
            until_us = min(until_us, local_end_us)
        if isinstance(carbon, Constant):
            grams = carbon.mg_per_kwh
        if isinstance(tariff, Hourly) or isinstance(carbon, Hourly):
            until_us = min(until_us, (us // HOUR_US + 1) * HOUR_US)
        if isinstance(tariff, Hourly):
            cost, by_forecast = _hour(facts.hours.get(tariff.series_id), us // HOUR_US, forecast)
            foretold = foretold or by_forecast
        if isinstance(carbon, Hourly):
            grams, by_forecast = _hour(facts.hours.get(carbon.series_id), us // HOUR_US, forecast)
            foretold = foretold or by_forecast
        yield _Piece(
            us,
            version.number,
            bp,
            None if cost is None else cost * bp,
            None if grams is None else grams * bp,
            foretold,
        )
        us = until_us


def _local(tariff: TimeOfUse, us: int) -> tuple[int | None, int]:
    """Return the price at a moment, and the end of that hour in the tariff's time zone."""
    local = (EPOCH + timedelta(microseconds=us)).astimezone(zone_of(tariff.zone))
    into_us = (local.minute * 60 + local.second) * 1_000_000 + local.microsecond
    period = table_of(tariff.periods)[tariff.kind_of(local.date())][local.month - 1][local.hour]
    return (None if period is None else period.micro_per_kwh), us + HOUR_US - into_us


def _hour(hours: Hours | None, hour: int, forecast: bool) -> tuple[int | None, bool]:
    """Return the value of an hour, and whether it is a forecast."""
    if hours is None:
        return None, False
    known = hours.values.get(hour)
    if known is not None or not forecast or hour < hours.known_until:
        return known, False
    # The last day on which this hour of the day is known, and those before it.
    last = hour - -(-(hour - hours.known_until + 1) // 24) * 24
    days = [hours.values.get(last - 24 * back) for back in range(FORECAST_DAYS)]
    same = [value for value in days if value is not None]
    return (round(Fraction(sum(same), len(same))), True) if same else (None, False)
