"""The menu, derived from the places that pages declare. A visitor sees the items whose pages they may open."""

from __future__ import annotations

from collections.abc import Iterable

from pearlstreet.base.text import text
from pearlstreet.console.page import ConsolePage, MenuGroup, NavGroup, NavItem
from pearlstreet.console.registry import PAGES

LABELS = {
    MenuGroup.WORK: text("Work"),
    MenuGroup.ORGANISATION: text("Organisation"),
    MenuGroup.CENTER: text("Center"),
}


def menu_of(pages: Iterable[ConsolePage]) -> tuple[NavGroup, ...]:
    """Return the groups of the menu with the pages that have a place in them."""
    placed = sorted((page.menu.place, page.path, page, page.menu) for page in pages if page.menu is not None)
    return tuple(
        NavGroup(
            LABELS[group],
            tuple(
                NavItem(path, menu.label or page.title, menu.icon, menu.key)
                for _, path, page, menu in placed
                if menu.group is group
            ),
        )
        for group in MenuGroup
    )


MENU = menu_of(PAGES)
