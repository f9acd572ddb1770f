"""PURE: whether facts can be true. Every problem is named with its field."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import Text, text
from pearlstreet.energy.model import (
    KINDS_OF_DAY,
    ONE_BP,
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
    table_of,
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
_DAY = re.compile(r"^\d{4}-\d{2}-\d{2}$")


def check_wish(wish: FactsWish, now_us: int) -> None:
    """Raise InvalidInput unless the facts can be true."""
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
    if problems:
        raise InvalidInput(text("The facts of the site are not usable"), problems=problems)


def check_origin(origin: Origin, where: str) -> Iterator[Problem]:
    """What is wrong with where a fact comes from."""
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
        return bool(_DAY.match(value)) and 1990 <= date.fromisoformat(value).year <= 2100
    except ValueError:
        return False


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
    """The first hour that no period has, and the first that two have."""
    table = table_of(rule)
    for month, kinds in enumerate(table, 1):
        for kind, hours in enumerate(kinds):
            for hour, found in enumerate(hours):
                if found is None:
                    words = _when(month, kind, hour)
                    yield Problem("tariff.periods", text("No period has {when}", when=words))
                    return
    for month in range(1, 13):
        for kind, days in enumerate(KINDS_OF_DAY):
            for hour in range(24):
                having = [
                    period.name
                    for period in rule.periods
                    if month in period.months and hour in period.hours and period.days in (Days.ALL, days)
                ]
                if len(having) > 1:
                    names = " + ".join(having[:2])
                    message = text(
                        "Two periods have {when}: {names}", when=_when(month, kind, hour), names=names
                    )
                    yield Problem("tariff.periods", message)
                    return


def _when(month: int, kind: int, hour: int) -> Text:
    if kind:
        return text("hour {hour} of weekends in month {month}", hour=hour, month=month)
    return text("hour {hour} of workdays in month {month}", hour=hour, month=month)


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
