"""One-time links to set a password with: shown once, in the answer of the action that made them."""

from __future__ import annotations

from urllib.parse import quote

from pearlstreet.console.page_request import PageRequest, View
from pearlstreet.tenancy.users import Invited


def show_link(request: PageRequest, invited: Invited, back: str) -> View:
    """The link of an account, to hand to its owner."""
    base = request.center.public_url or request.origin
    return View(
        "link_made.html",
        {"user": invited.user, "link": f"{base}/set-password?link={quote(invited.token)}", "back": back},
    )
