"""Pages of price lists: the list in force, all lists, and publishing a new one after a comparison."""

from __future__ import annotations

from collections.abc import Sequence

from pearlstreet.base.errors import InvalidInput, NotFound, Problem
from pearlstreet.base.text import Text, text
from pearlstreet.console.form_parsing import moment_in, text_in
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PageRequest, PageResponse, Redirect, View
from pearlstreet.console.routing import once
from pearlstreet.ledger import prices as service
from pearlstreet.ledger.invoices.model import resource_label
from pearlstreet.ledger.price_changes import PriceChange, price_changes
from pearlstreet.ledger.pricing import PriceRule, PriceVersion
from pearlstreet.ledger.rules import KINDS

NOTE_MAX = 500
KIND_WORDS = {
    "pflops_hour": text("per PFLOPS of its cards and hour"),
    "card_hour": text("per card and hour"),
    "core_hour": text("per CPU core and hour"),
    "gib_hour": text("per GiB and hour"),
    "gib_month": text("per GiB and month"),
    "count": text("per unit"),
}


def show(request: PageRequest) -> PageResponse:
    """Show the price list in force and all others."""
    return _page(request, None)


def show_one(request: PageRequest) -> PageResponse:
    """Show one price list and its differences from the previous one."""
    lists = service.list_prices(request.store, request.actor)
    found = next((one for one in lists if str(one.number) == request.path_params["number"]), None)
    if found is None:
        raise NotFound(text("There is no price list {id}", id=request.path_params["number"][:20]))
    before = next((one for one in lists if one.number == found.number - 1), None)
    return View(
        "price_list.html",
        {
            "title": request.say(text("Price list {number}", number=found.number)),
            "list": found,
            "rules": [_rule(request, rule) for rule in found.rules],
            "changes": [_change(request, one) for one in price_changes(before.rules, found.rules)]
            if before
            else (),
            "before": before,
            "written": service.write_prices(found),
        },
    )


def compare(request: PageRequest) -> PageResponse:
    """Show the differences between the entered list and the one in force."""
    rules = _typed(request)
    _valid_from(request, request.store.read(service.current_prices))
    return _page(request, rules)


def publish(request: PageRequest) -> PageResponse:
    """Publish the entered list."""
    rules = _typed(request)
    made = service.publish_prices(
        once(request),
        request.actor,
        rules,
        valid_from_us=_valid_from(request, request.store.read(service.current_prices)),
        note=text_in(request, "note", NOTE_MAX),
    )
    return Redirect("/prices", text("Price list {number} is published", number=made.number))


def _page(request: PageRequest, typed: Sequence[PriceRule] | None) -> View:
    lists = service.list_prices(request.store, request.actor)
    current = request.store.read(service.current_prices)
    changes = price_changes(current.rules, typed) if typed is not None else ()
    return View(
        "prices.html",
        {
            "current": current,
            "lists": lists,
            "rules": [_rule(request, rule) for rule in current.rules],
            "written": service.write_prices(current),
            "compared": typed is not None,
            "changes": [_change(request, one) for one in changes],
            "may_publish": request.actor.may("prices:write"),
            "kinds": [(name, request.say(_kind(name))) for name in KINDS],
        },
    )


def _typed(request: PageRequest) -> Sequence[PriceRule]:
    try:
        return service.parse_prices(request.form.get("list", "").replace("\r\n", "\n"))
    except InvalidInput as error:
        # All problems are shown at the form's single field, each with its line number.
        problems = [
            Problem("list", _at_line(problem), hint=problem.hint)
            for problem in error.problems or [Problem("list", error.message)]
        ]
        raise InvalidInput(error.message, problems=problems) from None


def _at_line(problem: Problem) -> Text:
    if problem.line is None:
        return problem.message
    return text("Line {line}: {problem}", line=problem.line, problem=problem.message)


def _valid_from(request: PageRequest, current: PriceVersion) -> int | None:
    return moment_in(request, "valid_from", current.zone)


def _kind(kind: str) -> Text:
    return KIND_WORDS.get(kind) or KINDS[kind].label


def _resource(request: PageRequest, resource: str) -> str:
    if resource == "accelerator/*":
        return request.say(text("Any other accelerator"))
    return request.say(resource_label(resource))


def _rule(request: PageRequest, rule: PriceRule) -> dict[str, object]:
    return {
        "rule": rule,
        "resource": _resource(request, rule.resource),
        "kind": request.say(_kind(rule.kind)),
    }


def _change(request: PageRequest, change: PriceChange) -> dict[str, object]:
    return {
        "change": change,
        "resource": _resource(request, change.resource),
        "kind": request.say(_kind(change.kind)),
        "percent": f"{100 * (change.ratio - 1):+.1f} %" if change.ratio is not None else "",
        "dearer": change.ratio is not None and change.ratio > 1,
    }


PAGES = (
    ConsolePage(
        "/prices",
        text("Prices"),
        show,
        scope="prices:read",
        actions={"compare": compare, "publish": publish},
        menu=MenuPlace(MenuGroup.CENTER, 10, "price", "c"),
    ),
    ConsolePage("/prices/{number}", text("Price list"), show_one, scope="prices:read"),
)
