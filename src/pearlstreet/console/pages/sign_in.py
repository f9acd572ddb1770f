"""Signing in with a password or a provider, signing out, setting a password by a one-time link."""

from __future__ import annotations

from pearlstreet.base.errors import InvalidInput, NotFound, Problem
from pearlstreet.base.text import text
from pearlstreet.console import cookies
from pearlstreet.console.page import Page
from pearlstreet.console.page_request import Answer, Ask, Go, View
from pearlstreet.tenancy import federation, sessions
from pearlstreet.tenancy.oidc_client import OidcClient


def show(ask: Ask) -> Answer:
    """The form; who is signed in already goes on."""
    if ask.credential and ask.error is None:
        return Go(cookies.safe_path(ask.value("next", "/")))
    return View("sign_in.html", {"providers": list(ask.center.oidc)})


def sign_in(ask: Ask) -> Answer:
    """Start a session with a password."""
    found = sessions.sign_in(ask.store, ask.value("name"), ask.form.get("password", ""), peer=ask.peer)
    return Go(cookies.safe_path(ask.value("next", "/")), cookies={cookies.SESSION: found.credential})


def sign_out(ask: Ask) -> Answer:
    """End the session."""
    if ask.credential:
        sessions.sign_out(ask.store, ask.actor)
    return Go("/sign-in", text("You are signed out"), cookies={cookies.SESSION: None})


def show_set_password(ask: Ask) -> Answer:
    """The form; the code is in the link."""
    return View("set_password.html")


def set_password(ask: Ask) -> Answer:
    """Set a password with the one-time code."""
    if ask.form.get("password") != ask.form.get("again"):
        message = text("The two passwords are not the same")
        raise InvalidInput(message, problems=[Problem("again", message)])
    found = sessions.set_password(ask.store, ask.value("link"), ask.form.get("password", ""))
    return Go("/sign-in", text("The password of {user} is set; sign in with it", user=found.name))


def start(ask: Ask) -> Answer:
    """Send the browser to the sign-in provider."""
    begun = federation.begin(ask.store, _provider(ask), redirect_uri=_back(ask))
    return Go(begun.url, cookies={cookies.OIDC: begun.binding})


def callback(ask: Ask) -> Answer:
    """Where the provider sends the browser back to."""
    found = federation.finish(
        ask.store,
        _provider(ask),
        state=ask.query.get("state", ""),
        code=ask.query.get("code", ""),
        binding=ask.cookies.get(cookies.OIDC, ""),
        peer=ask.peer,
        issuer=ask.query.get("iss"),
    )
    return Go("/", cookies={cookies.SESSION: found.credential, cookies.OIDC: None})


def _provider(ask: Ask) -> OidcClient:
    name = ask.place.get("provider", "")
    found = ask.center.oidc.get(name)
    if found is None:
        raise NotFound(text("There is no sign-in provider {name}", name=name[:80]))
    return found


def _back(ask: Ask) -> str:
    return f"{ask.center.public_url or ask.origin}/oidc/{ask.place['provider']}/callback"


PAGES = (
    Page("/sign-in", text("Sign in"), show, public=True, actions={"in": sign_in}),
    Page("/sign-out", text("Sign out"), lambda ask: Go("/"), public=True, actions={"out": sign_out}),
    Page(
        "/set-password",
        text("Set your password"),
        show_set_password,
        public=True,
        actions={"set": set_password},
    ),
    Page("/oidc/{provider}/start", text("Sign in"), start, public=True),
    Page("/oidc/{provider}/callback", text("Sign in"), callback, public=True),
)
