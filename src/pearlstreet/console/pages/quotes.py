"""Quotes: the list, and one with its offers side by side, to accept, and beside what the job really took."""

from __future__ import annotations

from typing import Any

from pearlstreet.base.errors import Conflict, InvalidInput, Problem
from pearlstreet.base.text import text
from pearlstreet.charts.ranges import ratios
from pearlstreet.console import offer_view
from pearlstreet.console.page import Page
from pearlstreet.console.page_request import PER_PAGE, Answer, Ask, Go, View
from pearlstreet.console.pages.home import org_slugs
from pearlstreet.console.routing import once
from pearlstreet.quotes.comparing import compare_quote
from pearlstreet.quotes.model import Quote, State
from pearlstreet.quotes.service import accept_quote, get_quote, list_quotes, withdraw_quote

STATES = frozenset(state.value for state in State)


def show(ask: Ask) -> Answer:
    """The list, newest first."""
    states = tuple(State(state) for state in ask.lists.get("state", ()) if state in STATES)
    found = list_quotes(
        ask.store,
        ask.actor,
        ask.org,
        states=states,
        before=ask.query.get("before") or None,
        limit=PER_PAGE + 1,
    )
    shown = found[:PER_PAGE]
    several = ask.org is None and ask.actor.may("orgs:read")
    return View(
        "quotes.html",
        {
            "quotes": shown,
            "before": shown[-1].id if len(found) > PER_PAGE else None,
            "states": [state.value for state in State],
            "chosen": {state.value for state in states},
            "org_slugs": org_slugs(ask) if several else {},
            "summary": lambda quote: ask.say(offer_view.summary(quote.question.workload)),
            "best_price": offer_view.best_price,
            "may_ask": "jobs:write" in ask.actor.all_scopes(),
        },
    )


def show_one(ask: Ask) -> Answer:
    """One quote."""
    quote = get_quote(ask.store, ask.actor, ask.place["quote"])
    may_write = ask.actor.may("jobs:write", quote.org_id)
    window_s = ask.center.runtime.settings.hold_window_s
    return View(
        "quote.html",
        {
            "quote": quote,
            "title": ask.say(offer_view.summary(quote.question.workload)),
            "offers": offer_view.shown(ask, quote.offers, window_s=window_s),
            "is_steady": bool(quote.offers) and all(offer_view.is_steady(offer) for offer in quote.offers),
            "is_log": offer_view.is_log(quote.offers),
            "common": [ask.say(one) for one in offer_view.said_of_all(quote.offers)],
            "assumed": [(ask.say(one), ids) for one, ids in offer_view.assumed_of(quote.offers)],
            "has_carbon": any(offer.energy and offer.energy.carbon_kg for offer in quote.offers),
            "may_accept": may_write and quote.can_be_accepted,
            "may_write": may_write,
            "compared": _compared(ask, quote),
            "owner_org": org_slugs(ask).get(quote.org_id, "")
            if ask.actor.may("orgs:read", quote.org_id)
            else "",
        },
    )


def _compared(ask: Ask, quote: Quote) -> dict[str, Any] | None:
    """Quoted beside actual; None before there is anything to compare."""
    if quote.state is not State.ACCEPTED:
        return None
    try:
        found = compare_quote(ask.store, ask.actor, quote.id)
    except Conflict:
        return None  # its job is not kept any more
    ranges = offer_view.compared_ranges(ask, found.rows)
    return {
        "job": found.job,
        "offer": found.offer,
        "machines": offer_view.machines(found.offer),
        "rows": offer_view.compared_rows(ask, found.rows),
        "is_over": found.is_over,
        "taught": found.taught,
        "notes": [ask.say(note) for note in found.notes],
        "chart": ratios(
            ask.say(text("Quoted range and what it came to")),
            ranges,
            empty=ask.say(text("Nothing can be compared yet.")),
            note=ask.say(
                text("100 % is what was quoted as likely; the bar is the range, the mark what it came to.")
            ),
        )
        if found.is_over
        else None,
    }


def accept(ask: Ask) -> Answer:
    """Accept an offer: its job is submitted."""
    offer = ask.value("offer")
    if not offer:
        message = text("No offer is chosen")
        raise InvalidInput(message, problems=[Problem("offer", message)])
    found = accept_quote(once(ask), ask.actor, ask.center.runtime, ask.place["quote"], offer)
    return Go(f"/jobs/{found.job.id}", text("The offer is accepted: {job} is submitted", job=found.job.name))


def withdraw(ask: Ask) -> Answer:
    """Take it back."""
    quote = withdraw_quote(ask.store, ask.actor, ask.place["quote"])
    return Go(f"/quotes/{quote.id}", text("The quote is withdrawn"))


PAGES = (
    Page("/quotes", text("Quotes"), show, scope="jobs:read"),
    Page(
        "/quotes/{quote}",
        text("Quote"),
        show_one,
        scope="jobs:read",
        actions={"accept": accept, "withdraw": withdraw},
    ),
)
