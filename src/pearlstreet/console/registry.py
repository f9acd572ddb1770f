"""All pages of the console: the `PAGES` of every module in pages/."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

from pearlstreet.console import pages
from pearlstreet.console.page import ConsolePage


def _declared() -> Iterator[ConsolePage]:
    for module in iter_modules(pages.__path__, f"{pages.__name__}."):
        yield from getattr(import_module(module.name), "PAGES", ())


def _fixed_first(page: ConsolePage) -> tuple[bool, ...]:
    """Order /quotes/scenarios before /quotes/{quote}: the first route that matches an address answers."""
    return tuple(part.startswith("{") for part in page.path.split("/"))


PAGES: tuple[ConsolePage, ...] = tuple(sorted(_declared(), key=_fixed_first))
