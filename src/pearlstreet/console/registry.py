"""Every page of the console. A new page is one module in pages/ and one line here."""

from __future__ import annotations

from pearlstreet.console.page import Page
from pearlstreet.console.pages import home, jobs, nodes, preferences, sign_in

PAGES: tuple[Page, ...] = (
    *home.PAGES,
    *sign_in.PAGES,
    *preferences.PAGES,
    *jobs.PAGES,
    *nodes.PAGES,
)
