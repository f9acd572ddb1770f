"""Pages of notices: the inbox and the notification settings."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pearlstreet.base.text import plural, text
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PER_PAGE, PageRequest, PageResponse, Redirect, View
from pearlstreet.tenancy.notices import inbox, preferences
from pearlstreet.tenancy.notices.inbox import Notice
from pearlstreet.tenancy.notices.kinds import KINDS, Audience, Kind, what_of
from pearlstreet.tenancy.notices.owners import CENTER, ME
from pearlstreet.tenancy.notices.preferences import Change, Preferences

IDS_MAX = PER_PAGE
PLACES = {
    "job": "/jobs/{job}",
    "budget": "/billing",
    "balance": "/billing",
    "invoice": "/billing/invoices/{month}",
    "webhook": "/notices/webhooks",
    "key": "/keys",
    "invitation": "/memberships",
    "member": "/memberships",
    "credit": "/credit",
    "node": "/nodes/{node}",
    "incident": "/incidents",
    "backup": "/settings",
}
"""First word of a notice's kind → page with more about it."""


@dataclass(frozen=True, slots=True)
class NoticeView:
    """A notice in the visitor's language."""

    id: str
    title: str
    body: str
    href: str
    at_us: int
    is_read: bool


def show(request: PageRequest) -> PageResponse:
    """Show the inbox, newest first."""
    only_unread = bool(request.query.get("unread"))
    found = inbox.list_notices(
        request.store,
        request.actor,
        unread=only_unread,
        before=request.query.get("before") or None,
        limit=PER_PAGE + 1,
    )
    shown = found[:PER_PAGE]
    return View(
        "notices.html",
        {
            "notices": [_shown(request, one) for one in shown],
            "only_unread": only_unread,
            "before": shown[-1].id if len(found) > PER_PAGE else None,
            "has_hooks": bool(owners(request)),
        },
    )


def mark(request: PageRequest) -> PageResponse:
    """Mark the selected notices as read."""
    return _mark(request, read=True)


def mark_unread(request: PageRequest) -> PageResponse:
    """Mark the selected notices as unread."""
    return _mark(request, read=False)


def mark_all(request: PageRequest) -> PageResponse:
    """Mark all notices as read."""
    count = inbox.mark_read(request.store, request.actor, None)
    return Redirect(
        "/notices",
        plural("{count} notice is marked as read", "{count} notices are marked as read", count=count),
    )


def test(request: PageRequest) -> PageResponse:
    """Send the visitor a test notice."""
    inbox.send_test(request.store, request.actor)
    return Redirect("/notices", text("A test notice was sent"))


def show_preferences(request: PageRequest) -> PageResponse:
    """Show the channels of each kind of notice for the visitor, an organisation or the center."""
    whose = _whose(request)
    found = preferences.get_preferences(request.store, request.actor, whose)
    rows = [
        (KINDS[name], what_of(name, request.language), found.channels(KINDS[name]), name in found.kinds)
        for name in _hearable(request, found)
    ]
    return View(
        "notice_preferences.html",
        {
            "whose": whose,
            "choices": [(ME, request.say(text("Me"))), *owners(request)],
            "found": found,
            "rows": rows,
            "channels": request.center.channels.offered(is_person=found.owner.is_person),
            "has_mail": request.center.channels.mailer is not None,
            "has_hooks": bool(owners(request)),
            "languages_of_mail": [("en", "English"), ("zh-CN", "简体中文")],
        },
    )


def set_preferences(request: PageRequest) -> PageResponse:
    """Save the settings. Kinds whose channels equal the defaults keep following the defaults."""
    whose = _whose(request)
    before = preferences.get_preferences(request.store, request.actor, whose)
    offered = frozenset(request.center.channels.offered(is_person=before.owner.is_person))
    kinds = {
        name: _chosen(KINDS[name], offered, request.lists.get(f"kind:{name}", ()))
        for name in _hearable(request, before)
    }
    email = request.value("email")
    change = Change(
        language=request.value("language") or None,
        email=email if email != (before.email or "") else None,
        kinds=kinds,
    )
    preferences.set_preferences(request.store, request.actor, whose, change, request.center.channels.named)
    if change.email:
        return Redirect(
            _preferences(whose), text("A code was sent to {email}; enter it here", email=change.email)
        )
    return Redirect(_preferences(whose), text("The settings are saved"))


def confirm(request: PageRequest) -> PageResponse:
    """Confirm an address with its confirmation code."""
    whose = _whose(request)
    preferences.confirm_address(request.store, request.actor, whose, request.value("code"))
    return Redirect(_preferences(whose), text("The address is confirmed"))


def owners(request: PageRequest) -> list[tuple[str, str]]:
    """Return the organisations (by slug) and the center whose notification settings the visitor may change."""
    found = [
        (one.org_slug, one.org_slug)
        for one in request.memberships
        if request.actor.may("notices:write", one.org_id)
    ]
    if request.actor.may("notices:write"):
        found.append((CENTER, request.say(text("The center"))))
    return found


def _mark(request: PageRequest, *, read: bool) -> PageResponse:
    chosen = list(request.lists.get("notice", ()))[:IDS_MAX]
    count = inbox.mark_read(request.store, request.actor, chosen, read=read)
    back = "/notices?unread=1" if request.value("unread") else "/notices"
    return Redirect(
        back,
        plural("{count} notice is marked as read", "{count} notices are marked as read", count=count)
        if read
        else plural(
            "{count} notice is marked as unread", "{count} notices are marked as unread", count=count
        ),
    )


def _shown(request: PageRequest, found: Notice) -> NoticeView:
    words = found.words(request.language)
    place = PLACES.get(found.kind.partition(".")[0], "")
    try:
        href = place.format(
            **{name: value for name, value in found.payload.items() if isinstance(value, str)}
        )
    except KeyError:
        href = ""
    return NoticeView(found.id, words.title, words.body, href, found.at_us, found.read_us is not None)


def _chosen(kind: Kind, offered: frozenset[str], ticked: Collection[str]) -> list[str] | None:
    """Return the selected channels, or None if they equal the default ones."""
    wanted = offered.intersection(ticked)
    return None if wanted == offered & kind.usual else sorted(wanted)


def _hearable(request: PageRequest, found: Preferences) -> list[str]:
    """Return the kinds that can reach the owner: operators get those of the center, others those of organisations."""
    names = preferences.hearable(found.owner)
    if not found.owner.is_person:
        return names
    excluded = Audience.ORGANISATION if request.is_operator() else Audience.CENTER
    return [name for name in names if KINDS[name].audience is not excluded]


def _whose(request: PageRequest) -> str:
    return request.value("whose") or ME


def _preferences(whose: str) -> str:
    return "/notices/preferences" + ("" if whose == ME else f"?whose={whose}")


PAGES = (
    ConsolePage(
        "/notices",
        text("Notices"),
        show,
        scope="notices:own",
        actions={"read": mark, "unread": mark_unread, "read_all": mark_all, "test": test},
        menu=MenuPlace(MenuGroup.ORGANISATION, 6, "bell", "i"),
    ),
    ConsolePage(
        "/notices/preferences",
        text("Notification settings"),
        show_preferences,
        scope="notices:own",
        actions={"set": set_preferences, "confirm": confirm},
    ),
)
