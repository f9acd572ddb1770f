"""Example prices and energy facts of the demo center, so that seconds of work show on its invoice; both say what they are."""

from __future__ import annotations

from pearlstreet.base.money import MICRO, parse_yuan
from pearlstreet.base.text import text
from pearlstreet.cli.output import done, language
from pearlstreet.client import Client

TIMES = 500
"""Prices of the demo relative to a new center's: some seconds on one core then cost a few fen instead of 0.0001 yuan."""
EXAMPLE = "an example for the demo"


def state_example_site(system: Client, *, has_example_prices: bool = True) -> None:
    """Publish raised prices (`has_example_prices`) and example energy facts, unless an operator has set prices or facts already."""
    prices = system.prices.current()
    if prices["number"] == 1 and has_example_prices:
        rules = [
            {
                "resource": rule["resource"],
                "kind": rule["kind"],
                "per": rule["per"],
                "yuan": str(parse_yuan(rule["yuan"]).micro * TIMES // MICRO),
            }
            for rule in prices["rules"]
        ]
        note = text("Example prices, {times} times those of a new center: seconds of work show", times=TIMES)
        system.prices.publish(rules, note=note.render(language()))
        done(
            "Prices are {times} times those of a new center, so that seconds of work show on the invoice",
            times=TIMES,
        )
    if system.energy.show()["facts"] is None:
        origin = {"source": EXAMPLE, "as_of": "2026-01-01"}
        system.energy.set(
            {
                "pue": {"value": 1.25, **origin},
                "tariff": {"kind": "flat", "yuan_per_kwh": "0.70", **origin},
                "carbon": {"kind": "constant", "g_per_kwh": 540, **origin},
                "core": {"watts": 8, **origin},
            }
        )
