"""Language, theme and organisation: kept in cookies of the visitor's browser."""

from __future__ import annotations

from pearlstreet.base.text import text
from pearlstreet.console import cookies
from pearlstreet.console.page import ConsolePage
from pearlstreet.console.page_request import PageRequest, PageResponse, Redirect


def show(request: PageRequest) -> PageResponse:
    """Nothing to see by itself."""
    return Redirect("/")


def choose(request: PageRequest) -> PageResponse:
    """Keep what was chosen and go back."""
    chosen: dict[str, str | None] = {}
    if request.value("language") in ("en", "zh-CN"):
        chosen[cookies.LANGUAGE] = request.value("language")
    if request.value("theme") in cookies.THEMES:
        chosen[cookies.THEME] = request.value("theme")
    return Redirect(cookies.safe_path(request.value("back", "/")), cookies=chosen)


PAGES = (ConsolePage("/preferences", text("Preferences"), show, public=True, actions={"set": choose}),)
