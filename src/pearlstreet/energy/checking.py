"""PURE: checks whether site facts are plausible. Every problem is named with its field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date
from itertools import product

from pearlstreet.base.days import format_days, parse_day, parse_run
from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import Text, text
from pearlstreet.energy.model import (
    KINDS_OF_DAY,
    ONE_BP,
    SATURDAY,
    Carbon,
    Constant,
    CorePower,
    Days,
    FactsWish,
    Flat,
    Hourly,
    Origin,
    Pue,
    Tariff,
    TimeOfUse,
    having,
)
from pearlstreet.ledger.months import zone_of

PUE_MOST_BP = 5 * ONE_BP
PRICE_MOST_MICRO = 100_000_000
"""A hundred yuan for a kilowatt hour."""
CARBON_MOST_MG = 3_000_000
"""Three kilograms for a kilowatt hour; lignite comes to about 1.2."""
CORE_MOST_MW = 500_000
PERIODS_MOST = 100
YEARS_US = 10 * 366 * 86_400_000_000
SOURCE_LETTERS = 500
YEARS = (1990, 2100)
DAYS_MOST = 1000
"""Holidays of a tariff, and as many working days: decades of them."""
SHOWN = 5
"""Days that one message names."""


def problems_of(wish: FactsWish, now_us: int) -> list[Problem]:
    """Return the problems of implausible facts; none if they are plausible."""
    problems = [
        *_pue(wish.pue),
        *(_tariff(wish.tariff) if wish.tariff else ()),
        *(_carbon(wish.carbon) if wish.carbon else ()),
        *(_core(wish.core) if wish.core else ()),
    ]
    if wish.valid_from_us is not None and abs(wish.valid_from_us - now_us) > YEARS_US:
        problems.append(Problem("valid_from", text("Facts begin to hold within ten years of now")))
    if len(wish.note) > 500:
        problems.append(Problem("note", text("At most {count} characters fit", count=500)))
    return problems


def check_origin(origin: Origin, where: str) -> Iterator[Problem]:
    """Yield what is wrong with where a fact comes from."""
    if not origin.source.strip():
        message = text("Say where it comes from: a document, an address, a meter")
        yield Problem(f"{where}.source", message)
    elif len(origin.source) > SOURCE_LETTERS:
        yield Problem(f"{where}.source", text("At most {count} characters fit", count=SOURCE_LETTERS))
    if not _is_day(origin.as_of):
        message = text("{value} is not a day", value=origin.as_of[:40] or "-")
        yield Problem(f"{where}.as_of", message, hint=text("Write it like 2026-01-31"))


def _is_day(value: str) -> bool:
    try:
        return YEARS[0] <= parse_day(value).year <= YEARS[1]
    except ValueError:
        return False


def read_run(written: str, where: str) -> tuple[date, ...]:
    """Return a day of a tariff's calendar, or several in a row. Raises InvalidInput naming `where`."""
    try:
        return parse_run(written)
    except ValueError:
        message = text("{value} is neither a day nor days in a row", value=written[:40] or "-")
        hint = text("Such as 2026-10-01..2026-10-07")
        raise InvalidInput(message, problems=[Problem(where, message, hint=hint)]) from None


def _pue(pue: Pue) -> Iterator[Problem]:
    if not ONE_BP <= pue.bp <= PUE_MOST_BP:
        yield Problem(
            "pue.value",
            text("A PUE is from 1 to 5"),
            hint=text("It is the energy of the whole facility over that of the machines"),
        )
    yield from check_origin(pue.origin, "pue")


def _tariff(tariff: Tariff) -> Iterator[Problem]:
    rule = tariff.rule
    if isinstance(rule, Flat):
        yield from _price(rule.micro_per_kwh, "tariff.yuan_per_kwh")
    elif isinstance(rule, TimeOfUse):
        yield from _time_of_use(rule)
    elif isinstance(rule, Hourly) and not rule.series_id:
        yield Problem("tariff.series", text("Name an imported series"))
    yield from check_origin(tariff.origin, "tariff")


def _price(micro: int, where: str) -> Iterator[Problem]:
    if not 0 <= micro <= PRICE_MOST_MICRO:
        yield Problem(where, text("A price is from 0 to 100 yuan a kilowatt hour"))


def _time_of_use(rule: TimeOfUse) -> Iterator[Problem]:
    try:
        zone_of(rule.zone)
    except InvalidInput as error:
        yield Problem("tariff.zone", error.message, hint=error.hint)
    if len(rule.periods) > PERIODS_MOST:
        yield Problem("tariff.periods", text("At most {count} periods fit", count=PERIODS_MOST))
        return
    yield from _calendar(rule)
    sound = True
    for index, period in enumerate(rule.periods):
        where = f"tariff.periods[{index}]"
        yield from _price(period.micro_per_kwh, f"{where}.yuan_per_kwh")
        if not 0 < len(period.name) <= 40:
            yield Problem(f"{where}.name", text("A name has 1 to 40 characters"))
        for name, values, least, most in (("months", period.months, 1, 12), ("hours", period.hours, 0, 23)):
            if not values or not all(least <= value <= most for value in values):
                sound = False
                yield Problem(
                    f"{where}.{name}",
                    text("{name} are numbers from {least} to {most}", name=name, least=least, most=most),
                )
    if sound:
        yield from _each_hour_once(rule)


def _each_hour_once(rule: TimeOfUse) -> Iterator[Problem]:
    """Yield the first hour that no period has; else the first that two have."""
    double = None
    for month, days, hour in product(range(1, 13), KINDS_OF_DAY, range(24)):
        found = having(rule.periods, days, month, hour)
        if not found:
            message = text("No period has {when}", when=_when(month, days, hour))
            yield Problem("tariff.periods", message)
            return
        if len(found) > 1 and double is None:
            names = " + ".join(period.name for period in found[:2])
            double = text("Two periods have {when}: {names}", when=_when(month, days, hour), names=names)
    if double is not None:
        yield Problem("tariff.periods", double)


def _when(month: int, days: Days, hour: int) -> Text:
    if days is Days.HOLIDAYS:
        return text("hour {hour} of holidays in month {month}", hour=hour, month=month)
    if days is Days.WEEKENDS:
        return text("hour {hour} of weekends in month {month}", hour=hour, month=month)
    return text("hour {hour} of workdays in month {month}", hour=hour, month=month)


def _calendar(rule: TimeOfUse) -> Iterator[Problem]:
    """Yield what is wrong with the holidays and the days that make up for them: the first few days of each kind of mistake."""
    for name, days in (("holidays", rule.holidays), ("working_days", rule.working_days)):
        where = f"tariff.{name}"
        if len(days) > DAYS_MOST:
            yield Problem(where, text("At most {count} days fit", count=DAYS_MOST))
        elif twice := sorted(day for day, count in Counter(days).items() if count > 1):
            yield Problem(where, text("{days} is named twice", days=format_days(twice[:SHOWN])))
        if outside := [day for day in days if not YEARS[0] <= day.year <= YEARS[1]]:
            message = text("{days} is not between 1990 and 2100", days=format_days(outside[:SHOWN]))
            yield Problem(where, message)
    if both := sorted(set(rule.holidays) & set(rule.working_days)):
        message = text("{days} is a holiday and a working day at once", days=format_days(both[:SHOWN]))
        yield Problem("tariff.working_days", message)
    if idle := sorted(day for day in set(rule.working_days) if day.weekday() < SATURDAY):
        message = text("{days} is no Saturday or Sunday: it is worked anyway", days=format_days(idle[:SHOWN]))
        yield Problem("tariff.working_days", message)
    if not rule.holidays and any(period.days is Days.HOLIDAYS for period in rule.periods):
        hint = text("Such as 2026-10-01..2026-10-07")
        yield Problem(
            "tariff.holidays", text("A period is for holidays, and no day is named as one"), hint=hint
        )


def _carbon(carbon: Carbon) -> Iterator[Problem]:
    rule = carbon.rule
    if isinstance(rule, Constant) and not 0 <= rule.mg_per_kwh <= CARBON_MOST_MG:
        yield Problem("carbon.g_per_kwh", text("A carbon factor is from 0 to 3000 g CO2e a kilowatt hour"))
    if isinstance(rule, Hourly) and not rule.series_id:
        yield Problem("carbon.series", text("Name an imported series"))
    yield from check_origin(carbon.origin, "carbon")


def _core(core: CorePower) -> Iterator[Problem]:
    if not 0 <= core.milliwatts <= CORE_MOST_MW:
        yield Problem("core.watts", text("A core draws from 0 to 500 W"))
    yield from check_origin(core.origin, "core")
