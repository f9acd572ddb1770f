"""PURE: conversion of site facts to and from JSON, for the database and, with readable numbers, for the interfaces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from typing import Any

from pearlstreet.energy.model import (
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

CALENDAR = ("holidays", "working_days")
"""Calendar fields of a time-of-use tariff; tariffs stored by old versions have none."""


def to_document(wish: FactsWish) -> dict[str, object]:
    """Return the JSON that the row of a version stores; `from_row` reads it back."""
    return {
        "pue": {"bp": wish.pue.bp, **asdict(wish.pue.origin)},
        "tariff": _part(wish.tariff),
        "carbon": _part(wish.carbon),
        "core": wish.core and {"milliwatts": wish.core.milliwatts, **asdict(wish.core.origin)},
        "note": wish.note,
    }


def from_row(row: Mapping[Any, Any]) -> SiteFacts:
    """Return the version in a row."""
    document = row["document"]
    pue, tariff, carbon, core = (document[name] for name in ("pue", "tariff", "carbon", "core"))
    return SiteFacts(
        number=row["number"],
        valid_from_us=row["valid_from_us"],
        pue=Pue(pue["bp"], _origin(pue)),
        tariff=tariff and Tariff(_tariff(tariff), _origin(tariff)),
        carbon=carbon and Carbon(_carbon(carbon), _origin(carbon)),
        core=core and CorePower(core["milliwatts"], _origin(core)),
        note=document["note"],
        set_by=row["set_by"],
        set_us=row["set_us"],
    )


def _part(part: Tariff | Carbon | None) -> dict[str, object] | None:
    if part is None:
        return None
    rule = part.rule
    found: dict[str, object] = {**asdict(part.origin)}
    if isinstance(rule, Flat):
        return found | {"kind": "flat", "micro_per_kwh": rule.micro_per_kwh}
    if isinstance(rule, Constant):
        return found | {"kind": "constant", "mg_per_kwh": rule.mg_per_kwh}
    if isinstance(rule, Hourly):
        return found | {"kind": "hourly", "series_id": rule.series_id}
    periods = [
        {
            "name": period.name,
            "micro_per_kwh": period.micro_per_kwh,
            "months": list(period.months),
            "days": period.days.value,
            "hours": list(period.hours),
        }
        for period in rule.periods
    ]
    calendar = {name: [day.isoformat() for day in getattr(rule, name)] for name in CALENDAR}
    return found | {"kind": "time_of_use", "zone": rule.zone, "periods": periods, **calendar}


def _origin(part: Mapping[str, Any]) -> Origin:
    return Origin(part["source"], part["as_of"])


def _tariff(part: Mapping[str, Any]) -> Flat | TimeOfUse | Hourly:
    if part["kind"] == "flat":
        return Flat(part["micro_per_kwh"])
    if part["kind"] == "hourly":
        return Hourly(part["series_id"])
    return TimeOfUse(
        part["zone"],
        tuple(
            Period(
                one["name"],
                one["micro_per_kwh"],
                tuple(one["months"]),
                Days(one["days"]),
                tuple(one["hours"]),
            )
            for one in part["periods"]
        ),
        **{name: tuple(map(date.fromisoformat, part.get(name, ()))) for name in CALENDAR},
    )


def _carbon(part: Mapping[str, Any]) -> Constant | Hourly:
    return Constant(part["mg_per_kwh"]) if part["kind"] == "constant" else Hourly(part["series_id"])
