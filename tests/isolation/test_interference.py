"""What one tenant reads is the same, byte by byte, whether or not another tenant's rows are there.

This sees what a search for contents cannot: sums, counts, positions and orders into which foreign rows entered. Two copies
of the isolation world, one without alder's rows, are asked the same at the same instant of a clock that stands still.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pearlstreet.api.routing import RouteFacts
from pearlstreet.app import wiring
from pearlstreet.app.settings import Settings
from pearlstreet.app.web import create_web
from pearlstreet.base.rng import SeededRng
from pearlstreet.console.page import ConsolePage
from pearlstreet.console.registry import PAGES
from pearlstreet.store.core import Store
from pearlstreet.store.tables import metadata
from tests.api.world import Browser
from tests.cheap_passwords import cheap_passwords
from tests.console.visitors import Visitor
from tests.isolation.ownership import OWNED
from tests.isolation.requests import READS, requests_of, text_in
from tests.isolation.test_api_reads import _is_open_to_tenants, _name
from tests.isolation.test_console_reads import _addresses
from tests.isolation.world import Isolation

FREE = "what is free of the centre's machines depends on what others run"
LEARNT = "factors of devices are learnt from everybody's runs, as docs/guides/quotes.md says"
DEPENDS: Mapping[str, str] = {
    "/api/v1/nodes": FREE,
    "/nodes": FREE,
    "/nodes/{node}": FREE,
    "/submit": FREE,
    "/api/v1/calibration": LEARNT,
    "/calibration": LEARNT,
    "/api/v1/quotes/scenarios/{scenario}": LEARNT,
    "/quotes/scenarios/{scenario}": LEARNT,
}
"""Reads that depend on what other tenants do, and why they may."""
NOT_THERE = frozenset(
    {
        "/api/v1/energy/series/{series}/hours",
        "/api/v1/jobs/{job}/shells/{shell}",
        "/api/v1/jobs/{job}/shells/{shell}/output",
    }
)
"""Reads of things that this world has not."""
CHANGING = re.compile(r'req_[0-9a-z]{26}|name="(?:once|token)" value="[^"]*"')
"""Numbers of requests and tokens of forms."""


@dataclass(frozen=True)
class StandingClock:
    """A clock whose every answer is the same instant."""

    instant_us: int

    def now_us(self) -> int:
        """The instant."""
        return self.instant_us

    def monotonic_s(self) -> float:
        """A second that never ends."""
        return 1.0

    def sleep(self, seconds: float) -> None:
        """Return at once."""

    def not_before(self, us: int) -> None:
        """The instant lies behind every row already."""


@dataclass
class Copy:
    """A copy of the isolation world behind its interfaces."""

    app: Browser
    store: Store

    def read(self, path: str, query: Mapping[str, str], credential: str) -> tuple[int, str]:
        """Status and text of an answer of the API."""
        headers = {"authorization": f"Bearer {credential}"}
        answer = self.app.send("GET", path, params=dict(query), headers=headers)
        return answer.status_code, CHANGING.sub("*", text_in(answer.content))

    def show(self, path: str, credential: str) -> tuple[int, str]:
        """Status and text of a page."""
        visitor = Visitor(self.app, {"pearl_language": "en", "pearl_session": credential})
        answer = visitor.get(path)
        return answer.status_code, CHANGING.sub("*", text_in(answer.content))


@contextmanager
def _copy(source: Path, folder: Path, instant_us: int, without: str | None) -> Iterator[Copy]:
    """A copy of the data folder at work; `without`: the id of an organisation whose rows are taken out."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("pearl.db*", "lock"))
    with (
        closing(sqlite3.connect(source / "pearl.db")) as old,
        closing(sqlite3.connect(folder / "pearl.db")) as new,
    ):
        old.backup(new)
        if without is not None:
            _remove(new, without)
    with pytest.MonkeyPatch.context() as patch, cheap_passwords():
        patch.setattr(wiring, "SystemClock", lambda: StandingClock(instant_us))
        patch.setattr(wiring, "SystemRng", lambda: SeededRng(1))
        settings = Settings(data=folder, simulate="2x8xH100-80G", rate_key_per_s=1e5, rate_address_per_s=1e5)
        assembled = wiring.assemble(settings)
        browser = Browser(create_web(assembled.center, assembled.services))
        yield Copy(browser, assembled.center.store)
        browser.close()
        for engine in assembled.runtime.engines.values():
            engine.close()
        assembled.center.store.close()
        assembled.lock.close()


def _remove(database: sqlite3.Connection, org_id: str) -> None:
    """Delete every row of an organisation; all are found before the first is gone, since some are found by others."""
    database.execute("PRAGMA foreign_keys = OFF")
    for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        database.execute(f"DROP TRIGGER {trigger}")
    found = {}
    for name, condition in OWNED.items():
        compiled = condition(org_id).compile(compile_kwargs={"literal_binds": True})
        found[name] = database.execute(
            f"SELECT rowid FROM {metadata.tables[name].name} WHERE {compiled}"
        ).fetchall()
    for name, rows in found.items():
        database.executemany(f"DELETE FROM {name} WHERE rowid = ?", rows)
    database.commit()


@pytest.fixture(scope="module")
def copies(isolation: Isolation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Copy, Copy]]:
    """The world with both tenants, and with birch alone."""
    folder, data = tmp_path_factory.mktemp("copies"), isolation.world.data
    now_us = isolation.world.center.store.clock.now_us()
    with (
        _copy(data, folder / "both", now_us, None) as both,
        _copy(data, folder / "alone", now_us, isolation.alder.org_id) as alone,
    ):
        yield both, alone


def test_the_copies_differ_for_the_tenant_that_was_removed(
    isolation: Isolation, copies: tuple[Copy, Copy]
) -> None:
    both, alone = copies
    key = isolation.alder.keys["owner"]
    assert both.read("/api/v1/jobs", {}, key)[0] == 200
    assert alone.read("/api/v1/jobs", {}, key)[0] == 401


@pytest.mark.parametrize("route", [route for route in READS if _is_open_to_tenants(route)], ids=_name)
def test_a_read_does_not_depend_on_foreign_rows(
    isolation: Isolation, copies: tuple[Copy, Copy], route: RouteFacts
) -> None:
    both, alone = copies
    key, same, answered = isolation.birch.keys["owner"], True, False
    for request in requests_of(route, [isolation.birch], isolation.document):
        first, second = (copy.read(request.path, request.query, key) for copy in (both, alone))
        answered = answered or first[0] == 200
        same = same and first == second
        assert same or route.path in DEPENDS, request
    assert answered or route.path in NOT_THERE
    assert not same or route.path not in DEPENDS, "take it out of DEPENDS"


@pytest.mark.parametrize("page", [page for page in PAGES if not page.public], ids=lambda page: page.path)
def test_a_page_does_not_depend_on_foreign_rows(
    isolation: Isolation, copies: tuple[Copy, Copy], page: ConsolePage
) -> None:
    both, alone = copies
    session, same = isolation.birch.sessions["owner"], True
    for path in _addresses(page, [isolation.birch]):
        same = same and both.show(path, session) == alone.show(path, session)
        assert same or page.path in DEPENDS, path
    assert not same or page.path not in DEPENDS, "take it out of DEPENDS"
