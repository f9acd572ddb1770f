"""Language, theme and organisation: kept in cookies of the visitor's browser."""

from __future__ import annotations

from pearlstreet.base.text import text
from pearlstreet.console import cookies
from pearlstreet.console.page import Page
from pearlstreet.console.page_request import Answer, Ask, Go


def show(ask: Ask) -> Answer:
    """Nothing to see by itself."""
    return Go("/")


def choose(ask: Ask) -> Answer:
    """Keep what was chosen and go back."""
    chosen: dict[str, str | None] = {}
    if ask.value("language") in ("en", "zh-CN"):
        chosen[cookies.LANGUAGE] = ask.value("language")
    if ask.value("theme") in cookies.THEMES:
        chosen[cookies.THEME] = ask.value("theme")
    return Go(cookies.safe_path(ask.value("back", "/")), cookies=chosen)


PAGES = (Page("/preferences", text("Preferences"), show, public=True, actions={"set": choose}),)
