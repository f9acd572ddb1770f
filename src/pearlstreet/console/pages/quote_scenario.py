"""A rule of thumb with its tokens and utilisation explicit, asked of the same estimates as quotes: to plan with."""

from __future__ import annotations

from dataclasses import replace

from pearlstreet.base.amounts import amount, short_amount
from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import text
from pearlstreet.base.units import format_rough
from pearlstreet.console import offer_view
from pearlstreet.console.page import Page
from pearlstreet.console.page_request import Answer, Ask, View
from pearlstreet.quotes.scenarios import Changes, Scenario, run_scenario


def show(ask: Ask) -> Answer:
    """The rule, with other numbers where the address gives some; what is wrong stands at its field."""
    name = ask.place["scenario"]
    plain = run_scenario(ask.store, ask.actor, ask.center.runtime, name)
    found = plain
    if any(ask.query.get(field) for field in ("tokens", "mfu", "accelerators")):
        try:
            found = run_scenario(ask.store, ask.actor, ask.center.runtime, name, _changes(ask))
        except InvalidInput as error:
            shown = [
                replace(one, field="accelerators" if one.field.startswith("accelerators") else one.field)
                for one in error.problems
            ]
            ask.error = InvalidInput(error.message, problems=shown)
    return _view(ask, found)


def _view(ask: Ask, found: Scenario) -> View:
    rows = offer_view.shown(ask, found.offers, window_s=0.0)
    return View(
        "quote_scenario.html",
        {
            "found": found,
            "title": ask.say(found.rule.title),
            "offers": rows,
            "days": {
                one.offer.id: offer_view.parted(offer_view.in_days(one.offer.elapsed_s)) for one in rows
            },
            "short": short_amount,
            "figure": format_rough,
            "in_powers": offer_view.in_powers,
            "assumed": [(ask.say(one), ids) for one, ids in offer_view.assumed_of(found.offers)],
            "common": [ask.say(one) for one in offer_view.said_of_all(found.offers)],
        },
        200 if ask.error is None else ask.error.status,
    )


def _changes(ask: Ask) -> Changes:
    mfu = amount("mfu", ask.value("mfu").removesuffix("%"))
    named = ask.value("accelerators").replace("，", ",").split(",")
    return Changes(
        tokens=amount("tokens", ask.value("tokens")),
        mfu=None if mfu is None else mfu / 100.0,
        accelerators=tuple(name.strip() for name in named if name.strip()),
    )


PAGES = (Page("/quotes/scenarios/{scenario}", text("Scenario"), show, scope="nodes:read"),)
