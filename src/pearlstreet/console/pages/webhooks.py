"""Webhooks of an organisation or of the center: add, test, switch off and on, remove, what was delivered."""

from __future__ import annotations

from urllib.parse import quote

from pearlstreet.base.errors import Forbidden
from pearlstreet.base.text import text
from pearlstreet.console.page import Page
from pearlstreet.console.page_request import Answer, Ask, Go, View
from pearlstreet.console.pages.notices import owners
from pearlstreet.console.routing import once
from pearlstreet.tenancy.notices import hooks, preferences
from pearlstreet.tenancy.notices.kinds import what_of

DELIVERIES_SHOWN = 50


def show(ask: Ask) -> Answer:
    """The list of one owner."""
    whose = _whose(ask)
    found = preferences.get_preferences(ask.store, ask.actor, whose)
    return View(
        "webhooks.html",
        {
            "whose": whose,
            "choices": owners(ask),
            "hooks": hooks.list_webhooks(ask.store, ask.actor, whose),
            "kinds": [(name, what_of(name, ask.language)) for name in preferences.hearable(found.owner)],
            "chosen": set(ask.lists.get("kind", ())),
        },
    )


def add(ask: Ask) -> Answer:
    """A new one; its secret is shown once."""
    whose = _whose(ask)
    made = hooks.add_webhook(
        once(ask),
        ask.actor,
        ask.center.channels,
        whose,
        ask.value("url"),
        list(ask.lists.get("kind", ())),
    )
    return View("webhook_made.html", {"made": made, "back": _back(whose)})


def remove(ask: Ask) -> Answer:
    """Post nothing there any more."""
    found = hooks.remove_webhook(ask.store, ask.actor, _whose(ask), ask.value("hook"))
    return Go(_back(_whose(ask)), text("The webhook {url} is removed", url=found.url))


def enable(ask: Ask) -> Answer:
    """Post there again."""
    found = hooks.enable_webhook(ask.store, ask.actor, _whose(ask), ask.value("hook"))
    return Go(_back(_whose(ask)), text("The webhook {url} is switched on", url=found.url))


def disable(ask: Ask) -> Answer:
    """Keep it, but post nothing there."""
    found = hooks.disable_webhook(ask.store, ask.actor, _whose(ask), ask.value("hook"))
    return Go(_back(_whose(ask)), text("The webhook {url} is off now", url=found.url))


def test(ask: Ask) -> Answer:
    """Post a test there."""
    hook = ask.value("hook")
    hooks.test_webhook(ask.store, ask.actor, _whose(ask), hook)
    return Go(_place(hook, _whose(ask)), text("A test is on its way"))


def show_one(ask: Ask) -> Answer:
    """One webhook with what was posted or waits."""
    whose = _whose(ask)
    hook = ask.place["hook"]
    deliveries = hooks.list_deliveries(ask.store, ask.actor, whose, hook, limit=DELIVERIES_SHOWN)
    found = next(one for one in hooks.list_webhooks(ask.store, ask.actor, whose) if one.id == hook)
    return View(
        "webhook.html", {"hook": found, "deliveries": deliveries, "whose": whose, "back": _back(whose)}
    )


def _whose(ask: Ask) -> str:
    """The owner that is named, or the only one there is to choose."""
    named = ask.value("whose")
    if named:
        return named
    choices = [code for code, _ in owners(ask)]
    if not choices:
        raise Forbidden(text("Only an organisation's owners and the center's operators set up webhooks"))
    return ask.org if ask.org in choices else choices[0]


def _back(whose: str) -> str:
    return f"/notices/webhooks?whose={quote(whose)}"


def _place(hook: str, whose: str) -> str:
    return f"/notices/webhooks/{quote(hook)}?whose={quote(whose)}"


PAGES = (
    Page(
        "/notices/webhooks",
        text("Webhooks"),
        show,
        scope="notices:write",
        actions={"add": add, "remove": remove, "enable": enable, "disable": disable, "test": test},
    ),
    Page("/notices/webhooks/{hook}", text("Webhook"), show_one, scope="notices:write"),
)
