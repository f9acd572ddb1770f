"""The menu. A line is shown to whom its page is open."""

from __future__ import annotations

from pearlstreet.base.text import text
from pearlstreet.console.page import NavGroup, NavItem

MENU: tuple[NavGroup, ...] = (
    NavGroup(
        text("Work"),
        (
            NavItem("/", text("Overview"), "home", "o"),
            NavItem("/jobs", text("Jobs"), "jobs", "j"),
        ),
    ),
    NavGroup(
        text("Center"),
        (NavItem("/nodes", text("Nodes"), "nodes", "n"),),
    ),
)
