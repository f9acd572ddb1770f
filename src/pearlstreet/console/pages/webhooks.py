"""Pages of the webhooks of an organisation or the center: create, test, disable, enable, delete, deliveries."""

from __future__ import annotations

from urllib.parse import quote

from pearlstreet.base.errors import Forbidden
from pearlstreet.base.text import text
from pearlstreet.console.page import ConsolePage
from pearlstreet.console.page_request import PageRequest, PageResponse, Redirect, View
from pearlstreet.console.pages.notices import owners
from pearlstreet.console.routing import once
from pearlstreet.tenancy.notices import hooks, preferences
from pearlstreet.tenancy.notices.kinds import what_of

DELIVERIES_SHOWN = 50


def show(request: PageRequest) -> PageResponse:
    """Show the webhooks of an organisation or the center."""
    whose = _whose(request)
    found = preferences.get_preferences(request.store, request.actor, whose)
    return View(
        "webhooks.html",
        {
            "whose": whose,
            "choices": owners(request),
            "hooks": hooks.list_webhooks(request.store, request.actor, whose),
            "kinds": [(name, what_of(name, request.language)) for name in preferences.hearable(found.owner)],
            "chosen": set(request.lists.get("kind", ())),
        },
    )


def add(request: PageRequest) -> PageResponse:
    """Create a webhook and show its secret once."""
    whose = _whose(request)
    made = hooks.add_webhook(
        once(request),
        request.actor,
        request.center.channels,
        whose,
        request.value("url"),
        list(request.lists.get("kind", ())),
    )
    return View("webhook_made.html", {"made": made, "back": _back(whose)})


def remove(request: PageRequest) -> PageResponse:
    """Delete a webhook."""
    found = hooks.remove_webhook(request.store, request.actor, _whose(request), request.value("hook"))
    return Redirect(_back(_whose(request)), text("The webhook {url} is deleted", url=found.url))


def enable(request: PageRequest) -> PageResponse:
    """Enable a webhook."""
    found = hooks.enable_webhook(request.store, request.actor, _whose(request), request.value("hook"))
    return Redirect(_back(_whose(request)), text("The webhook {url} is enabled", url=found.url))


def disable(request: PageRequest) -> PageResponse:
    """Disable a webhook without deleting it."""
    found = hooks.disable_webhook(request.store, request.actor, _whose(request), request.value("hook"))
    return Redirect(_back(_whose(request)), text("The webhook {url} is disabled", url=found.url))


def test(request: PageRequest) -> PageResponse:
    """Send a test event to a webhook."""
    hook = request.value("hook")
    hooks.test_webhook(request.store, request.actor, _whose(request), hook)
    return Redirect(_place(hook, _whose(request)), text("A test notice was sent"))


def show_one(request: PageRequest) -> PageResponse:
    """Show one webhook with its deliveries."""
    whose = _whose(request)
    hook = request.path_params["hook"]
    deliveries = hooks.list_deliveries(request.store, request.actor, whose, hook, limit=DELIVERIES_SHOWN)
    found = next(one for one in hooks.list_webhooks(request.store, request.actor, whose) if one.id == hook)
    return View(
        "webhook.html", {"hook": found, "deliveries": deliveries, "whose": whose, "back": _back(whose)}
    )


def _whose(request: PageRequest) -> str:
    """Return the owner in the request or, failing that, the current organisation or the first possible owner."""
    named = request.value("whose")
    if named:
        return named
    choices = [code for code, _ in owners(request)]
    if not choices:
        raise Forbidden(text("Only an organisation's owners and the center's operators set up webhooks"))
    return request.org if request.org in choices else choices[0]


def _back(whose: str) -> str:
    return f"/notices/webhooks?whose={quote(whose)}"


def _place(hook: str, whose: str) -> str:
    return f"/notices/webhooks/{quote(hook)}?whose={quote(whose)}"


PAGES = (
    ConsolePage(
        "/notices/webhooks",
        text("Webhooks"),
        show,
        scope="notices:write",
        actions={"add": add, "remove": remove, "enable": enable, "disable": disable, "test": test},
    ),
    ConsolePage("/notices/webhooks/{hook}", text("Webhook"), show_one, scope="notices:write"),
)
