"""Tables of offers, comparisons and scenarios for the terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pearlstreet.base.amounts import rough_amount
from pearlstreet.base.clock import US_PER_S, from_rfc3339
from pearlstreet.base.durations import format_duration
from pearlstreet.base.text import text
from pearlstreet.base.units import format_price, format_range, format_rough
from pearlstreet.cli.output import err, facts, language, out, say, table, time_cell, warn
from pearlstreet.client import results

Band = results.Band
MEASURES = {
    "wait_s": "Wait",
    "elapsed_s": "Run time",
    "device_s": "Device time",
    "price_yuan": "Price ¥",
    "it_kwh": "IT energy, kWh",
    "facility_kwh": "Facility energy, kWh",
    "carbon_kg": "CO2e, kg",
}


def band(value: Band | None, unit: str = "") -> str:
    """`3.7 h (2.9–4.7)`, as the console tells it, too."""
    return (
        "-" if value is None else format_range(value["p10"], value["median"], value["p90"], unit, language())
    )


def show_offers(offers: Sequence[results.Offer]) -> None:
    """The table, and what must be known of it."""
    if any(offer["served"] and offer["elapsed_s"]["p10"] == offer["elapsed_s"]["p90"] for offer in offers):
        _serving(offers)
    else:
        _running(offers)
    for offer in offers:
        if greener := offer["energy"] and offer["energy"]["greenest_start"]:
            words = say(
                "Offer {offer}: begun at {time} UTC it would emit {carbon} kg CO2e, {less} less (not_before in the job)",
                offer=offer["id"],
                time=time_cell(greener["start"]),
                carbon=format_rough(greener["carbon_kg"]),
                less=f"{greener['less']:.0%}",
            )
            err.print(words, style="dim", markup=False)
    _engines(offers)
    said: dict[str, list[str]] = {}
    for offer in offers:
        for words in (*_what_blocks(offer["start"]), *offer["warnings"], *offer["assumed"]):
            said.setdefault(words, []).append(offer["id"])
    for words, which in said.items():
        if len(which) == len(offers):
            warn(words)
        else:
            warn(text("Offer {offers}: {words}", offers=", ".join(which), words=words))


def _engines(offers: Sequence[results.Offer]) -> None:
    """Print the engines of each offer if they differ; a center with one engine has nothing to tell apart."""
    by_engines: dict[str, list[str]] = {}
    for offer in offers:
        by_engines.setdefault(", ".join(offer["engines"]), []).append(offer["id"])
    if len(by_engines) > 1 or any("," in names for names in by_engines):
        for names, which in by_engines.items():
            words = say("Offer {offers}: engine {engines}", offers=", ".join(which), engines=names or "-")
            err.print(words, style="dim", markup=False)


def _what_blocks(start: results.Start | None) -> list[str]:
    """Return the limit or the machines out of service for which no start is known."""
    return [start["why"]] if start is not None and start["basis"] == "unknown" and start["why"] else []


def _running(offers: Sequence[results.Offer]) -> None:
    table(
        ("Offer", "Best at", "Accelerators", "Time (P10–P90)", "Price ¥ (P10–P90)", "Energy kWh", "CO2e kg",
         "Expected start", "Device GiB"),
        [
            (
                *_head(offer),
                band(offer["elapsed_s"], "s"),
                _price(offer["price"]),
                _energy(offer["energy"]),
                band(offer["energy"]["carbon_kg"]) if offer["energy"] else "-",
                _start(offer["start"]),
                _memory(offer),
            )
            for offer in offers
        ],
        right=(0, 8),
    )  # fmt: skip


def _serving(offers: Sequence[results.Offer]) -> None:
    table(
        ("Offer", "Best at", "Accelerators", "Output tokens per second", "First token ms", "Between tokens ms",
         "¥ per 10⁶ tokens", "¥ an hour", "Expected start", "Device GiB"),
        [
            (
                *_head(offer),
                band(served["output_tokens_per_s"]),
                band(_milli(served["ttft_s"])),
                band(_milli(served["tpot_s"])),
                _yuan(served["price_per_mtoken"]),
                _yuan(offer["price"]["hourly"] if offer["price"] else None),
                _start(offer["start"]),
                _memory(offer),
            )
            for offer in offers
            if (served := offer["served"]) is not None
        ],
        right=(0, 6, 7, 9),
    )  # fmt: skip


def _head(offer: results.Offer) -> tuple[str, str, str]:
    names = ", ".join(say(name) for name in offer["names"])
    size = f"{offer['tasks']}×{offer['per_task']}" if offer["tasks"] > 1 else str(offer["per_task"])
    return offer["id"], names, f"{size} {offer['accelerator']}"


def _milli(value: Band) -> Band:
    return _scaled(value, 1e3)


def _scaled(value: Band, factor: float) -> Band:
    return {"p10": value["p10"] * factor, "median": value["median"] * factor, "p90": value["p90"] * factor}


def _price(price: results.Price | None) -> str:
    if price is None:
        return "-"
    return band({"p10": float(price["p10"]), "median": float(price["median"]), "p90": float(price["p90"])})


def _yuan(amount: str | None) -> str | None:
    """Return an amount rounded to the cent; --json shows exact amounts."""
    return None if amount is None else format_price(float(amount))


def _energy(energy: results.OfferEnergy | None) -> str:
    """Return the energy of the facility as a cell, or of the machines where no more is known."""
    return "-" if energy is None else band(energy["facility_kwh"] or energy["it_kwh"])


def _memory(offer: results.Offer) -> str:
    has = f"{offer['device_memory_gib']:.0f}"
    return has if offer["memory_gib"] is None else f"{offer['memory_gib']:.0f} / {has}"


def _start(start: results.Start | None) -> str:
    if start is None:
        return "-"
    if start["basis"] == "free":
        return say("at once")
    if start["likely"] is None:
        return say("not known; number {position} in line", position=start["position"] or "-")
    likely = _after(start["earliest"], start["likely"])
    if start["latest"] is None or start["latest"] == start["likely"]:
        return say("in {likely}", likely=likely)
    return say(
        "in {likely}, at the latest {latest}",
        likely=likely,
        latest=_after(start["earliest"], start["latest"]),
    )


def _after(earliest: str | None, start: str) -> str:
    """Return the time from the question, which is the earliest start, to a predicted one."""
    begin_us = from_rfc3339(earliest or start)
    return format_duration(max(0, from_rfc3339(start) - begin_us) / US_PER_S, language())


def show_offer(offer: results.Offer) -> None:
    """Print all facts of one offer."""
    show_offers([offer])
    out.print()
    price, energy = offer["price"], offer["energy"]
    rows: dict[str, object] = {
        "Start-up, loading and saving": band(offer["overhead_s"], "s"),
        "Device time": band(offer["device_s"], "s"),
        "Time limit": format_duration(offer["time_limit_s"], language()),
        "Layout": ", ".join(f"{name} {value}" for name, value in offer["layout"].items()),
    }
    if offer["utilisation"] is not None:
        rows["Share of the rated peak (MFU)"] = f"{offer['utilisation']:.1%}"
    if price is not None:
        rows["¥ an hour"] = _yuan(price["hourly"])
        rows |= {line["resource"]: f"¥{_yuan(line['amount'])}" for line in price["lines"]}
    if energy is not None:
        rows["IT energy, kWh"] = band(energy["it_kwh"])
        rows["Facility energy, kWh"] = band(energy["facility_kwh"])
        rows["CO2e, kg"] = band(energy["carbon_kg"])
        rows["What the site pays for it, ¥"] = energy["cost"]
        rows["Site facts"] = energy["basis"]
    facts(rows)
    if offer["job"] is not None:
        out.title("The job that accepting submits")
        out.print(json.dumps(offer["job"], ensure_ascii=False, indent=2), markup=False)


def show_comparison(found: results.Comparison) -> None:
    """Quoted beside actual."""
    table(
        ("Measure", "Quoted (P10–P90)", "Actual", "Off by", "In range"),
        [
            (
                say(MEASURES[row["measure"]]),
                _measured(row["measure"], row["quoted"]),
                _measured(row["measure"], _single(row["actual"])),
                None if row["error"] is None else f"{row['error']:+.0%}",
                row["inside"],
            )
            for row in found["rows"]
        ],
        right=(3,),
    )
    for note in found["notes"]:
        warn(note)
    if found["taught"]:
        err.print(
            say("It is among what corrects later quotes: pearl calibration show"), style="dim", markup=False
        )


def _single(value: float | None) -> Band | None:
    return None if value is None else {"p10": value, "median": value, "p90": value}


def _measured(measure: str, value: Band | None) -> str:
    if value is None:
        return "-"
    return band(value, "s") if measure.endswith("_s") else band(value)


def show_scenario(found: results.Scenario) -> None:
    """The rule, what it leaves out, and the estimates."""
    rule = found["rule"]
    out.print(rule["title"], style="bold", markup=False)
    facts(
        {
            "Parameters": rough_amount(rule["params"]),
            "Tokens": rough_amount(found["tokens"]),
            "Utilisation (MFU)": f"{found['mfu']:.0%}",
            "Operations": f"{found['flops']:.3g}",
            "Days by the rule": format_rough(found["rule_days"]),
            "Days with 20 tokens a parameter": format_rough(found["optimal_days"]),
        }
    )
    out.title("What the rule means at other utilisations")
    table(
        ("Utilisation (MFU)", "Tokens", "Tokens a parameter"),
        [
            (f"{one['mfu']:.0%}", rough_amount(one["tokens"]), f"{one['tokens_a_parameter']:.2g}")
            for one in found["readings"]
        ],
        right=(0, 1, 2),
    )
    out.title("What the estimates say")
    table(
        ("Accelerators", "Days (P10–P90)", "Share of the rated peak (MFU)", "IT energy, MWh", "Device GiB"),
        [
            (
                _head(offer)[2],
                band(_scaled(offer["elapsed_s"], 1 / 86_400)),
                None if offer["utilisation"] is None else f"{offer['utilisation']:.0%}",
                band(_scaled(offer["energy"]["it_kwh"], 1e-3) if offer["energy"] else None),
                _memory(offer),
            )
            for offer in found["offers"]
        ],
        right=(2, 4),
    )
    for words in (*found["unfit"], *found["notes"], *(one for o in found["offers"] for one in o["warnings"])):
        warn(words)
