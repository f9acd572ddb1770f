"""The energy facts of the site: show, set, import hours; and what a job used."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pearlstreet.base.days import format_days, parse_day, split_runs
from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.money import with_yuan_sign
from pearlstreet.base.text import plural, text
from pearlstreet.base.units import format_figure, format_runs
from pearlstreet.cli.accounts import Json
from pearlstreet.cli.output import done, facts, out, say, show_json, table, time_cell, warn, who
from pearlstreet.cli.profile import client
from pearlstreet.client import results

energy = typer.Typer(
    help="Energy and carbon: show, set, import, presets, history, job.", no_args_is_help=True
)
PART_BYTES = 1_000_000
"""Bytes of a file sent in one request, because the size of a request is limited."""
DAYS = {
    "all": "every day",
    "workdays": "Monday to Friday",
    "weekends": "Saturday and Sunday",
    "holidays": "public holidays",
}
WITH_CALENDAR = DAYS | {"workdays": "working days", "weekends": "weekends"}
CALENDAR = {"holidays": "Public holidays", "working_days": "Working weekend days"}
PARTS = ("pue", "tariff", "carbon", "core")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(energy, name="energy")


@energy.command("show")
def show(as_json: Json = False) -> None:
    """Show the facts of the site that hold now: PUE, tariff, carbon factor."""
    with client() as center:
        found, series = center.energy.show(), center.energy.series()
    if as_json:
        show_json(found | {"series": series})
        return
    if found["facts"] is None:
        warn(say("No facts of the site are set: energy of the facility, its cost and carbon are not known"))
    else:
        _show(found["facts"], {one["id"]: one["name"] for one in series})
    if series:
        out.title("Hourly series")
        table(
            ("Name", "Kind", "Hours", "From", "Until", "Source"),
            [
                (r["name"], r["kind"], r["hours"], time_cell(r["first"]), time_cell(r["until"]), r["source"])
                for r in series
            ],
            right=(2,),
        )


def _show(found: Mapping[str, Any], names: Mapping[str, str]) -> None:
    tariff, carbon, core = found["tariff"], found["carbon"], found["core"]
    shown: dict[str, object] = {"Version": found["number"], "Valid from": time_cell(found["valid_from"])}
    if found["set_by"]:
        shown["By"] = who(found["set_by"])
    shown["PUE"] = _with_source(f"{found['pue']['value']:g}", found["pue"])
    if tariff is None:
        shown["Tariff"] = say("not known")
    elif tariff["kind"] == "flat":
        shown["Tariff"] = _with_source(f"{tariff['yuan_per_kwh']} {say('yuan/kWh')}", tariff)
    elif tariff["kind"] == "hourly":
        shown["Tariff"] = _with_source(
            say("hourly, series {series}", series=names.get(tariff["series"], tariff["series"])), tariff
        )
    else:
        shown["Tariff"] = _with_source(say("by month, day and hour in {zone}", zone=tariff["zone"]), tariff)
    if carbon is None:
        shown["Carbon factor"] = say("not known")
    elif carbon["kind"] == "hourly":
        shown["Carbon factor"] = _with_source(
            say("hourly, series {series}", series=names.get(carbon["series"], carbon["series"])), carbon
        )
    else:
        shown["Carbon factor"] = _with_source(f"{carbon['g_per_kwh']:g} g CO2e/kWh", carbon)
    shown["CPU core"] = _with_source(f"{core['watts']:g} W", core) if core else say("not known")
    if found["note"]:
        shown["Note"] = found["note"]
    facts(shown)
    if tariff is not None and tariff["periods"]:
        calendar = {name: tariff[name] for name in CALENDAR if tariff[name]}
        days = WITH_CALENDAR if calendar else DAYS
        out.title("Tariff")
        table(
            ("Period", "Yuan per kWh", "Months", "Days", "Hours"),
            [
                (
                    one["name"],
                    one["yuan_per_kwh"],
                    format_runs(one["months"]).replace(",", ", "),
                    say(days[one["days"]]),
                    format_runs(one["hours"]).replace(",", ", "),
                )
                for one in tariff["periods"]
            ],
            right=(1,),
        )
        facts({CALENDAR[name]: format_days(map(parse_day, named)) for name, named in calendar.items()})


def _with_source(value: str, part: Mapping[str, object]) -> str:
    return f"{value}  ({part['source']}, {part['as_of']})"


@energy.command("history")
def history(as_json: Json = False) -> None:
    """List every version of the facts, newest first."""
    with client() as center:
        rows = list(center.energy.history())
    if as_json:
        show_json(rows)
        return
    table(
        ("Version", "Valid from", "PUE", "Tariff", "Carbon factor", "Set", "Note"),
        [
            (
                r["number"],
                time_cell(r["valid_from"]),
                f"{r['pue']['value']:g}",
                say(r["tariff"]["kind"]) if r["tariff"] else "-",
                (f"{r['carbon']['g_per_kwh']:g}" if r["carbon"]["g_per_kwh"] is not None else say("hourly"))
                if r["carbon"]
                else "-",
                time_cell(r["set"]),
                r["note"],
            )
            for r in rows
        ],
        right=(0, 2),
    )


@energy.command("presets")
def presets(as_json: Json = False) -> None:
    """List published carbon factors and hours of tariffs to start from."""
    with client() as center:
        found = center.energy.presets()
    if as_json:
        show_json(found)
        return
    out.title("Carbon factor")
    table(
        ("Preset", "Name", "g CO2e/kWh", "Published"),
        [(r["id"], r["title"], f"{r['g_per_kwh']:g}", r["as_of"]) for r in found["carbon"]],
        right=(2,),
    )
    out.title("Hours of tariffs")
    table(
        ("Preset", "Name", "Prices needed", "Time zone"),
        [(r["id"], r["title"], ", ".join(r["names"]), r["zone"]) for r in found["tariff_hours"]],
    )


@energy.command("set")
def set_facts(
    pue: Annotated[float | None, typer.Option(help="Facility energy over that of the machines")] = None,
    price: Annotated[str | None, typer.Option(help="Yuan per kWh at all hours")] = None,
    tariff_hours: Annotated[str | None, typer.Option(help="Preset of hours: pearl energy presets")] = None,
    period_price: Annotated[
        list[str] | None,
        typer.Option(help="Yuan per kWh of its periods, e.g. peak=1.1", metavar="NAME=YUAN"),
    ] = None,
    holidays: Annotated[
        str | None, typer.Option(help="Public holidays of the tariff, e.g. 2026-10-01..2026-10-07,2026-01-01")
    ] = None,
    working_days: Annotated[
        str | None, typer.Option(help="Saturdays and Sundays that are worked, e.g. 2026-02-14,2026-02-28")
    ] = None,
    price_series: Annotated[str | None, typer.Option(help="Imported series of prices")] = None,
    carbon: Annotated[float | None, typer.Option(help="g CO2e per kWh at all hours")] = None,
    carbon_preset: Annotated[str | None, typer.Option(help="Published factor: pearl energy presets")] = None,
    carbon_series: Annotated[str | None, typer.Option(help="Imported series of carbon factors")] = None,
    core_watts: Annotated[
        float | None, typer.Option(help="What a busy CPU core draws, for work without accelerators")
    ] = None,
    source: Annotated[str, typer.Option(help="Where what is given here comes from")] = "",
    as_of: Annotated[str, typer.Option(help="The day it was true or published, e.g. 2026-01-31")] = "",
    start: Annotated[str | None, typer.Option("--from", help="When it begins to hold (default: now)")] = None,
    note: Annotated[str, typer.Option(help="Why; kept with the version")] = "",
    file: Annotated[Path | None, typer.Option(help="All facts as JSON, as pearl energy show --json")] = None,
    as_json: Json = False,
) -> None:
    """Set a new version of the facts; what is not given stays as it is (operators)."""
    origin = {"source": source, "as_of": as_of}
    with client() as center:
        body = _from_file(file) if file is not None else _kept(center.energy.show()["facts"])
        if pue is not None:
            body["pue"] = {"value": pue, **origin}
        if price is not None:
            body["tariff"] = {"kind": "flat", "yuan_per_kwh": price, **origin}
        if price_series is not None:
            body["tariff"] = {"kind": "hourly", "series": price_series, **origin}
        if tariff_hours is not None:
            preset = _preset(center.energy.presets()["tariff_hours"], tariff_hours, "--tariff-hours")
            kept = {name: (body.get("tariff") or {}).get(name, []) for name in CALENDAR}
            body["tariff"] = _priced(preset, period_price or [], origin) | kept
        _name_days(body, {"holidays": holidays, "working_days": working_days}, origin)
        if carbon is not None:
            body["carbon"] = {"kind": "constant", "g_per_kwh": carbon, **origin}
        if carbon_series is not None:
            body["carbon"] = {"kind": "hourly", "series": carbon_series, **origin}
        if carbon_preset is not None:
            known = _preset(center.energy.presets()["carbon"], carbon_preset, "--carbon-preset")
            kept = {name: known[name] for name in ("g_per_kwh", "source", "as_of")}
            body["carbon"] = {"kind": "constant", **kept}
        if core_watts is not None:
            body["core"] = {"watts": core_watts, **origin}
        if "pue" not in body:
            message = text("The first facts of a site need its PUE")
            raise InvalidInput(message, problems=[Problem("--pue", message)])
        made = center.energy.set(body | {"note": note} | ({"valid_from": start} if start else {}))
    if as_json:
        show_json(made)
        return
    done(
        "Version {number} of the site's facts holds from {time}",
        number=made["number"],
        time=time_cell(made["valid_from"]),
    )


def _name_days(body: dict[str, Any], given: Mapping[str, str | None], origin: Mapping[str, str]) -> None:
    """The calendar of the tariff, where it is given; an empty one takes it back."""
    wanted = {name: list(split_runs(written)) for name, written in given.items() if written is not None}
    if not wanted:
        return
    tariff = body.get("tariff")
    if tariff is None or tariff["kind"] != "time_of_use":
        option = "--holidays" if "holidays" in wanted else "--working-days"
        message = text("Only a tariff by month, day and hour has holidays and working days")
        hint = text("Set one with --tariff-hours or --file")
        raise InvalidInput(message, hint=hint, problems=[Problem(option, message, hint=hint)])
    body["tariff"] = tariff | wanted | {name: value for name, value in origin.items() if value}


def _kept(current: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the facts that hold now, as they are sent."""
    return {name: current[name] for name in PARTS if current[name] is not None} if current else {}


def _from_file(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = text("{file} cannot be read: {problem}", file=str(file), problem=str(error))
        raise InvalidInput(message, problems=[Problem("--file", message)]) from None
    found = found.get("facts", found) if isinstance(found, dict) else {}
    return {name: found[name] for name in PARTS if found.get(name) is not None}


def _preset(rows: Sequence[Mapping[str, Any]], wanted: str, option: str) -> Mapping[str, Any]:
    for row in rows:
        if row["id"] == wanted:
            return row
    known = ", ".join(row["id"] for row in rows)
    message = text("{name} is none of {known}", name=wanted[:80], known=known)
    raise InvalidInput(message, problems=[Problem(option, message)])


def _priced(preset: Mapping[str, Any], pairs: list[str], origin: Mapping[str, str]) -> dict[str, Any]:
    prices = dict(pair.partition("=")[::2] for pair in pairs)
    missing = [name for name in preset["names"] if not prices.get(name)]
    if missing:
        message = text("{names} need a price", names=", ".join(missing))
        hint = text("Give each one: --period-price {name}=1.10", name=missing[0])
        raise InvalidInput(message, hint=hint, problems=[Problem("--period-price", message, hint=hint)])
    periods = [one | {"yuan_per_kwh": prices[one["name"]]} for one in preset["periods"]]
    return {"kind": "time_of_use", "zone": preset["zone"], "periods": periods, **origin}


@energy.command("import")
def import_series(
    file: Annotated[Path, typer.Argument(help="CSV: a header, then time,value on each line")],
    name: Annotated[str, typer.Option(help="Name of the series; of one that exists: hours are added")],
    kind: Annotated[str, typer.Option(help="carbon or price")],
    source: Annotated[str, typer.Option(help="Where the hours come from")] = "",
    as_of: Annotated[str, typer.Option(help="The day they were true or published")] = "",
    column: Annotated[str | None, typer.Option(help="The values' column (default: the second)")] = None,
    unit: Annotated[
        str | None, typer.Option(help="g_per_kwh, kg_per_kwh, kg_per_mwh, yuan_per_kwh or yuan_per_mwh")
    ] = None,
    as_json: Json = False,
) -> None:
    """Import a carbon factor or a price for each hour (operators)."""
    try:
        written = file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        message = text("{file} cannot be read: {problem}", file=str(file), problem=str(error))
        raise InvalidInput(message, problems=[Problem("FILE", message)]) from None
    added, answer = 0, None
    with client() as center:
        for part in _parts(written):
            answer = center.energy.import_series(
                name, kind, part, source=source, as_of=as_of, column=column, unit=unit
            )
            added += answer["added"]
    if as_json:
        show_json((answer or {}) | {"added": added})
        return
    total = answer["series"]["hours"] if answer else 0
    done(
        plural(
            "{count} hour is added to {name}; it has {total}",
            "{count} hours are added to {name}; it has {total}",
            count=added,
            name=name,
            total=total,
        )
    )


def _parts(written: str) -> Iterator[str]:
    """Yield a file in parts, each with its header. Empty lines stand for what went before: lines keep their numbers."""
    header, *lines = written.splitlines() or [""]
    part: list[str] = []
    size = before = 0
    for line in lines:
        part.append(line)
        size += len(line) + 2
        if size >= PART_BYTES:
            yield "\n".join([header, *[""] * before, *part])
            before += len(part)
            part, size = [], 0
    if part or not before:
        yield "\n".join([header, *[""] * before, *part])


@energy.command("job")
def job(
    job_id: Annotated[str, typer.Argument(help="Id of the job", metavar="JOB")], as_json: Json = False
) -> None:
    """Show the energy and carbon of a job so far, and what the figures stand on."""
    with client() as center:
        found = center.energy.job(job_id)
    if as_json:
        show_json(found)
        return
    facts({"Job": found["job_id"], **energy_facts(found["energy"])})
    for note in found["energy"]["notes"]:
        out.print(note, markup=False)
    if found["attempts"]:
        out.title("Attempts")
        table(
            ("Attempt", "Accelerator", "Started", "Until", "Basis", "IT kWh"),
            [
                (
                    r["attempt_id"],
                    r["model"] or "CPU",
                    time_cell(r["start"]),
                    time_cell(r["end"]),
                    say(r["basis"]),
                    amount(r["it_kwh"]),
                )
                for r in found["attempts"]
            ],
            right=(5,),
        )


def energy_facts(found: results.EnergyUse) -> dict[str, object]:
    """Return energy and carbon as names and figures."""
    unknown = say("not known")
    machines = unknown
    if found["it_kwh"] is not None:
        low, high = amount(found["it_kwh_low"]), amount(found["it_kwh_high"])
        machines = f"{amount(found['it_kwh'])} kWh"
        if low != high:
            machines += " " + say("({low} to {high})", low=low, high=high)
    cost = found["energy_cost"]
    return {
        "Energy of the machines (IT)": machines,
        "Energy of the facility": _unit(found["facility_kwh"], "kWh", unknown),
        "Carbon": _unit(found["carbon_kg"], "kg CO2e", unknown),
        "Energy cost of the site, not charged": unknown if cost is None else with_yuan_sign(cost),
    }


def _unit(value: float | None, unit: str, unknown: str) -> str:
    return unknown if value is None else f"{format_figure(value)} {unit}"


def amount(value: float | None) -> str:
    """Return a figure for a table."""
    return "-" if value is None else format_figure(value)
