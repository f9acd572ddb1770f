"""Conversion of questions and offers to and from JSON columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from pearlstreet.base.money import Money
from pearlstreet.base.text import Text, from_json
from pearlstreet.compute.estimate.band import Band
from pearlstreet.compute.estimate.building import Model
from pearlstreet.quotes.model import (
    Energy,
    GreenStart,
    Kind,
    Offer,
    Price,
    PriceLine,
    Question,
    Served,
    Start,
    Wanted,
    Workload,
)


def workload_json(work: Workload) -> dict[str, object]:
    """Return the kind and the fields that differ from their defaults."""
    plain = Workload()
    found: dict[str, object] = {"kind": work.kind.value}
    for one in fields(Workload):
        value = getattr(work, one.name)
        if one.name == "model":
            shape = {f.name: getattr(value, f.name) for f in fields(Model)}
            shape = {name: kept for name, kept in shape.items() if kept not in (None, "")}
            if shape:
                found["model"] = shape
        elif one.name != "kind" and value != getattr(plain, one.name):
            found[one.name] = value
    return found


def workload_from_json(value: Mapping[str, Any]) -> Workload:
    """Return the workload that `workload_json` wrote."""
    return Workload(**{**value, "kind": Kind(value["kind"]), "model": Model(**value.get("model", {}))})


def question_json(question: Question) -> dict[str, Any]:
    """Return a question as JSON."""
    wanted = question.wanted
    return {
        "workload": workload_json(question.workload),
        "draft": None if question.draft is None else dict(question.draft),
        "wanted": {
            "accelerators": list(wanted.accelerators),
            "count": wanted.count,
            "most": wanted.most,
            "hypothetical": wanted.hypothetical,
        },
        "project": question.project,
    }


def question_from_json(value: Mapping[str, Any]) -> Question:
    """Return the question that `question_json` wrote."""
    wanted = value["wanted"]
    return Question(
        workload_from_json(value["workload"]),
        value["draft"],
        Wanted(**{**wanted, "accelerators": tuple(wanted["accelerators"])}),
        value["project"],
    )


def offer_json(offer: Offer) -> dict[str, Any]:
    """Return an offer as JSON: amounts in micro-yuan, bands as three numbers, messages as templates."""
    plain = (
        "id", "accelerator", "tasks", "per_task", "owned", "memory_gib", "device_memory_gib", "utilisation",
        "time_limit_s", "untaught_device_s",
    )  # fmt: skip
    return {
        **{name: getattr(offer, name) for name in plain},
        "names": list(offer.names),
        "engines": list(offer.engines),
        "layout": dict(offer.layout),
        "spec": None if offer.spec is None else dict(offer.spec),
        "elapsed_s": _band(offer.elapsed_s),
        "device_s": _band(offer.device_s),
        "price": None if offer.price is None else _price(offer.price),
        "energy": None if offer.energy is None else _energy(offer.energy),
        "start": None if offer.start is None else _start(offer.start),
        "served": None if offer.served is None else _served(offer.served),
        "overhead_s": _band(offer.overhead_s),
        "assumed": [one.to_json() for one in offer.assumed],
        "warnings": [one.to_json() for one in offer.warnings],
    }


def offer_from_json(value: Mapping[str, Any]) -> Offer:
    """Return the offer that `offer_json` wrote."""
    read = {
        "names": tuple(value["names"]),
        "engines": tuple(value.get("engines", ())),
        "elapsed_s": _to_band(value["elapsed_s"]),
        "device_s": _to_band(value["device_s"]),
        "price": None if value["price"] is None else _to_price(value["price"]),
        "energy": None if value["energy"] is None else _to_energy(value["energy"]),
        "start": None if value["start"] is None else _to_start(value["start"]),
        "served": None if value["served"] is None else _to_served(value["served"]),
        "overhead_s": _maybe_band(value.get("overhead_s")),
        "assumed": _to_texts(value["assumed"]),
        "warnings": _to_texts(value["warnings"]),
    }
    return Offer(**{**value, **read})


def _band(band: Band | None) -> list[float] | None:
    return None if band is None else [band.p10, band.median, band.p90]


def _to_band(value: Sequence[float]) -> Band:
    return Band(*value)


def _maybe_band(value: Sequence[float] | None) -> Band | None:
    return None if value is None else Band(*value)


def _price(price: Price) -> dict[str, Any]:
    return {
        "micro": [price.p10.micro, price.median.micro, price.p90.micro],
        "hourly_micro": price.hourly.micro,
        "lines": [[line.resource, line.amount.micro] for line in price.lines],
    }


def _to_price(value: Mapping[str, Any]) -> Price:
    lines = tuple(PriceLine(resource, Money(micro)) for resource, micro in value["lines"])
    p10, likely, p90 = (Money(micro) for micro in value["micro"])
    return Price(p10, likely, p90, Money(value["hourly_micro"]), lines)


def _energy(energy: Energy) -> dict[str, Any]:
    return {
        "it_kwh": _band(energy.it_kwh),
        "facility_kwh": _band(energy.facility_kwh),
        "carbon_kg": _band(energy.carbon_kg),
        "cost_micro": None if energy.cost is None else energy.cost.micro,
        "basis": None if energy.basis is None else energy.basis.to_json(),
        "greenest": None if energy.greenest is None else asdict(energy.greenest),
    }


def _to_energy(value: Mapping[str, Any]) -> Energy:
    return Energy(
        _to_band(value["it_kwh"]),
        _maybe_band(value["facility_kwh"]),
        _maybe_band(value["carbon_kg"]),
        None if value["cost_micro"] is None else Money(value["cost_micro"]),
        None if value["basis"] is None else from_json(value["basis"]),
        GreenStart(**value["greenest"]) if value.get("greenest") else None,
    )


def _start(start: Start) -> dict[str, Any]:
    return {
        "basis": start.basis,
        "at_us": [start.earliest_us, start.likely_us, start.latest_us],
        "position": start.position,
        "why": None if start.why is None else start.why.to_json(),
        "pace": start.pace,
    }


def _to_start(value: Mapping[str, Any]) -> Start:
    why = None if value["why"] is None else from_json(value["why"])
    earliest_us, likely_us, latest_us = value["at_us"]
    pace = value.get("pace", 1.0)
    return Start(value["basis"], earliest_us, likely_us, latest_us, value["position"], why, pace)


def _served(served: Served) -> dict[str, object]:
    each = served.price_per_mtoken
    return {
        "output_tokens_per_s": _band(served.output_tokens_per_s),
        "requests_per_s": _band(served.requests_per_s),
        "ttft_s": _band(served.ttft_s),
        "tpot_s": _band(served.tpot_s),
        "carried_tokens_per_s": served.carried_tokens_per_s,
        "micro_per_mtoken": None if each is None else each.micro,
    }


def _to_served(value: Mapping[str, Any]) -> Served:
    each = value["micro_per_mtoken"]
    return Served(
        _to_band(value["output_tokens_per_s"]),
        _to_band(value["requests_per_s"]),
        _to_band(value["ttft_s"]),
        _to_band(value["tpot_s"]),
        value["carried_tokens_per_s"],
        None if each is None else Money(each),
    )


def _to_texts(value: Sequence[Mapping[str, Any]]) -> tuple[Text, ...]:
    return tuple(from_json(one) for one in value)
