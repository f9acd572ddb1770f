"""Notices: the inbox, and what one hears of where."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pearlstreet.base.text import text
from pearlstreet.console.page import Page
from pearlstreet.console.page_request import PER_PAGE, Answer, Ask, Go, View
from pearlstreet.tenancy.notices import inbox, preferences
from pearlstreet.tenancy.notices.inbox import Notice
from pearlstreet.tenancy.notices.kinds import KINDS, Audience, Channel, Kind, what_of
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
"""Where to look on, by the first word of the kind."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A notice in the visitor's words."""

    id: str
    title: str
    body: str
    href: str
    at_us: int
    is_read: bool


def show(ask: Ask) -> Answer:
    """The inbox, newest first."""
    only_unread = bool(ask.query.get("unread"))
    found = inbox.list_notices(
        ask.store,
        ask.actor,
        unread=only_unread,
        before=ask.query.get("before") or None,
        limit=PER_PAGE + 1,
    )
    shown = found[:PER_PAGE]
    return View(
        "notices.html",
        {
            "notices": [_shown(ask, one) for one in shown],
            "only_unread": only_unread,
            "before": shown[-1].id if len(found) > PER_PAGE else None,
            "has_hooks": bool(owners(ask)),
        },
    )


def mark(ask: Ask) -> Answer:
    """Mark the chosen ones as read."""
    return _mark(ask, read=True)


def mark_unread(ask: Ask) -> Answer:
    """Mark the chosen ones as not read."""
    return _mark(ask, read=False)


def mark_all(ask: Ask) -> Answer:
    """Mark everything as read."""
    count = inbox.mark_read(ask.store, ask.actor, None)
    return Go("/notices", text("{count} notices are marked as read", count=count))


def test(ask: Ask) -> Answer:
    """Tell oneself something, the way that every notice goes."""
    inbox.send_test(ask.store, ask.actor)
    return Go("/notices", text("A test is on its way"))


def show_preferences(ask: Ask) -> Answer:
    """Kinds × channels, for oneself, an organisation or the center."""
    whose = _whose(ask)
    found = preferences.get_preferences(ask.store, ask.actor, whose)
    rows = [
        (KINDS[name], what_of(name, ask.language), found.channels(KINDS[name]), name in found.kinds)
        for name in _hearable(ask, found)
    ]
    return View(
        "notice_preferences.html",
        {
            "whose": whose,
            "choices": [(ME, ask.say(text("Me"))), *owners(ask)],
            "found": found,
            "rows": rows,
            "channels": [one.value for one in _channels(found.owner.is_person)],
            "has_mail": ask.center.channels.mailer is not None,
            "has_hooks": bool(owners(ask)),
            "languages_of_mail": [("en", "English"), ("zh-CN", "简体中文")],
        },
    )


def set_preferences(ask: Ask) -> Answer:
    """Keep what is ticked; what is as usual stays as usual."""
    whose = _whose(ask)
    before = preferences.get_preferences(ask.store, ask.actor, whose)
    offered = frozenset(_channels(before.owner.is_person))
    kinds = {
        name: _chosen(KINDS[name], offered, ask.lists.get(f"kind:{name}", ()))
        for name in _hearable(ask, before)
    }
    email = ask.value("email")
    change = Change(
        language=ask.value("language") or None,
        email=email if email != (before.email or "") else None,
        kinds=kinds,
    )
    preferences.set_preferences(ask.store, ask.actor, whose, change)
    if change.email:
        return Go(_preferences(whose), text("A code was sent to {email}; give it here", email=change.email))
    return Go(_preferences(whose), text("It is kept"))


def confirm(ask: Ask) -> Answer:
    """Confirm an address with the code that was sent to it."""
    whose = _whose(ask)
    preferences.confirm_address(ask.store, ask.actor, whose, ask.value("code"))
    return Go(_preferences(whose), text("The address is confirmed"))


def owners(ask: Ask) -> list[tuple[str, str]]:
    """Whose notices, beside one's own, the visitor sets up: organisations by slug, or the center."""
    found = [
        (one.org_slug, one.org_slug) for one in ask.memberships if ask.actor.may("notices:write", one.org_id)
    ]
    if ask.actor.may("notices:write"):
        found.append((CENTER, ask.say(text("The center"))))
    return found


def _mark(ask: Ask, *, read: bool) -> Answer:
    chosen = list(ask.lists.get("notice", ()))[:IDS_MAX]
    count = inbox.mark_read(ask.store, ask.actor, chosen, read=read)
    back = "/notices?unread=1" if ask.value("unread") else "/notices"
    return Go(
        back,
        text("{count} notices are marked as read", count=count)
        if read
        else text("{count} notices are marked as unread", count=count),
    )


def _shown(ask: Ask, found: Notice) -> Shown:
    words = found.words(ask.language)
    place = PLACES.get(found.kind.partition(".")[0], "")
    try:
        href = place.format(
            **{name: value for name, value in found.payload.items() if isinstance(value, str)}
        )
    except KeyError:
        href = ""
    return Shown(found.id, words.title, words.body, href, found.at_us, found.read_us is not None)


def _chosen(kind: Kind, offered: frozenset[Channel], ticked: Collection[str]) -> list[str] | None:
    """None: as usual."""
    wanted = {one for one in offered if one.value in ticked}
    return None if wanted == kind.usual & offered else sorted(one.value for one in wanted)


def _hearable(ask: Ask, found: Preferences) -> list[str]:
    """What can ever reach them: operators hear of the center, everybody else of their organisations."""
    names = preferences.hearable(found.owner)
    if not found.owner.is_person:
        return names
    strange = Audience.ORGANISATION if ask.is_operator() else Audience.CENTER
    return [name for name in names if KINDS[name].audience is not strange]


def _channels(is_person: bool) -> list[Channel]:
    return [Channel.INBOX, Channel.EMAIL] if is_person else [Channel.EMAIL]


def _whose(ask: Ask) -> str:
    return ask.value("whose") or ME


def _preferences(whose: str) -> str:
    return "/notices/preferences" + ("" if whose == ME else f"?whose={whose}")


PAGES = (
    Page(
        "/notices",
        text("Notices"),
        show,
        scope="notices:own",
        actions={"read": mark, "unread": mark_unread, "read_all": mark_all, "test": test},
    ),
    Page(
        "/notices/preferences",
        text("Notification settings"),
        show_preferences,
        scope="notices:own",
        actions={"set": set_preferences, "confirm": confirm},
    ),
)
