"""Routes of the site's energy facts, hourly series, and the energy use of jobs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from enum import StrEnum
from functools import partial
from typing import Annotated, TypeVar

from fastapi import Query, Request, Response
from pydantic import Field

from pearlstreet.api.energy_use import EnergyUseOut, energy_out
from pearlstreet.api.models import In, Out, Time, Yuan, read_time, read_yuan, time_of, yuan_of
from pearlstreet.api.paging import Cursor, Limit, Page, page, read_number
from pearlstreet.api.request_inputs import BODY_LIMIT_BYTES, language_of
from pearlstreet.api.routing import CurrentActor, SecuredRouter, Tied, center_of, command, in_thread, query
from pearlstreet.base.errors import Gathered, InvalidInput, Problem
from pearlstreet.base.money import Money
from pearlstreet.base.text import text
from pearlstreet.energy import service
from pearlstreet.energy.checking import read_run
from pearlstreet.energy.documents import CALENDAR
from pearlstreet.energy.jobs import JobEnergy, job_energy
from pearlstreet.energy.model import (
    HOUR_US,
    ONE_BP,
    Carbon,
    Constant,
    CorePower,
    Days,
    FactsWish,
    Flat,
    Hourly,
    Hours,
    Origin,
    Period,
    Pue,
    Series,
    SeriesKind,
    SiteFacts,
    Tariff,
    TimeOfUse,
)
from pearlstreet.energy.presets import bands_presets, carbon_presets
from pearlstreet.ledger.site import read_site
from pearlstreet.tenancy.model import Actor

router = SecuredRouter("/energy", "energy")
T = TypeVar("T")

Source = Annotated[
    str, Field(max_length=2000, description="Source of the value: a document, a URL or a meter")
]
Day = Annotated[
    str, Field(max_length=40, description="Date of the value or of its publication", examples=["2026-01-31"])
]

CalendarDay = Annotated[
    str, Field(max_length=40, description="A day or a range of days", examples=["2026-10-01..2026-10-07"])
]


class TariffKind(StrEnum):
    """Kind of time dependence of a price."""

    FLAT = "flat"
    TIME_OF_USE = "time_of_use"
    HOURLY = "hourly"


class CarbonKind(StrEnum):
    """Kind of time dependence of a carbon factor."""

    CONSTANT = "constant"
    HOURLY = "hourly"


class PueIn(In):
    """Power usage effectiveness: facility energy divided by the energy of the machines."""

    value: float = Field(allow_inf_nan=False)
    source: Source
    as_of: Day


class PeriodIn(In):
    """Hours with one price; hour 8 begins at 8:00."""

    name: str = Field(max_length=80)
    yuan_per_kwh: Yuan = Field(max_length=40)
    months: list[int] = Field(default_factory=lambda: list(range(1, 13)), max_length=12)
    days: Days = Days.ALL
    hours: list[int] = Field(default_factory=lambda: list(range(24)), max_length=24)


class TariffIn(In):
    """Price of a kilowatt hour for the site: flat, by month, day and hour, or an imported series.

    A time-of-use tariff may name public holidays (with periods of their own, `days: holidays`; otherwise they count as
    weekends) and working Saturdays and Sundays.
    """

    kind: TariffKind
    yuan_per_kwh: Yuan | None = Field(None, max_length=40, description="Price of a flat tariff")
    zone: str | None = Field(
        None, max_length=80, description="Time zone of a time-of-use tariff; by default that of the invoices"
    )
    periods: list[PeriodIn] = Field(default_factory=list, max_length=200)
    holidays: list[CalendarDay] = Field(default_factory=list, max_length=2000)
    working_days: list[CalendarDay] = Field(default_factory=list, max_length=2000)
    series: str | None = Field(None, max_length=80, description="Series of an hourly tariff, by name or id")
    source: Source
    as_of: Day


class CarbonIn(In):
    """Location-based CO2e per kilowatt hour from the grid: a constant or an imported series."""

    kind: CarbonKind
    g_per_kwh: float | None = Field(None, allow_inf_nan=False)
    series: str | None = Field(None, max_length=80)
    source: Source
    as_of: Day


class CoreIn(In):
    """Power of a busy CPU core with its share of the machine; used for jobs without accelerators."""

    watts: float = Field(allow_inf_nan=False)
    source: Source
    as_of: Day


class FactsIn(In):
    """A new version of the facts. Omitted facts are unknown, and figures that need them are null."""

    pue: PueIn
    tariff: TariffIn | None = None
    carbon: CarbonIn | None = None
    core: CoreIn | None = None
    valid_from: str | None = Field(None, max_length=40, description="Start of validity; by default now")
    note: str = Field("", max_length=2000)


class FactsOut(Out):
    """One version of the facts. Versions never change."""

    number: int
    valid_from: Time
    current: bool
    pue: PueIn
    tariff: TariffIn | None
    carbon: CarbonIn | None
    core: CoreIn | None
    note: str
    set_by: str | None
    set: Time


class SiteOut(Out):
    """The current energy facts; null if none are set."""

    facts: FactsOut | None
    time_zone: str


def facts_out(found: SiteFacts, current: int | None, *, full: bool) -> dict[str, object]:
    """Return a version as a FactsOut; `full`: with the name of the user that set it."""
    return {
        "number": found.number,
        "valid_from": time_of(found.valid_from_us),
        "current": found.number == current,
        "pue": {"value": found.pue.bp / ONE_BP, **_origin(found.pue.origin)},
        "tariff": found.tariff and _tariff_out(found.tariff),
        "carbon": found.carbon and _carbon_out(found.carbon),
        "core": found.core and {"watts": found.core.milliwatts / 1000, **_origin(found.core.origin)},
        "note": found.note,
        "set_by": found.set_by if full else None,
        "set": time_of(found.set_us),
    }


def _origin(origin: Origin) -> dict[str, str]:
    return {"source": origin.source, "as_of": origin.as_of}


def _tariff_out(found: Tariff) -> dict[str, object]:
    rule = found.rule
    shown: dict[str, object] = {"yuan_per_kwh": None, "zone": None, "periods": [], "series": None}
    shown |= {"holidays": [], "working_days": []}
    if isinstance(rule, Flat):
        shown |= {"kind": TariffKind.FLAT, "yuan_per_kwh": yuan_of(Money(rule.micro_per_kwh))}
    elif isinstance(rule, Hourly):
        shown |= {"kind": TariffKind.HOURLY, "series": rule.series_id}
    else:
        periods = [
            {
                "name": one.name,
                "yuan_per_kwh": yuan_of(Money(one.micro_per_kwh)),
                "months": list(one.months),
                "days": one.days.value,
                "hours": list(one.hours),
            }
            for one in rule.periods
        ]
        shown |= {"kind": TariffKind.TIME_OF_USE, "zone": rule.zone, "periods": periods}
        shown |= {
            "holidays": list(map(str, rule.holidays)),
            "working_days": list(map(str, rule.working_days)),
        }
    return shown | _origin(found.origin)


def _carbon_out(found: Carbon) -> dict[str, object]:
    rule = found.rule
    if isinstance(rule, Constant):
        shown = {"kind": CarbonKind.CONSTANT, "g_per_kwh": rule.mg_per_kwh / 1000, "series": None}
    else:
        shown = {"kind": CarbonKind.HOURLY, "g_per_kwh": None, "series": rule.series_id}
    return shown | _origin(found.origin)


@router.get("", tie=Tied.PROJECT, scope="energy:read", responses={200: {"model": SiteOut}})
async def get_energy(request: Request, actor: Actor = CurrentActor) -> Response:
    """Get the current facts: PUE, tariff and carbon factor, each with source and date."""
    store, full = center_of(request).store, bool(actor.operator_roles)

    def work() -> dict[str, object]:
        found = service.current_facts(store, actor)
        shown = None if found is None else facts_out(found, found.number, full=full)
        return {"facts": shown, "time_zone": store.read(read_site).time_zone}

    return await query(work, lambda found: found)


@router.get("/facts", tie=Tied.PROJECT, scope="energy:read", responses={200: {"model": Page[FactsOut]}})
async def list_energy_facts(
    request: Request, actor: Actor = CurrentActor, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """List all versions of the facts, past and future, newest first."""
    store, before, full = center_of(request).store, read_number(cursor), bool(actor.operator_roles)

    def work() -> tuple[Sequence[SiteFacts], int | None]:
        now = service.current_facts(store, actor)
        rows = service.list_facts(store, actor, before=before, limit=limit + 1)
        return rows, now.number if now else None

    return await query(
        work,
        lambda found: page(
            found[0], limit, lambda row: str(row.number), lambda row: facts_out(row, found[1], full=full)
        ),
    )


@router.post(
    "/facts",
    scope="energy:write",
    at_center=True,
    location="/energy/facts",
    status_code=201,
    responses={201: {"model": FactsOut}},
)
async def set_energy_facts(request: Request, body: FactsIn, actor: Actor = CurrentActor) -> Response:
    """Set a new version of the facts, valid from now or from a time. Issued invoices do not change."""
    store = center_of(request).store
    zone = await in_thread(lambda: store.read(read_site).time_zone)
    unread = Gathered()
    wish = _wish(body, zone, unread)
    return await command(
        request,
        actor,
        lambda s: service.set_facts(s, actor, wish, unread.problems),
        lambda made: facts_out(made, None, full=True),
        status=201,
    )


def _wish(body: FactsIn, zone: str, unread: Gathered) -> FactsWish:
    """Return the facts of a body. Problems of unreadable values go into `unread`; placeholders replace these values."""
    return FactsWish(
        pue=Pue(_whole(body.pue.value, ONE_BP), Origin(body.pue.source, body.pue.as_of)),
        tariff=None if body.tariff is None else _tariff(body.tariff, zone, unread),
        carbon=None if body.carbon is None else _carbon(body.carbon, unread),
        core=None if body.core is None else _core(body.core),
        valid_from_us=unread.read(lambda: read_time(body.valid_from, "valid_from"), None),
        note=body.note.strip(),
    )


def _whole(value: float, scale: int) -> int:
    """Return the value in its stored unit, clamped so that values out of bounds remain out of bounds."""
    return round(max(-1e9, min(1e9, value)) * scale)


def _tariff(body: TariffIn, zone: str, unread: Gathered) -> Tariff:
    origin = Origin(body.source, body.as_of)
    if body.kind is not TariffKind.TIME_OF_USE:
        _refuse_calendar(body, unread)
    if body.kind is TariffKind.HOURLY:
        return Tariff(Hourly(body.series or ""), origin)
    if body.kind is TariffKind.FLAT:
        return Tariff(Flat(_price(body.yuan_per_kwh, "tariff.yuan_per_kwh", unread)), origin)
    periods = tuple(
        Period(
            one.name.strip(),
            _price(one.yuan_per_kwh, f"tariff.periods[{index}].yuan_per_kwh", unread),
            tuple(one.months),
            one.days,
            tuple(one.hours),
        )
        for index, one in enumerate(body.periods)
    )
    calendar = {name: _days(getattr(body, name), f"tariff.{name}", unread) for name in CALENDAR}
    return Tariff(TimeOfUse(body.zone or zone, periods, **calendar), origin)


def _price(written: str | None, where: str, unread: Gathered) -> int:
    return unread.read(lambda: read_yuan(_needed(written, where), where), Money(0)).micro


def _days(written: list[str], where: str, unread: Gathered) -> tuple[date, ...]:
    found: list[date] = []
    for index, one in enumerate(written):
        found += unread.read(partial(read_run, one, f"{where}[{index}]"), ())
    return tuple(found)


def _refuse_calendar(body: TariffIn, unread: Gathered) -> None:
    for name in CALENDAR:
        if getattr(body, name):
            message = text("Only a tariff by month, day and hour has holidays and working days")
            unread.problems.append(Problem(f"tariff.{name}", message))


def _carbon(body: CarbonIn, unread: Gathered) -> Carbon:
    origin = Origin(body.source, body.as_of)
    if body.kind is CarbonKind.HOURLY:
        return Carbon(Hourly(body.series or ""), origin)
    factor = unread.read(lambda: _needed(body.g_per_kwh, "carbon.g_per_kwh"), 0.0)
    return Carbon(Constant(_whole(factor, 1000)), origin)


def _core(body: CoreIn) -> CorePower:
    return CorePower(_whole(body.watts, 1000), Origin(body.source, body.as_of))


def _needed(value: T | None, field: str) -> T:
    if value is None:
        message = text("{field} is missing", field=field)
        raise InvalidInput(message, problems=[Problem(field, message)])
    return value


class CarbonPresetOut(Out):
    """A published carbon factor."""

    id: str
    title: str
    g_per_kwh: float
    source: str
    as_of: str


class BandsOut(Out):
    """Published hours of a time-of-use tariff; prices must be taken from the site's contract."""

    id: str
    title: str
    names: list[str]
    zone: str
    periods: list[PeriodIn]
    source: str
    as_of: str


class PresetsOut(Out):
    """Presets to choose from; none is used until it is set."""

    carbon: list[CarbonPresetOut]
    tariff_hours: list[BandsOut]


@router.get("/presets", tie=Tied.PROJECT, scope="energy:read", responses={200: {"model": PresetsOut}})
async def list_energy_presets(request: Request, actor: Actor = CurrentActor) -> Response:
    """List published carbon factors and tariff hours, each with source and date."""
    chinese = language_of(request) == "zh-CN"

    def work() -> dict[str, object]:
        carbon = [
            {
                "id": one.id,
                "title": one.title_zh if chinese else one.title,
                "g_per_kwh": one.mg_per_kwh / 1000,
                **_origin(one.origin),
            }
            for one in carbon_presets()
        ]
        hours = []
        for one in bands_presets():
            shown = _tariff_out(Tariff(one.rule, one.origin))
            kept = {name: shown[name] for name in ("zone", "periods", "source", "as_of")}
            title = one.title_zh if chinese else one.title
            hours.append({"id": one.id, "title": title, "names": list(one.names), **kept})
        return {"carbon": carbon, "tariff_hours": hours}

    return await query(work, lambda found: found)


class SeriesOut(Out):
    """An imported hourly series."""

    id: str
    name: str
    kind: SeriesKind
    hours: int
    first: Time | None
    until: Time | None
    source: str
    as_of: str
    made: Time


class SeriesList(Out):
    """Every series, by name."""

    items: list[SeriesOut]


class SeriesIn(In):
    """Hours as CSV: a header line, then lines with a time including a zone and a value."""

    name: str = Field(max_length=200, description="Name of the series; hours are added if it exists")
    kind: SeriesKind
    csv: str = Field(max_length=BODY_LIMIT_BYTES)
    column: str | None = Field(None, max_length=80, description="Column of the values; by default the second")
    unit: str | None = Field(
        None, max_length=40, description="g_per_kwh, kg_per_kwh, kg_per_mwh, yuan_per_kwh or yuan_per_mwh"
    )
    source: str = Field("", max_length=2000)
    as_of: str = Field("", max_length=40)


class ImportedOut(Out):
    """Result of an import."""

    series: SeriesOut
    added: int


def _series(found: Series) -> dict[str, object]:
    return {
        "id": found.id,
        "name": found.name,
        "kind": found.kind.value,
        "hours": found.hours,
        "first": time_of(found.first_us) if found.hours else None,
        "until": time_of(found.until_us) if found.hours else None,
        **_origin(found.origin),
        "made": time_of(found.made_us),
    }


@router.get("/series", tie=Tied.PROJECT, scope="energy:read", responses={200: {"model": SeriesList}})
async def list_energy_series(request: Request, actor: Actor = CurrentActor) -> Response:
    """List the imported hourly series of carbon factors and prices."""
    store = center_of(request).store
    return await query(
        lambda: service.list_series(store, actor), lambda rows: {"items": [_series(row) for row in rows]}
    )


@router.post(
    "/series",
    scope="energy:write",
    at_center=True,
    location="/energy/series/{series.id}/hours",
    status_code=201,
    responses={201: {"model": ImportedOut}},
)
async def import_energy_series(request: Request, body: SeriesIn, actor: Actor = CurrentActor) -> Response:
    """Import hours from CSV, as a new series or as additional hours of an existing one. Existing hours never change."""
    wish = service.Import(**body.model_dump())
    return await command(
        request,
        actor,
        lambda s: service.import_series(s, actor, wish),
        lambda made: {"series": _series(made.series), "added": made.added},
        status=201,
    )


class HourOut(Out):
    """One hour and its value."""

    start: Time
    value: float


class HoursOut(Out):
    """Hours of a series, oldest first."""

    series: SeriesOut
    unit: str
    items: list[HourOut]


@router.get(
    "/series/{series}/hours", tie=Tied.PROJECT, scope="energy:read", responses={200: {"model": HoursOut}}
)
async def list_energy_series_hours(
    request: Request,
    series: str,
    actor: Actor = CurrentActor,
    since: Annotated[str | None, Query(alias="from", max_length=40, description="RFC 3339")] = None,
    until: Annotated[str | None, Query(max_length=40, description="RFC 3339")] = None,
) -> Response:
    """List the hours of a series between two times, by default its last two weeks."""
    store = center_of(request).store
    from_us, until_us = read_time(since, "from"), read_time(until, "until")

    def render(found: tuple[Series, Hours]) -> dict[str, object]:
        one, part = found
        is_carbon = one.kind is SeriesKind.CARBON
        scale = 1_000 if is_carbon else 1_000_000
        return {
            "series": _series(one),
            "unit": "g_per_kwh" if is_carbon else "yuan_per_kwh",
            "items": [
                {"start": time_of(hour * HOUR_US), "value": value / scale}
                for hour, value in sorted(part.values.items())
            ],
        }

    return await query(
        lambda: service.series_hours(store, actor, series, from_us=from_us, until_us=until_us), render
    )


class AttemptEnergyOut(Out):
    """Energy use of one attempt; `basis`: measured, rated, cores or unknown."""

    attempt_id: str
    model: str
    start: Time
    end: Time
    basis: str
    it_kwh: float | None


class JobEnergyOut(Out):
    """Energy use of a job, or of all elements of an array, up to now."""

    job_id: str
    energy: EnergyUseOut
    attempts: list[AttemptEnergyOut]


@router.get("/jobs/{job}", tie=Tied.PROJECT, scope="jobs:read", responses={200: {"model": JobEnergyOut}})
async def get_job_energy(request: Request, job: str, actor: Actor = CurrentActor) -> Response:
    """Get the energy and carbon of a job up to now, by attempt, with the basis of the figures."""
    store, language = center_of(request).store, language_of(request)

    def render(found: JobEnergy) -> dict[str, object]:
        return {
            "job_id": found.job_id,
            "energy": energy_out(found.used, language),
            "attempts": [
                {
                    "attempt_id": one.attempt_id,
                    "model": one.model,
                    "start": time_of(one.start_us),
                    "end": time_of(one.end_us),
                    "basis": one.basis.value,
                    "it_kwh": one.it_kwh,
                }
                for one in found.attempts
            ],
        }

    return await query(lambda: job_energy(store, actor, job), render)
