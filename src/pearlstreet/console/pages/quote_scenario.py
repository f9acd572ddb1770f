"""Page of a rule of thumb with explicit tokens and utilisation, computed with the estimates of quotes."""

from __future__ import annotations

from dataclasses import replace

from pearlstreet.base.amounts import amount, short_amount
from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import text
from pearlstreet.base.units import format_rough
from pearlstreet.console import offer_view
from pearlstreet.console.page import ConsolePage
from pearlstreet.console.page_request import PageRequest, PageResponse, View
from pearlstreet.quotes.scenarios import Changes, Scenario
from pearlstreet.services.quotes import QuotesService


def show(request: PageRequest, quotes: QuotesService) -> PageResponse:
    """Show the rule with the numbers in the query; problems are shown at their fields."""
    name = request.path_params["scenario"]
    plain = quotes.run_scenario(request.actor, name)
    found = plain
    if any(request.query.get(field) for field in ("tokens", "mfu", "accelerators")):
        try:
            found = quotes.run_scenario(request.actor, name, _changes(request))
        except InvalidInput as error:
            shown = [
                replace(one, field="accelerators" if one.field.startswith("accelerators") else one.field)
                for one in error.problems
            ]
            request.error = InvalidInput(error.message, problems=shown)
    return _view(request, quotes, found)


def _view(request: PageRequest, quotes: QuotesService, found: Scenario) -> View:
    rows = offer_view.shown(request, quotes, found.offers)
    return View(
        "quote_scenario.html",
        {
            "found": found,
            "title": request.say(found.rule.title),
            "offers": rows,
            "days": {
                one.offer.id: offer_view.parted(offer_view.in_days(one.offer.elapsed_s, request.language))
                for one in rows
            },
            "short": short_amount,
            "figure": format_rough,
            "in_powers": offer_view.in_powers,
            "assumed": [(request.say(one), ids) for one, ids in offer_view.assumed_of(found.offers)],
            "common": [request.say(one) for one in offer_view.said_of_all(found.offers)],
        },
        200 if request.error is None else request.error.status,
    )


def _changes(request: PageRequest) -> Changes:
    mfu = amount("mfu", request.value("mfu").removesuffix("%"))
    named = request.value("accelerators").replace("，", ",").split(",")
    return Changes(
        tokens=amount("tokens", request.value("tokens")),
        mfu=None if mfu is None else mfu / 100.0,
        accelerators=tuple(name.strip() for name in named if name.strip()),
    )


PAGES = (ConsolePage("/quotes/scenarios/{scenario}", text("Scenario"), show, scope="nodes:read"),)
