"""The facts of a site: values that never change. A newer version follows an older one; nothing is overwritten.

Everything is a whole number, so that sums over hours are exact: micro-yuan and milligrams of CO2e for a kilowatt hour,
PUE in basis points (10,000 is 1), milliwatts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from functools import lru_cache

HOUR_US = 3_600_000_000
ONE_BP = 10_000
"""A PUE of 1."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a fact comes from: words or an address, and the day it was true or published (2026-01-31)."""

    source: str
    as_of: str


class Days(StrEnum):
    """Days that a period of a tariff covers: working days or weekends, unless the tariff's calendar says otherwise.

    At hours that no period of `holidays` covers, holidays count as weekends.
    """

    ALL = "all"
    WORKDAYS = "workdays"
    WEEKENDS = "weekends"
    HOLIDAYS = "holidays"


KINDS_OF_DAY = (Days.WORKDAYS, Days.WEEKENDS, Days.HOLIDAYS)


@dataclass(frozen=True, slots=True)
class Period:
    """Hours that cost the same, such as the peak hours of summer."""

    name: str
    micro_per_kwh: int
    months: tuple[int, ...] = tuple(range(1, 13))
    days: Days = Days.ALL
    hours: tuple[int, ...] = tuple(range(24))
    """The hour that begins at 8:00 is 8."""


@dataclass(frozen=True, slots=True)
class Flat:
    """One price at all hours."""

    micro_per_kwh: int


@dataclass(frozen=True, slots=True)
class TimeOfUse:
    """A price by month, kind of day and hour of a time zone. Each hour is in exactly one period."""

    zone: str
    periods: tuple[Period, ...]
    holidays: tuple[date, ...] = ()
    """Public holidays."""
    working_days: tuple[date, ...] = ()
    """Saturdays and Sundays that are worked to make up for them."""

    def kind_of(self, day: date) -> Days:
        """Return which kind of day it is: one of KINDS_OF_DAY."""
        return _calendar(self.holidays, self.working_days).get(
            day, Days.WEEKENDS if day.weekday() >= SATURDAY else Days.WORKDAYS
        )


SATURDAY = 5


@lru_cache(maxsize=64)
def _calendar(holidays: tuple[date, ...], working_days: tuple[date, ...]) -> Mapping[date, Days]:
    return dict.fromkeys(working_days, Days.WORKDAYS) | dict.fromkeys(holidays, Days.HOLIDAYS)


@dataclass(frozen=True, slots=True)
class Constant:
    """One carbon factor at all hours."""

    mg_per_kwh: int


@dataclass(frozen=True, slots=True)
class Hourly:
    """A value for each hour, from an imported series."""

    series_id: str


@dataclass(frozen=True, slots=True)
class Pue:
    """Facility energy over the energy of the machines (power usage effectiveness)."""

    bp: int
    origin: Origin


@dataclass(frozen=True, slots=True)
class Tariff:
    """Price of a kilowatt-hour for the site."""

    rule: Flat | TimeOfUse | Hourly
    origin: Origin


@dataclass(frozen=True, slots=True)
class Carbon:
    """Location-based CO2e of a kilowatt hour from the grid."""

    rule: Constant | Hourly
    origin: Origin


@dataclass(frozen=True, slots=True)
class CorePower:
    """Power of a busy CPU core with its share of the machine. Used only for work without accelerators."""

    milliwatts: int
    origin: Origin


@dataclass(frozen=True, slots=True)
class FactsWish:
    """Facts to be set. None: not known, and then not used in calculations."""

    pue: Pue
    tariff: Tariff | None = None
    carbon: Carbon | None = None
    core: CorePower | None = None
    valid_from_us: int | None = None
    """Start of validity; None: now."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class SiteFacts:
    """A version of the site's facts. The version with the latest `valid_from_us` before a time applies to it; of several the newest."""

    number: int
    valid_from_us: int
    pue: Pue
    tariff: Tariff | None
    carbon: Carbon | None
    core: CorePower | None
    note: str
    set_by: str
    set_us: int

    @property
    def series(self) -> frozenset[str]:
        """Ids of the hourly series that it names."""
        rules = [part.rule for part in (self.tariff, self.carbon) if part is not None]
        return frozenset(rule.series_id for rule in rules if isinstance(rule, Hourly))


class SeriesKind(StrEnum):
    """Quantity that the hours of a series hold."""

    CARBON = "carbon"
    """Milligrams CO2e for a kilowatt hour."""
    PRICE = "price"
    """Micro-yuan for a kilowatt hour."""


@dataclass(frozen=True, slots=True)
class Series:
    """An imported series. Hours are added to it; an hour that it has is never changed."""

    id: str
    name: str
    kind: SeriesKind
    origin: Origin
    hours: int
    """Number of hours of the series."""
    first_us: int
    until_us: int
    """End of its last hour."""
    made_by: str
    made_us: int


@dataclass(frozen=True, slots=True)
class Hours:
    """A part of a series."""

    values: Mapping[int, int] = field(default_factory=dict)
    """Hour since 1970 UTC → its value."""
    known_until: int = 0
    """The hour after the last one that the whole series has."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Input of `rules`: the versions of a site's facts, and the hours of the series that they name."""

    versions: tuple[SiteFacts, ...] = ()
    hours: Mapping[str, Hours] = field(default_factory=dict)

    def at(self, us: int) -> SiteFacts | None:
        """Return the version that holds at a moment."""
        held = [version for version in self.versions if version.valid_from_us <= us]
        return max(held, key=lambda one: (one.valid_from_us, one.number)) if held else None


@lru_cache(maxsize=64)
def table_of(periods: tuple[Period, ...]) -> Mapping[Days, Sequence[Sequence[Period | None]]]:
    """Kind of day → [month − 1][hour] → its period; the first one that has it. None: none has."""
    return {
        days: [[_first(periods, days, month, hour) for hour in range(24)] for month in range(1, 13)]
        for days in KINDS_OF_DAY
    }


def having(periods: Sequence[Period], days: Days, month: int, hour: int) -> Sequence[Period]:
    """Return the periods that have an hour of that kind of day."""
    those = [period for period in periods if month in period.months and hour in period.hours]
    if days is Days.HOLIDAYS:
        own = [period for period in those if period.days is days]
        return own or having(periods, Days.WEEKENDS, month, hour)
    return [period for period in those if period.days in (Days.ALL, days)]


def _first(periods: Sequence[Period], days: Days, month: int, hour: int) -> Period | None:
    return next(iter(having(periods, days, month, hour)), None)
