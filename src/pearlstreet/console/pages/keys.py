"""API keys: one's own, and for owners and security those of others."""

from __future__ import annotations

from dataclasses import dataclass

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import text
from pearlstreet.console.page import Page
from pearlstreet.console.page_request import Answer, Ask, Go, View
from pearlstreet.console.pages.org_scope import SHOWN_MAX
from pearlstreet.console.routing import once
from pearlstreet.tenancy import keys
from pearlstreet.tenancy.model import ApiKey
from pearlstreet.tenancy.orgs import list_projects
from pearlstreet.tenancy.scopes import SCOPES
from pearlstreet.tenancy.users import list_users

LIVES_DAYS = (7, 30, 90, 180, 366)


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key with its owner's name and its state."""

    key: ApiKey
    owner: str
    state: str


def show(ask: Ask) -> Answer:
    """The list; `everyone`: also those of others that one may see."""
    sees_others = "keys:read" in ask.actor.all_scopes()
    everyone = sees_others and bool(ask.query.get("everyone"))
    return View(
        "keys.html",
        {
            "rows": _rows(ask, everyone),
            "everyone": everyone,
            "sees_others": sees_others,
            "scopes": [
                (scope, ask.say(text(SCOPES[scope]))) for scope in SCOPES if scope in ask.actor.all_scopes()
            ],
            "lives": [(days, ask.say(text("{days} days", days=days))) for days in LIVES_DAYS],
            "places": _places(ask),
            "chosen": set(ask.lists.get("scope", ())),
        },
    )


def create(ask: Ask) -> Answer:
    """A new key, shown once."""
    only = ask.value("which") == "some"
    org, _, project = ask.value("place").partition("/")
    made = keys.create_key(
        once(ask),
        ask.actor,
        ask.value("label"),
        scopes=list(ask.lists.get("scope", ())) if only else None,
        org=org or None,
        project=project or None,
        life_days=_days(ask),
    )
    return View("key_made.html", {"made": made, "url": ask.center.public_url or ask.origin})


def revoke(ask: Ask) -> Answer:
    """End a key at once."""
    found = keys.revoke_key(ask.store, ask.actor, ask.value("key"))
    back = "/keys?everyone=1" if ask.value("everyone") else "/keys"
    return Go(back, text("The key {label} is revoked", label=found.label or found.id))


def _days(ask: Ask) -> int:
    found = ask.value("life_days", "90")
    if not (found.isdigit() and len(found) <= 4):
        message = text("{value} is not a number of days", value=found[:20])
        raise InvalidInput(message, problems=[Problem("life_days", message)])
    return int(found)


def _places(ask: Ask) -> list[tuple[str, str]]:
    """Where a key can be tied to: each organisation, then its projects."""
    found = []
    for member in ask.memberships:
        found.append((member.org_slug, member.org_slug))
        if ask.actor.may("projects:read", member.org_id):
            of_org = list_projects(ask.store, ask.actor, member.org_id, limit=SHOWN_MAX)
            found += [
                (f"{member.org_slug}/{project.slug}", f"{member.org_slug}/{project.slug}")
                for project in of_org
            ]
    return found


def _rows(ask: Ask, everyone: bool) -> list[KeyRow]:
    """Newest first, those that work before those that do not."""
    now = ask.store.clock.now_us()
    found = keys.list_keys(ask.store, ask.actor, everyone=everyone, limit=SHOWN_MAX)
    names = (
        {user.id: user.name for user in list_users(ask.store, ask.actor, limit=SHOWN_MAX)} if everyone else {}
    )
    rows = [
        KeyRow(
            key,
            names.get(key.user_id, key.user_id),
            "revoked" if key.revoked_us else "expired" if key.expires_us <= now else "active",
        )
        for key in reversed(found)
    ]
    return sorted(rows, key=lambda row: row.state != "active")


PAGES = (
    Page("/keys", text("API keys"), show, scope="keys:own", actions={"create": create, "revoke": revoke}),
)
