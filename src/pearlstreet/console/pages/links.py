"""The view of a one-time link to set a password, shown once after the action that created it."""

from __future__ import annotations

from urllib.parse import quote

from pearlstreet.console.page_request import PageRequest, View
from pearlstreet.tenancy.users import Invited


def show_link(request: PageRequest, invited: Invited, back: str) -> View:
    """Return the view with the link of an account, to pass to its owner."""
    base = request.center.public_url or request.origin
    return View(
        "link_made.html",
        {"user": invited.user, "link": f"{base}/set-password?link={quote(invited.token)}", "back": back},
    )
