"""Routes, pages and commands are found in their modules, and each address is answered by its own route."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest
from starlette.routing import compile_path

from pearlstreet import cli
from pearlstreet.api import routes
from pearlstreet.api.app import ROUTERS, all_routes
from pearlstreet.api.routes import system
from pearlstreet.api.routing import SecuredRouter
from pearlstreet.base.text import text
from pearlstreet.cli.main import HELPERS, HOMES
from pearlstreet.console import menu, pages
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.registry import PAGES


def _modules(package: object) -> set[str]:
    return {module.name for module in iter_modules(package.__path__)}  # type: ignore[attr-defined]


def _address(path: str) -> str:
    return re.sub(r"\{\w+(:\w+)?\}", "x", path)


def test_every_router_is_mounted_once() -> None:
    found = [
        value
        for name in sorted(_modules(routes))
        for value in vars(import_module(f"pearlstreet.api.routes.{name}")).values()
        if isinstance(value, SecuredRouter)
    ]
    assert {id(router) for router in found} == {id(router) for router in (*ROUTERS, system.root_router)}
    assert len({id(router) for router in ROUTERS}) == len(ROUTERS)


def test_each_route_of_the_api_answers_its_own_address() -> None:
    """Routes are tried in order, so one with a parameter must not stand before one with a fixed name."""
    facts = all_routes()
    for fact in facts:
        first = next(
            other
            for other in facts
            if other.method == fact.method and compile_path(other.path)[0].match(_address(fact.path))
        )
        assert first.path == fact.path


def test_each_page_answers_its_own_address() -> None:
    for page in PAGES:
        first = next(other for other in PAGES if compile_path(other.path)[0].match(_address(page.path)))
        assert first.path == page.path


def test_every_module_with_pages_is_found() -> None:
    declared = [
        page
        for name in _modules(pages)
        for page in getattr(import_module(f"{pages.__name__}.{name}"), "PAGES", ())
    ]
    assert len(declared) > 50
    assert {id(page) for page in declared} == {id(page) for page in PAGES}


def test_a_page_with_a_place_stands_in_the_menu_there() -> None:
    shown = [
        ConsolePage(
            path, text("Things"), lambda _: None, public=True, menu=MenuPlace(MenuGroup.WORK, place, "jobs")
        )  # type: ignore[arg-type,return-value]
        for path, place in (("/second", 2), ("/first", 1))
    ]
    assert [item.path for group in menu.menu_of(shown) for item in group.items] == ["/first", "/second"]


@pytest.mark.parametrize("name", sorted(_modules(cli)))
def test_modules_of_the_command_line_have_commands_or_are_helpers(name: str) -> None:
    assert hasattr(import_module(f"pearlstreet.cli.{name}"), "register") == (name not in HELPERS)
    assert (f"pearlstreet.cli.{name}" in HOMES) == (name not in HELPERS)


def test_helpers_exist() -> None:
    assert {path.stem for path in Path(cli.__path__[0]).glob("*.py")} >= HELPERS
