"""Page of the visitor's own account: password, sessions and identities at sign-in providers."""

from __future__ import annotations

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import text
from pearlstreet.console import cookies
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PageRequest, PageResponse, Redirect, View
from pearlstreet.tenancy import federation, sessions
from pearlstreet.tenancy.users import get_user


def show(request: PageRequest) -> PageResponse:
    """Show the account."""
    me = get_user(request.store, request.actor, request.actor.user_id)
    return View(
        "account.html",
        {
            "me": me,
            "sessions": sessions.list_sessions(request.store, request.actor),
            "identities": federation.list_identities(request.store, request.actor, me.id),
        },
    )


def change_password(request: PageRequest) -> PageResponse:
    """Change the visitor's password and end their other sessions."""
    if request.form.get("new") != request.form.get("again"):
        message = text("The two passwords are not the same")
        raise InvalidInput(message, problems=[Problem("again", message)])
    sessions.change_password(
        request.store,
        request.actor,
        request.form.get("current", ""),
        request.form.get("new", ""),
        peer=request.peer,
    )
    return Redirect("/account", text("The password is changed; your other sessions are ended"))


def end_session(request: PageRequest) -> PageResponse:
    """End one of the visitor's sessions, possibly the current one."""
    session = request.value("session")
    sessions.end_session(request.store, request.actor, session)
    if session == request.actor.session_id:
        return Redirect("/sign-in", text("You are signed out"), cookies={cookies.SESSION: None})
    return Redirect("/account", text("The session is ended"))


PAGES = (
    ConsolePage(
        "/account",
        text("My account"),
        show,
        signed_in=True,
        actions={"password": change_password, "end": end_session},
        menu=MenuPlace(MenuGroup.ORGANISATION, 8, "user", "y"),
    ),
)
