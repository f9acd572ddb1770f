"""The form of energy facts: parsing fields to facts, and filling fields from facts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import partial

from pearlstreet.base.days import format_days, split_runs
from pearlstreet.base.errors import Gathered
from pearlstreet.base.money import Money, parse_yuan
from pearlstreet.base.text import text
from pearlstreet.base.units import format_runs
from pearlstreet.console.form_parsing import moment_in, number_in, text_in, wrong, yuan_in
from pearlstreet.console.page_request import PageRequest
from pearlstreet.energy.checking import read_run
from pearlstreet.energy.documents import CALENDAR
from pearlstreet.energy.model import (
    ONE_BP,
    Carbon,
    Constant,
    CorePower,
    Days,
    FactsWish,
    Flat,
    Hourly,
    Origin,
    Period,
    Pue,
    SiteFacts,
    Tariff,
    TimeOfUse,
)

NUMBERS_MOST = 60


def read_form(request: PageRequest, zone: str, unread: Gathered) -> FactsWish:
    """Return the facts in a form. Problems of unreadable values go into `unread`; placeholders replace these values."""
    core = unread.read(lambda: _scaled(request, "core", 1000), 0) if request.value("core") else None
    return FactsWish(
        pue=Pue(unread.read(lambda: _scaled(request, "pue", ONE_BP), ONE_BP), _origin(request, "pue")),
        tariff=_tariff(request, zone, unread),
        carbon=_carbon(request, unread),
        core=None if core is None else CorePower(core, _origin(request, "core")),
        valid_from_us=unread.read(lambda: moment_in(request, "valid_from", zone), None),
        note=unread.read(lambda: text_in(request, "note", 500), ""),
    )


def field_of(problem_field: str) -> str:
    """Return the form's field for a problem's field in the facts."""
    part, _, rest = problem_field.partition(".")
    if rest in ("source", "as_of"):
        return f"{part}_{rest}"
    known = {
        "pue.value": "pue",
        "tariff.yuan_per_kwh": "tariff_price",
        "tariff.series": "tariff_series",
        "tariff.holidays": "tariff_holidays",
        "tariff.working_days": "tariff_working_days",
        "carbon.g_per_kwh": "carbon",
        "carbon.series": "carbon_series",
        "core.watts": "core",
    }
    if part == "tariff" and problem_field not in known:
        return "tariff_periods"
    return known.get(problem_field, problem_field)


def write_form(facts: SiteFacts | None) -> Mapping[str, str]:
    """Return the initial values of the fields from the current facts."""
    shown = {"tariff_kind": "none", "carbon_kind": "none"}
    if facts is None:
        return shown
    shown |= {"pue": f"{facts.pue.bp / ONE_BP:g}", **_origin_fields("pue", facts.pue.origin)}
    if facts.tariff is not None:
        rule = facts.tariff.rule
        shown |= _origin_fields("tariff", facts.tariff.origin)
        if isinstance(rule, Flat):
            shown |= {"tariff_kind": "flat", "tariff_price": _yuan(rule.micro_per_kwh)}
        elif isinstance(rule, Hourly):
            shown |= {"tariff_kind": "hourly", "tariff_series": rule.series_id}
        else:
            shown |= {"tariff_kind": "time_of_use", "tariff_periods": write_periods(rule)}
            shown |= {f"tariff_{name}": format_days(getattr(rule, name)) for name in CALENDAR}
    if facts.carbon is not None:
        factor = facts.carbon.rule
        shown |= _origin_fields("carbon", facts.carbon.origin)
        if isinstance(factor, Constant):
            shown |= {"carbon_kind": "constant", "carbon": f"{factor.mg_per_kwh / 1000:g}"}
        else:
            shown |= {"carbon_kind": "hourly", "carbon_series": factor.series_id}
    if facts.core is not None:
        shown |= {"core": f"{facts.core.milliwatts / 1000:g}", **_origin_fields("core", facts.core.origin)}
    return shown


def write_periods(rule: TimeOfUse) -> str:
    """Return the periods as text for `read_periods`, one per line."""
    return "\n".join(
        f"{one.name}; {_yuan(one.micro_per_kwh)}; {format_runs(one.months)}; {one.days.value}; {format_runs(one.hours)}"
        for one in rule.periods
    )


def read_periods(written: str) -> tuple[Period, ...]:
    """Parse periods, one per line: name; yuan; months; days; hours, such as `peak; 1.10; 7-9; all; 8-10,13-14`.

    Raises InvalidInput with the line number, for the field `tariff.periods` of the facts (see `field_of`).
    """
    found = []
    for number, line in enumerate(written.splitlines(), 1):
        parts = [part.strip() for part in line.split(";")]
        if parts == [""]:
            continue
        try:
            name, price, months, days, hours = parts
            micro = parse_yuan(price).micro
            found.append(Period(name, micro, _numbers(months), Days(days), _numbers(hours)))
        except ValueError:
            message = text("Line {line} does not read as name; yuan; months; days; hours", line=number)
            raise wrong("tariff.periods", message) from None
    return tuple(found)


def _numbers(written: str) -> tuple[int, ...]:
    found: list[int] = []
    for part in written.split(","):
        first, dash, last = part.strip().partition("-")
        start, end = int(first), int(last) if dash else int(first)
        if not 0 <= start <= end <= NUMBERS_MOST:
            raise ValueError(written)
        found += range(start, end + 1)
    return tuple(found)


def _days(request: PageRequest, name: str, unread: Gathered) -> tuple[date, ...]:
    """Parse the days of a calendar: days and ranges of days, separated by commas, blanks or line breaks."""
    found: list[date] = []
    for one in split_runs(request.value(f"tariff_{name}")):
        found += unread.read(partial(read_run, one, f"tariff.{name}"), ())
    return tuple(found)


def _tariff(request: PageRequest, zone: str, unread: Gathered) -> Tariff | None:
    kind = request.value("tariff_kind")
    if kind == "flat":
        micro = unread.read(lambda: yuan_in(request, "tariff_price"), Money(0)).micro
        return Tariff(Flat(micro), _origin(request, "tariff"))
    if kind == "hourly":
        return Tariff(Hourly(request.value("tariff_series")), _origin(request, "tariff"))
    if kind == "time_of_use":
        written = request.value("tariff_periods").replace("\r\n", "\n")
        none: tuple[Period, ...] = ()
        periods = unread.read(lambda: read_periods(written), none)
        calendar = {name: _days(request, name, unread) for name in CALENDAR}
        return Tariff(TimeOfUse(zone, periods, **calendar), _origin(request, "tariff"))
    return None


def _carbon(request: PageRequest, unread: Gathered) -> Carbon | None:
    kind = request.value("carbon_kind")
    if kind == "constant":
        factor = unread.read(lambda: _scaled(request, "carbon", 1000), 0)
        return Carbon(Constant(factor), _origin(request, "carbon"))
    if kind == "hourly":
        return Carbon(Hourly(request.value("carbon_series")), _origin(request, "carbon"))
    return None


def _scaled(request: PageRequest, field: str, scale: int) -> int:
    value = number_in(request, field)
    if value is None:
        raise wrong(field, text("{field} is missing", field=field))
    if not -1e9 < value < 1e9:
        raise wrong(field, text("{value} is not a number", value=request.value(field)[:40]))
    return round(value * scale)


def _origin(request: PageRequest, part: str) -> Origin:
    return Origin(request.value(f"{part}_source"), request.value(f"{part}_as_of"))


def _origin_fields(part: str, origin: Origin) -> dict[str, str]:
    return {f"{part}_source": origin.source, f"{part}_as_of": origin.as_of}


def _yuan(micro: int) -> str:
    return f"{Money(micro)}".replace(",", "")
