"""Texts and bars of quotes' offers and comparisons for pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pearlstreet.base.amounts import short_amount
from pearlstreet.base.money import MICRO, Money
from pearlstreet.base.text import Text, text
from pearlstreet.base.units import format_price, format_range, format_rough
from pearlstreet.charts.ranges import Range, bar, scale_of
from pearlstreet.compute.estimate.band import Band
from pearlstreet.console.page_request import PageRequest
from pearlstreet.ledger.invoices.model import resource_label
from pearlstreet.quotes.comparing import CARBON, DEVICE, ELAPSED, FACILITY, IT, PRICE, WAIT, Compared
from pearlstreet.quotes.model import Kind, Offer, Quote, Workload
from pearlstreet.services.quotes import QuotesService

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LAYOUT: Mapping[str, Text] = {
    "tensor": text("Tensor parallel"),
    "pipeline": text("Pipeline parallel"),
    "data": text("Data parallel"),
    "context": text("Context parallel"),
    "expert": text("Expert parallel"),
    "zero": text("ZeRO stage"),
    "recompute": text("Recomputation"),
    "micro_batch": text("Micro-batch"),
    "virtual_stages": text("Virtual pipeline stages"),
    "replicas": text("Replicas"),
}
MEASURES: Mapping[str, tuple[Text, str]] = {
    WAIT: (text("Wait before the start"), "s"),
    ELAPSED: (text("Run time"), "s"),
    DEVICE: (text("Device time"), "s"),
    PRICE: (text("Price"), "¥"),
    IT: (text("IT energy"), "kWh"),
    FACILITY: (text("Facility energy"), "kWh"),
    CARBON: (text("Carbon"), "kg CO₂e"),
}


@dataclass(frozen=True, slots=True)
class OfferView:
    """Texts and bars of one offer."""

    offer: Offer
    machines: str
    time: tuple[str, str]
    """Median run time, and its range."""
    time_bar: Markup
    price: tuple[str, str]
    price_bar: Markup | None
    likely_energy: tuple[tuple[str, str], ...]
    """Name and median of each energy figure."""
    energy: tuple[tuple[str, str], ...]
    """Name and range of each energy figure."""
    memory: str
    served: tuple[tuple[str, str], ...]
    facts: tuple[tuple[str, str], ...]
    question: str
    """Text of the confirmation before accepting; empty if the offer cannot be accepted."""
    warnings: tuple[str, ...]
    """Warnings of this offer that not all offers share."""
    greenest: str
    """Emissions of a clearly greener start; empty if there is none."""


def machines(offer: Offer) -> str:
    """Return the hardware of an offer: `8 × H100-80G`, or `4 × 8 × H100-80G` for several tasks."""
    each = f"{offer.per_task} × {offer.accelerator}"
    return each if offer.tasks == 1 else f"{offer.tasks} × {each}"


def shown(request: PageRequest, quotes: QuotesService, offers: Sequence[Offer]) -> list[OfferView]:
    """Return the views of offers, with all bars of a kind on one scale."""
    is_served = all(is_steady(offer) for offer in offers)
    times = [_time_range(offer, is_served, request.language) for offer in offers]
    prices = [_price_range(offer) for offer in offers]
    time_scale = scale_of(times)
    price_scale = scale_of(one for one in prices if one is not None)
    common = said_of_all(offers)
    return [
        OfferView(
            offer=offer,
            machines=machines(offer),
            time=parted(time.label),
            time_bar=bar(time, time_scale),
            price=("", "") if price is None else parted(price.label),
            price_bar=None if price is None else bar(price, price_scale),
            likely_energy=tuple((name, parted(value)[0]) for name, value in _energy(request, offer)),
            energy=tuple(_energy(request, offer)),
            memory=_memory(request, offer),
            served=tuple(_served(request, offer)),
            facts=tuple(_facts(request, offer)),
            question=_question(request, quotes, offer) if offer.spec is not None else "",
            warnings=tuple(request.say(one) for one in offer.warnings if one not in common),
            greenest=_greenest(request, offer),
        )
        for offer, time, price in zip(offers, times, prices, strict=True)
    ]


def is_steady(offer: Offer) -> bool:
    """Return whether the offer serves a model for a fixed time, so that offers differ in speed, not in time."""
    return offer.served is not None and offer.elapsed_s.p10 == offer.elapsed_s.p90


def is_log(offers: Sequence[Offer]) -> bool:
    """Return whether the bars of the offers' times use a logarithmic scale."""
    is_served = all(is_steady(offer) for offer in offers)
    return scale_of(_time_range(offer, is_served) for offer in offers).is_log


def said_of_all(offers: Sequence[Offer]) -> list[Text]:
    """Return the warnings that all offers share."""
    first = offers[0].warnings if offers else ()
    return [one for one in first if all(one in other.warnings for other in offers)] if len(offers) > 1 else []


def assumed_of(offers: Sequence[Offer]) -> list[tuple[Text, list[str]]]:
    """Return each assumption once, with the ids of its offers."""
    found: dict[str, tuple[Text, list[str]]] = {}
    for offer in offers:
        for one in offer.assumed:
            found.setdefault(str(one), (one, []))[1].append(offer.id)
    return list(found.values())


def band(value: Band | None, unit: str = "", language: str = "en") -> str:
    """Return a band as `3.7 h (2.9–4.7)`, as on the command line; "–" for None."""
    return "–" if value is None else format_range(value.p10, value.median, value.p90, unit, language)


def parted(said: str) -> tuple[str, str]:
    """Split a text of `band` into the median and the range."""
    likely, _, rest = said.partition(" (")
    return likely, rest.removesuffix(")")


def amount_of(value: float, unit: str, language: str) -> str:
    """Return one number with its unit."""
    return band(Band(value, value, value), unit, language)


def _yuan(amount: Money) -> str:
    return f"¥{format_price(amount.micro / MICRO)}"


def price_band(offer: Offer) -> Band | None:
    """Return the price of an offer in yuan."""
    price = offer.price
    return (
        None
        if price is None
        else Band(price.p10.micro / MICRO, price.median.micro / MICRO, price.p90.micro / MICRO)
    )


def _time_range(offer: Offer, is_served: bool, language: str = "en") -> Range:
    if is_served and offer.served is not None:
        value, unit = offer.served.output_tokens_per_s, "token/s"
    else:
        value, unit = offer.elapsed_s, "s"
    return Range(machines(offer), value.p10, value.median, value.p90, band(value, unit, language))


def _price_range(offer: Offer) -> Range | None:
    value = price_band(offer)
    if value is None:
        return None
    return Range(machines(offer), value.p10, value.median, value.p90, band(value, "¥"))


def _energy(request: PageRequest, offer: Offer) -> list[tuple[str, str]]:
    energy = offer.energy
    if energy is None:
        return []
    rows = [(MEASURES[IT][0], energy.it_kwh, "kWh")]
    if energy.facility_kwh is not None:
        rows.append((MEASURES[FACILITY][0], energy.facility_kwh, "kWh"))
    if energy.carbon_kg is not None:
        rows.append((MEASURES[CARBON][0], energy.carbon_kg, "kg CO₂e"))
    return [(request.say(name), band(value, unit)) for name, value, unit in rows]


def _greenest(request: PageRequest, offer: Offer) -> str:
    found = offer.energy.greenest if offer.energy is not None else None
    if found is None:
        return ""
    kg = format_rough(found.carbon_kg)
    return request.say(text("{carbon} kg CO₂e, {less} less", carbon=kg, less=f"{100 * found.less:.0f} %"))


def _memory(request: PageRequest, offer: Offer) -> str:
    has = format_rough(offer.device_memory_gib)
    if offer.memory_gib is None:
        return request.say(text("{has} GiB each", has=has))
    return request.say(text("{needed} of {has} GiB each", needed=format_rough(offer.memory_gib), has=has))


def _served(request: PageRequest, offer: Offer) -> list[tuple[str, str]]:
    found = offer.served
    if found is None:
        return []
    rows = [
        (text("Output"), band(found.output_tokens_per_s, "token/s")),
        (text("Requests per second"), band(found.requests_per_s)),
        (text("First token"), band(found.ttft_s.times(1e3), "ms")),
        (text("Between tokens"), band(found.tpot_s.times(1e3), "ms")),
    ]
    if found.price_per_mtoken is not None:
        rows.append((text("Per 10⁶ output tokens"), _yuan(found.price_per_mtoken)))
    return [(request.say(name), value) for name, value in rows]


def _facts(request: PageRequest, offer: Offer) -> list[tuple[str, str]]:
    """Return the detailed figures of an offer as (name, value)."""
    rows: list[tuple[Text, str]] = [
        (MEASURES[ELAPSED][0], band(offer.elapsed_s, "s", request.language)),
        (MEASURES[DEVICE][0], band(offer.device_s, "s", request.language)),
    ]
    if offer.overhead_s is not None:
        rows.insert(1, (text("Start-up, loading and saving"), band(offer.overhead_s, "s", request.language)))
    if offer.engines:
        rows.append((text("Engine"), ", ".join(offer.engines)))
    if offer.spec is not None:
        rows.append((text("Time limit"), amount_of(offer.time_limit_s, "s", request.language)))
    if offer.utilisation is not None:
        rows.append((text("Share of the rated peak (MFU)"), f"{100 * offer.utilisation:.1f} %"))
    price, energy = offer.price, offer.energy
    if price is not None:
        rows.append((text("Price per hour"), _yuan(price.hourly)))
        rows += [(resource_label(line.resource), _yuan(line.amount)) for line in price.lines]
    if energy is not None and energy.cost is not None:
        rows.append((text("Electricity cost of the site"), _yuan(energy.cost)))
    if energy is not None and energy.basis is not None:
        rows.append((text("Facts of the site"), request.say(energy.basis)))
    plain = ("1", "0", "none")
    rows += [
        (LAYOUT[name], str(value))
        for name, value in offer.layout.items()
        if name in LAYOUT and (str(value) not in plain or name in ("tensor", "data", "replicas"))
    ]
    return [(request.say(name), value) for name, value in rows]


def _question(request: PageRequest, quotes: QuotesService, offer: Offer) -> str:
    price = offer.price
    if price is None:
        return request.say(text("Accept {machines}? The job is queued at once.", machines=machines(offer)))
    held = quotes.held_at_start(price.hourly, offer.time_limit_s)
    return request.say(
        text(
            "Accept {machines}? Likely price: {price}; an hour costs ¥{hourly}. When it starts, ¥{held} is held; what it"
            " does not use comes back.",
            machines=machines(offer),
            price=band(price_band(offer), "¥"),
            hourly=format_price(price.hourly.micro / MICRO),
            held=format_price(held.micro / MICRO),
        )
    )


def summary(work: Workload) -> Text:
    """Return a workload in one line."""
    if work.kind is Kind.HISTORY:
        return text("Run {name} again", name=work.job_name)
    if work.kind is Kind.CUSTOM:
        return text(
            "Workload of {hours} h on {count} × {accelerator}",
            hours=format_rough(work.hours or 0.0),
            count=work.count,
            accelerator=work.accelerator,
        )
    model = model_words(work)
    if work.kind is Kind.INFER:
        return text(
            "Answer {requests} requests with {model}",
            requests=short_amount(work.requests or 0.0),
            model=model,
        )
    if work.kind is Kind.SERVE:
        return text("Serve {model}", model=model)
    much = (
        text("{count} tokens", count=short_amount(work.tokens))
        if work.tokens
        else text("{count} samples", count=short_amount(work.samples or 0.0))
    )
    if work.mode == "pretrain":
        return text("Train {model} on {much}", model=model, much=much)
    return text("Fine-tune {model} on {much}", model=model, much=much)


def model_words(work: Workload) -> Text | str:
    """Return the model's name or, failing that, its size."""
    if work.model.name:
        return work.model.name
    if work.model.params:
        return text("a model of {params} parameters", params=short_amount(work.model.params))
    return text("a model")


def compared_rows(request: PageRequest, rows: Sequence[Compared]) -> list[dict[str, str | bool | None]]:
    """Return the rows of the comparison for the template."""
    found = []
    for row in rows:
        name, unit = MEASURES[row.measure]
        found.append(
            {
                "name": request.say(name),
                "quoted": band(row.quoted, unit, request.language),
                "actual": "–" if row.actual is None else amount_of(row.actual, unit, request.language),
                "error": "–" if row.error is None else f"{100 * row.error:+.1f} %",
                "inside": row.inside,
            }
        )
    return found


def compared_ranges(request: PageRequest, rows: Sequence[Compared]) -> list[Range]:
    """Return each measure relative to its quoted median."""
    found = []
    for row in rows:
        if row.quoted is None or row.actual is None or row.quoted.p10 <= 0 or row.actual <= 0:
            continue
        name, unit = MEASURES[row.measure]
        found.append(
            as_share(request.say(name), row.quoted, row.actual, amount_of(row.actual, unit, request.language))
        )
    return found


def as_share(name: str, quoted: Band, actual: float, said: str) -> Range:
    """Return a quoted range and the actual value, scaled so that the quoted median is 1."""
    likely = quoted.median
    share = actual / likely
    return Range(
        name, quoted.p10 / likely, 1.0, quoted.p90 / likely, f"{said} · {format_rough(100 * share)} %", share
    )


def best_price(quote: Quote) -> str:
    """Return the lowest median price of the quote's offers; empty without prices."""
    prices = [offer.price.median.micro for offer in quote.offers if offer.price is not None]
    return f"¥{format_price(min(prices) / MICRO)}" if prices else ""


def in_days(value: Band, language: str) -> str:
    """Return seconds in days: `63.1 d (50.2–79.4)`."""
    return band(value.times(1 / 86_400.0), "d", language)


def in_powers(value: float) -> str:
    """Return a number in scientific notation: `1.73 × 10²⁴`."""
    digits, power = f"{value:.2e}".split("e")
    return f"{digits} × 10{str(int(power)).translate(_RAISED)}"
