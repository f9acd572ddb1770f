"""One's own account: who I am, my password, where I am signed in, my identities at sign-in providers."""

from __future__ import annotations

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import text
from pearlstreet.console import cookies
from pearlstreet.console.page import Page
from pearlstreet.console.page_request import Answer, Ask, Go, View
from pearlstreet.tenancy import federation, sessions
from pearlstreet.tenancy.users import get_user


def show(ask: Ask) -> Answer:
    """All of it."""
    me = get_user(ask.store, ask.actor, ask.actor.user_id)
    return View(
        "account.html",
        {
            "me": me,
            "sessions": sessions.list_sessions(ask.store, ask.actor),
            "identities": federation.list_identities(ask.store, ask.actor, me.id),
        },
    )


def change_password(ask: Ask) -> Answer:
    """Replace the password; other sessions end."""
    if ask.form.get("new") != ask.form.get("again"):
        message = text("The two passwords are not the same")
        raise InvalidInput(message, problems=[Problem("again", message)])
    sessions.change_password(
        ask.store, ask.actor, ask.form.get("current", ""), ask.form.get("new", ""), peer=ask.peer
    )
    return Go("/account", text("The password is changed; your other sessions are ended"))


def end_session(ask: Ask) -> Answer:
    """End one of one's own sessions, also this one."""
    session = ask.value("session")
    sessions.end_session(ask.store, ask.actor, session)
    if session == ask.actor.session_id:
        return Go("/sign-in", text("You are signed out"), cookies={cookies.SESSION: None})
    return Go("/account", text("The session is ended"))


PAGES = (
    Page(
        "/account",
        text("My account"),
        show,
        signed_in=True,
        actions={"password": change_password, "end": end_session},
    ),
)
