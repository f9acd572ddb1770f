"""Actions that store language and theme in cookies."""

from __future__ import annotations

from pearlstreet.base.text import text
from pearlstreet.console import cookies
from pearlstreet.console.page import ConsolePage
from pearlstreet.console.page_request import PageRequest, PageResponse, Redirect


def show(request: PageRequest) -> PageResponse:
    """Redirect to the overview, since this page only has an action."""
    return Redirect("/")


def choose(request: PageRequest) -> PageResponse:
    """Store the chosen language or theme and redirect back."""
    chosen: dict[str, str | None] = {}
    if request.value("language") in ("en", "zh-CN"):
        chosen[cookies.LANGUAGE] = request.value("language")
    if request.value("theme") in cookies.THEMES:
        chosen[cookies.THEME] = request.value("theme")
    return Redirect(cookies.safe_path(request.value("back", "/")), cookies=chosen)


PAGES = (ConsolePage("/preferences", text("Preferences"), show, public=True, actions={"set": choose}),)
