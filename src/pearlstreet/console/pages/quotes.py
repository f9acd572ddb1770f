"""Pages of quotes: the list, and one with its offers, their acceptance and the comparison with the actual run."""

from __future__ import annotations

from pearlstreet.base.errors import Conflict, InvalidInput, Problem
from pearlstreet.base.text import text
from pearlstreet.charts.ranges import ratios
from pearlstreet.console import offer_view
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PER_PAGE, PageRequest, PageResponse, Redirect, View
from pearlstreet.console.pages.home import org_slugs
from pearlstreet.console.routing import once
from pearlstreet.quotes.model import Quote, State
from pearlstreet.services.quotes import QuotesService

STATES = frozenset(state.value for state in State)


def show(request: PageRequest, quotes: QuotesService) -> PageResponse:
    """Show the list of quotes, newest first."""
    states = tuple(State(state) for state in request.lists.get("state", ()) if state in STATES)
    found = quotes.list_quotes(
        request.actor,
        request.org,
        states=states,
        before=request.query.get("before") or None,
        limit=PER_PAGE + 1,
    )
    shown = found[:PER_PAGE]
    several = request.org is None and request.actor.may("orgs:read")
    return View(
        "quotes.html",
        {
            "quotes": shown,
            "before": shown[-1].id if len(found) > PER_PAGE else None,
            "states": [state.value for state in State],
            "chosen": {state.value for state in states},
            "org_slugs": org_slugs(request) if several else {},
            "summary": lambda quote: request.say(offer_view.summary(quote.question.workload)),
            "best_price": offer_view.best_price,
            "may_ask": "jobs:write" in request.actor.all_scopes(),
        },
    )


def show_one(request: PageRequest, quotes: QuotesService) -> PageResponse:
    """Show one quote."""
    quote = quotes.get_quote(request.actor, request.path_params["quote"])
    may_write = request.actor.may("jobs:write", quote.org_id)
    return View(
        "quote.html",
        {
            "quote": quote,
            "title": request.say(offer_view.summary(quote.question.workload)),
            "offers": offer_view.shown(request, quotes, quote.offers),
            "is_steady": bool(quote.offers) and all(offer_view.is_steady(offer) for offer in quote.offers),
            "is_log": offer_view.is_log(quote.offers),
            "common": [request.say(one) for one in offer_view.said_of_all(quote.offers)],
            "assumed": [(request.say(one), ids) for one, ids in offer_view.assumed_of(quote.offers)],
            "has_carbon": any(offer.energy and offer.energy.carbon_kg for offer in quote.offers),
            "may_accept": may_write and quote.can_be_accepted,
            "may_write": may_write,
            "compared": _compared(request, quotes, quote),
            "owner_org": org_slugs(request).get(quote.org_id, "")
            if request.actor.may("orgs:read", quote.org_id)
            else "",
        },
    )


def _compared(request: PageRequest, quotes: QuotesService, quote: Quote) -> dict[str, object] | None:
    """Return the comparison with the actual run; None before there is one."""
    if quote.state is not State.ACCEPTED:
        return None
    try:
        found = quotes.compare_quote(request.actor, quote.id)
    except Conflict:
        return None  # the quote's job was deleted
    ranges = offer_view.compared_ranges(request, found.rows)
    return {
        "job": found.job,
        "offer": found.offer,
        "machines": offer_view.machines(found.offer),
        "rows": offer_view.compared_rows(request, found.rows),
        "is_over": found.is_over,
        "taught": found.taught,
        "notes": [request.say(note) for note in found.notes],
        "chart": ratios(
            request.say(text("Quoted range and actual value")),
            ranges,
            empty=request.say(text("Nothing can be compared yet.")),
            note=request.say(
                text("100 % is the quoted median; the bar is the quoted range, the mark the actual value.")
            ),
        )
        if found.is_over
        else None,
    }


def accept(request: PageRequest, quotes: QuotesService) -> PageResponse:
    """Accept an offer and submit its job."""
    offer = request.value("offer")
    if not offer:
        message = text("No offer is chosen")
        raise InvalidInput(message, problems=[Problem("offer", message)])
    found = quotes.on(once(request)).accept_quote(request.actor, request.path_params["quote"], offer)
    return Redirect(
        f"/jobs/{found.job.id}", text("The offer is accepted: {job} is submitted", job=found.job.name)
    )


def withdraw(request: PageRequest, quotes: QuotesService) -> PageResponse:
    """Withdraw a quote."""
    quote = quotes.withdraw_quote(request.actor, request.path_params["quote"])
    return Redirect(f"/quotes/{quote.id}", text("The quote is withdrawn"))


PAGES = (
    ConsolePage(
        "/quotes", text("Quotes"), show, scope="jobs:read", menu=MenuPlace(MenuGroup.WORK, 4, "price", "z")
    ),
    ConsolePage(
        "/quotes/{quote}",
        text("Quote"),
        show_one,
        scope="jobs:read",
        actions={"accept": accept, "withdraw": withdraw},
    ),
)
