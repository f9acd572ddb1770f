"""One center, one Chromium and one sign-in of each person for all of these tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.browsing import WITHIN_MS, Visitor, chromium, visiting
from tests.e2e.center import OPERATORS, SIMULATED, TENANTS, Center, make_busy, make_people, running

expect.set_options(timeout=WITHIN_MS)


class Visit(Protocol):
    """Opens a browser as somebody (None: nobody yet)."""

    def __call__(self, who: str | None = None, **options: Any) -> AbstractContextManager[Visitor]: ...


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium."""
    with chromium() as found:
        yield found


@pytest.fixture(scope="session")
def center(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Center]:
    """The simulated center that every test visits."""
    with running(tmp_path_factory.mktemp("e2e") / "center", *SIMULATED) as found:
        make_people(found)
        make_busy(found)
        yield found


@pytest.fixture(scope="session")
def states(browser: Browser, center: Center) -> dict[str, Any]:
    """Cookies of everybody, signed in once: a password costs time on purpose."""
    found = {}
    for name in (*OPERATORS, *TENANTS):
        with visiting(browser, center) as visitor:
            visitor.sign_in(name)
            found[name] = visitor.page.context.storage_state()
    return found


@pytest.fixture
def visit(browser: Browser, center: Center, states: dict[str, Any]) -> Visit:
    """Somebody's browser."""

    def open_as(who: str | None = None, **options: Any) -> AbstractContextManager[Visitor]:
        return visiting(browser, center, state=states[who] if who else None, **options)

    return open_as
