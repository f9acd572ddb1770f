"""Pages to sign in with a password or a provider, to sign out, and to set a password with a one-time link."""

from __future__ import annotations

from pearlstreet.base.errors import InvalidInput, NotFound, Problem
from pearlstreet.base.text import text
from pearlstreet.console import cookies
from pearlstreet.console.page import ConsolePage
from pearlstreet.console.page_request import PageRequest, PageResponse, Redirect, View
from pearlstreet.tenancy import federation, sessions
from pearlstreet.tenancy.oidc_client import OidcClient


def show(request: PageRequest) -> PageResponse:
    """Show the sign-in form, or redirect a visitor that is signed in."""
    if request.credential and request.error is None:
        return Redirect(cookies.safe_path(request.value("next", "/")))
    return View("sign_in.html", {"providers": list(request.center.oidc)})


def sign_in(request: PageRequest) -> PageResponse:
    """Start a session with a password."""
    found = sessions.sign_in(
        request.store, request.value("name"), request.form.get("password", ""), peer=request.peer
    )
    return Redirect(
        cookies.safe_path(request.value("next", "/")), cookies={cookies.SESSION: found.credential}
    )


def sign_out(request: PageRequest) -> PageResponse:
    """End the session."""
    if request.credential:
        sessions.sign_out(request.store, request.actor)
    return Redirect("/sign-in", text("You are signed out"), cookies={cookies.SESSION: None})


def show_set_password(request: PageRequest) -> PageResponse:
    """Show the form to set a password; the one-time token is in the link."""
    return View("set_password.html")


def set_password(request: PageRequest) -> PageResponse:
    """Set a password with the one-time token."""
    if request.form.get("password") != request.form.get("again"):
        message = text("The two passwords are not the same")
        raise InvalidInput(message, problems=[Problem("again", message)])
    found = sessions.set_password(request.store, request.value("link"), request.form.get("password", ""))
    return Redirect("/sign-in", text("The password of {user} is set; sign in with it", user=found.name))


def start(request: PageRequest) -> PageResponse:
    """Redirect the browser to the sign-in provider."""
    begun = federation.begin(request.store, _provider(request), redirect_uri=_back(request))
    return Redirect(begun.url, cookies={cookies.OIDC: begun.binding})


def callback(request: PageRequest) -> PageResponse:
    """Complete the sign-in after the provider's redirect."""
    found = federation.finish(
        request.store,
        _provider(request),
        state=request.query.get("state", ""),
        code=request.query.get("code", ""),
        binding=request.cookies.get(cookies.OIDC, ""),
        peer=request.peer,
        issuer=request.query.get("iss"),
    )
    return Redirect("/", cookies={cookies.SESSION: found.credential, cookies.OIDC: None})


def _provider(request: PageRequest) -> OidcClient:
    name = request.path_params.get("provider", "")
    found = request.center.oidc.get(name)
    if found is None:
        raise NotFound(text("There is no sign-in provider {name}", name=name[:80]))
    return found


def _back(request: PageRequest) -> str:
    return f"{request.center.public_url or request.origin}/oidc/{request.path_params['provider']}/callback"


PAGES = (
    ConsolePage("/sign-in", text("Sign in"), show, public=True, actions={"in": sign_in}),
    ConsolePage(
        "/sign-out", text("Sign out"), lambda request: Redirect("/"), public=True, actions={"out": sign_out}
    ),
    ConsolePage(
        "/set-password",
        text("Set your password"),
        show_set_password,
        public=True,
        actions={"set": set_password},
    ),
    ConsolePage("/oidc/{provider}/start", text("Sign in"), start, public=True),
    ConsolePage("/oidc/{provider}/callback", text("Sign in"), callback, public=True),
)
