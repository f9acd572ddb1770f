"""Routes of notices: the caller's inbox, and the notification settings of users, organisations and the center."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, Unpack

from fastapi import Depends, Query, Request, Response
from pydantic import Field

from pearlstreet.api.models import In, Out, Time, time_of
from pearlstreet.api.paging import Cursor, Limit, Page, page, read_cursor
from pearlstreet.api.request_inputs import language_of
from pearlstreet.api.routing import CurrentActor, RouteAccess, SecuredRouter, Tied, center_of, command, query
from pearlstreet.store.core import Store
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.notices import inbox, preferences
from pearlstreet.tenancy.notices.inbox import READ_MAX, Notice
from pearlstreet.tenancy.notices.kinds import KINDS, what_of
from pearlstreet.tenancy.notices.owners import CENTER, ME
from pearlstreet.tenancy.notices.preferences import Change, Preferences, hearable
from pearlstreet.tenancy.notices.sending import Channels

router = SecuredRouter("/notices", "notices")
orgs_router = SecuredRouter("/orgs/{org}/notices", "notices")
center_router = SecuredRouter("/center/notices", "notices")
ChannelName = Literal["inbox", "email"]


class NoticeOut(Out):
    """A notice in the language of Accept-Language. `data` contains the values in its text."""

    id: str
    event_id: str
    kind: str
    org_id: str | None
    title: str
    text: str
    data: dict[str, object]
    at: Time
    read: Time | None


def _notice(found: Notice, language: str) -> dict[str, object]:
    words = found.words(language)
    return {
        "id": found.id,
        "event_id": found.event_id,
        "kind": found.kind,
        "org_id": found.org_id,
        "title": words.title,
        "text": words.body,
        "data": found.payload,
        "at": time_of(found.at_us),
        "read": time_of(found.read_us),
    }


@router.get("", tie=Tied.NONE, scope="notices:own", responses={200: {"model": Page[NoticeOut]}})
async def list_notices(
    request: Request,
    actor: Actor = CurrentActor,
    unread: Annotated[bool, Query(description="Only unread notices")] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List the caller's notices, newest first. They are kept for 90 days."""
    store, before, language = center_of(request).store, read_cursor(cursor), language_of(request)
    return await query(
        lambda: inbox.list_notices(store, actor, unread=unread, before=before, limit=limit + 1),
        lambda rows: page(rows, limit, lambda row: row.id, lambda row: _notice(row, language)),
    )


class UnreadOut(Out):
    """Number of unread notices."""

    count: int


@router.get("/unread", tie=Tied.NONE, scope="notices:own", responses={200: {"model": UnreadOut}})
async def count_unread_notices(request: Request, actor: Actor = CurrentActor) -> Response:
    """Count the caller's unread notices."""
    store = center_of(request).store
    return await query(lambda: inbox.count_unread(store, actor), lambda count: {"count": count})


class ReadIn(In):
    """The notices to mark; `ids` null: all. `read` false: mark them as unread."""

    ids: list[str] | None = Field(None, max_length=READ_MAX)
    read: bool = True


class ChangedOut(Out):
    """Number of changed notices."""

    changed: int


@router.post("/read", tie=Tied.NONE, scope="notices:own", responses={200: {"model": ChangedOut}})
async def mark_notices_read(request: Request, body: ReadIn, actor: Actor = CurrentActor) -> Response:
    """Mark the caller's notices as read or unread."""
    return await command(
        request,
        actor,
        lambda store: inbox.mark_read(store, actor, body.ids, read=body.read),
        lambda count: {"changed": count},
    )


class TestOut(Out):
    """Whether a test notice was sent."""

    sent: bool


@router.post(
    "/test", tie=Tied.NONE, scope="notices:own", status_code=202, responses={202: {"model": TestOut}}
)
async def send_test_notice(request: Request, actor: Actor = CurrentActor) -> Response:
    """Send the caller a test notice through all of their channels."""
    return await command(
        request, actor, lambda store: inbox.send_test(store, actor), lambda _: {"sent": True}, status=202
    )


class NoticeKindOut(Out):
    """One kind of notice; `usual`: its default channels."""

    name: str
    what: str
    concerns: Literal["person", "organisation", "center"]
    usual: list[ChannelName]


class Kinds(Out):
    """Kinds of notices."""

    items: list[NoticeKindOut]


@router.get("/kinds", scope="notices:own", responses={200: {"model": Kinds}})
async def list_notice_kinds(request: Request, actor: Actor = CurrentActor) -> Response:
    """List the kinds of notices."""
    language = language_of(request)
    return await query(
        lambda: list(KINDS.values()),
        lambda rows: {
            "items": [
                {
                    "name": kind.name,
                    "what": what_of(kind.name, language),
                    "concerns": kind.audience.value,
                    "usual": sorted(kind.usual),
                }
                for kind in rows
            ]
        },
    )


class PreferencesOut(Out):
    """Notification settings: channels per kind. `email_confirmed`: whether mail is sent to the address yet."""

    language: Literal["en", "zh-CN"]
    email: str | None
    email_confirmed: bool
    mail_available: bool
    """Whether the center has a mail server."""
    channels: list[str]
    """Channels that can be chosen: inbox, email and those of the center."""
    kinds: dict[str, list[str]]


class PreferencesIn(In):
    """Changes of the notification settings; omitted fields stay unchanged."""

    language: str | None = Field(None, max_length=20)
    email: str | None = Field(
        None, max_length=254, description="Address; a confirmation code is sent to it. Empty: none"
    )
    kinds: dict[str, list[str] | None] = Field(
        default_factory=dict,
        max_length=100,
        description="Kind → channels (inbox, email, or another of the center); null: default channels",
        examples=[{"job.failed": ["inbox", "email"]}],
    )


class ConfirmIn(In):
    """The confirmation code that was sent to an address."""

    code: str = Field(max_length=40)


def _preferences(found: Preferences, channels: Channels) -> dict[str, object]:
    offered = channels.offered(is_person=found.owner.is_person)
    shown = {
        name: sorted(found.channels(KINDS[name]).intersection(offered)) for name in hearable(found.owner)
    }
    return {
        "language": found.language,
        "email": found.email,
        "email_confirmed": found.confirmed,
        "mail_available": channels.mailer is not None,
        "channels": list(offered),
        "kinds": shown,
    }


def _mine() -> str:
    return ME


def _orgs(org: str) -> str:
    return org


def _centers() -> str:
    return CENTER


def _preference_routes(
    router: SecuredRouter, whose_it_is: Callable[..., str], owner: str, **access: Unpack[RouteAccess]
) -> None:
    """Mount the same three routes for a user, an organisation or the center; `owner` is part of their operation ids."""
    whose_dependency = Depends(whose_it_is)

    @router.get(
        "/preferences",
        **access,
        operation=f"get{owner}NoticePreferences",
        responses={200: {"model": PreferencesOut}},
    )
    async def get_preferences(
        request: Request, actor: Actor = CurrentActor, whose: str = whose_dependency
    ) -> Response:
        """Get the notification settings."""
        center = center_of(request)
        return await query(
            lambda: preferences.get_preferences(center.store, actor, whose),
            lambda found: _preferences(found, center.channels),
        )

    @router.patch(
        "/preferences",
        **access,
        operation=f"set{owner}NoticePreferences",
        responses={200: {"model": PreferencesOut}},
    )
    async def set_preferences(
        request: Request, body: PreferencesIn, actor: Actor = CurrentActor, whose: str = whose_dependency
    ) -> Response:
        """Change the notification settings. A new address is used after it was confirmed with its code."""
        change = Change(body.language, body.email, body.kinds)
        channels = center_of(request).channels

        def work(store: Store) -> Preferences:
            return preferences.set_preferences(store, actor, whose, change, channels.named)

        return await command(request, actor, work, lambda found: _preferences(found, channels))

    @router.post(
        "/preferences/confirm",
        **access,
        operation=f"confirm{owner}NoticeAddress",
        responses={200: {"model": PreferencesOut}},
    )
    async def confirm_address(
        request: Request, body: ConfirmIn, actor: Actor = CurrentActor, whose: str = whose_dependency
    ) -> Response:
        """Confirm an address with its confirmation code."""
        channels = center_of(request).channels

        def work(store: Store) -> Preferences:
            return preferences.confirm_address(store, actor, whose, body.code)

        return await command(request, actor, work, lambda found: _preferences(found, channels))


_preference_routes(router, _mine, "Own", tie=Tied.NONE, scope="notices:own")
_preference_routes(orgs_router, _orgs, "Org", scope="notices:write")
_preference_routes(center_router, _centers, "Center", scope="notices:write", at_center=True)
