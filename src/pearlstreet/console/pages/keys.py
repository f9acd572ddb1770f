"""Page of API keys: the visitor's own and, for owners and security operators, those of others."""

from __future__ import annotations

from dataclasses import dataclass

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import plural, text
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PageRequest, PageResponse, Redirect, View
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


def show(request: PageRequest) -> PageResponse:
    """Show the keys; with `everyone` in the query also those of other users that the visitor may see."""
    sees_others = "keys:read" in request.actor.all_scopes()
    everyone = sees_others and bool(request.query.get("everyone"))
    return View(
        "keys.html",
        {
            "rows": _rows(request, everyone),
            "everyone": everyone,
            "sees_others": sees_others,
            "scopes": [
                (scope, request.say(text(SCOPES[scope])))
                for scope in SCOPES
                if scope in request.actor.all_scopes()
            ],
            "lives": [
                (days, request.say(plural("{count} day", "{count} days", count=days))) for days in LIVES_DAYS
            ],
            "places": _places(request),
            "chosen": set(request.lists.get("scope", ())),
        },
    )


def create(request: PageRequest) -> PageResponse:
    """Create a key and show its secret once."""
    only = request.value("which") == "some"
    org, _, project = request.value("place").partition("/")
    made = keys.create_key(
        once(request),
        request.actor,
        request.value("label"),
        scopes=list(request.lists.get("scope", ())) if only else None,
        org=org or None,
        project=project or None,
        life_days=_days(request),
    )
    return View("key_made.html", {"made": made, "url": request.center.public_url or request.origin})


def revoke(request: PageRequest) -> PageResponse:
    """Revoke a key."""
    found = keys.revoke_key(request.store, request.actor, request.value("key"))
    back = "/keys?everyone=1" if request.value("everyone") else "/keys"
    return Redirect(back, text("The key {label} is revoked", label=found.label or found.id))


def _days(request: PageRequest) -> int:
    found = request.value("life_days", "90")
    if not (found.isdigit() and len(found) <= 4):
        message = text("{value} is not a number of days", value=found[:20])
        raise InvalidInput(message, problems=[Problem("life_days", message)])
    return int(found)


def _places(request: PageRequest) -> list[tuple[str, str]]:
    """Return the organisations, each followed by its projects, that a key can be tied to."""
    found = []
    for member in request.memberships:
        found.append((member.org_slug, member.org_slug))
        if request.actor.may("projects:read", member.org_id):
            of_org = list_projects(request.store, request.actor, member.org_id, limit=SHOWN_MAX)
            found += [
                (f"{member.org_slug}/{project.slug}", f"{member.org_slug}/{project.slug}")
                for project in of_org
            ]
    return found


def _rows(request: PageRequest, everyone: bool) -> list[KeyRow]:
    """Return the keys, active ones first, each group newest first."""
    now = request.store.clock.now_us()
    found = keys.list_keys(request.store, request.actor, everyone=everyone, limit=SHOWN_MAX)
    names = (
        {user.id: user.name for user in list_users(request.store, request.actor, limit=SHOWN_MAX)}
        if everyone
        else {}
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
    ConsolePage(
        "/keys",
        text("API keys"),
        show,
        scope="keys:own",
        actions={"create": create, "revoke": revoke},
        menu=MenuPlace(MenuGroup.ORGANISATION, 4, "key", "k"),
    ),
)
