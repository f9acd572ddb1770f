"""Every page of the console, its parts and its files, shown to one tenant, hold nothing of another.

Three ways lead to a page: its address in the registry with things of either tenant, every link that either tenant's own
pages show (filters, paging, downloads), and the parts that open pages ask for.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from html import unescape

import pytest

from pearlstreet.app.web import create_web
from pearlstreet.console.page import ConsolePage
from pearlstreet.console.registry import PAGES
from pearlstreet.tenancy.scopes import ORG_ROLES, OrgRole
from tests.api.world import Browser
from tests.console.visitors import Visitor
from tests.isolation.requests import COMMON, text_of
from tests.isolation.tenants import Tenant
from tests.isolation.world import Isolation, leaked

ROLES = ("owner", "member", "viewer")
PLACES: Mapping[str, str] = {"hook": "webhook", "number": "price_number"}
"""Path parameters of pages that the API names differently."""
CENTRE = "about the centre, the same for everybody"
SHOWS_NO_TENANT: Mapping[str, str] = {
    "/accelerators": CENTRE,
    "/energy": CENTRE,
    "/engines": "names and capabilities, the same for all tenants",
    "/engines/{engine}": "name and capabilities, the same for all tenants",
    "/nodes": "use by node in total; whose jobs run there stands on the page of a node",
    "/prices": CENTRE,
    "/prices/{number}": CENTRE,
    "/policy": CENTRE,
    "/quotes/scenarios/{scenario}": CENTRE,
}
"""Pages that show nothing of the tenant beyond the frame of every page, and why."""
ALIKE_MAX = 2
"""Links of one shape that are followed: the same page with the same filters."""


@pytest.fixture(scope="module")
def app(isolation: Isolation) -> Iterator[Browser]:
    """The console of the isolation world, with lists of two rows a page so that paging is reached."""
    with pytest.MonkeyPatch.context() as patch:
        for name, module in list(sys.modules.items()):
            if name.startswith("pearlstreet.console.pages") and hasattr(module, "PER_PAGE"):
                patch.setattr(module, "PER_PAGE", 2)
        browser = Browser(create_web(isolation.world.center, isolation.world.services))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def contents(isolation: Isolation) -> frozenset[str]:
    """Everything that only alder may see."""
    return isolation.contents(isolation.alder)


def _visitor(app: Browser, tenant: Tenant, role: str) -> Visitor:
    return Visitor(app, {"pearl_language": "en", "pearl_session": tenant.sessions[role]})


def _addresses(page: ConsolePage, tenants: list[Tenant]) -> Iterator[str]:
    """The page's address with things of the tenants. Raises KeyError for an unknown parameter."""
    names = re.findall(r"\{(\w+)\}", page.path)
    common = {**COMMON, "price_number": ["1"]}
    choices = []
    for name in names:
        known = PLACES.get(name, name)
        choices.append(common.get(known) or [value for one in tenants for value in one.ids[known]])
    for values in itertools.product(*choices):
        path = page.path
        for name, value in zip(names, values, strict=True):
            path = path.replace(f"{{{name}}}", value)
        yield path


def _parts(said: str) -> list[str]:
    return re.findall(r'<\w+ id="([\w-]+)" data-live', said)


def _links(said: str, path: str) -> list[str]:
    found = (unescape(link) for link in re.findall(r'(?:href|data-src|data-url)="([/?][^"#]*)', said))
    whole = (path.partition("?")[0] + link if link.startswith("?") else link for link in found)
    return [link for link in whole if not link.startswith(("//", "/static", "/sign-out"))]


def _is_open_to_tenants(page: ConsolePage) -> bool:
    return page.scope is None or (page.scope in ORG_ROLES[OrgRole.OWNER] and not page.at_center)


def _main(said: str) -> str:
    """A page without its frame, which names its visitor on every page."""
    start = said.find("<main")
    return said[start:] if start >= 0 else said


@pytest.mark.parametrize("page", [page for page in PAGES if not page.public], ids=lambda page: page.path)
def test_a_page_shows_its_own_tenant_and_nobody_else(
    isolation: Isolation, app: Browser, contents: frozenset[str], page: ConsolePage
) -> None:
    alder, birch = isolation.alder, isolation.birch
    owner, shown = _visitor(app, alder, "owner"), ""
    for path in _addresses(page, [alder]):
        answer = owner.get(path)
        assert answer.status_code < 500, path
        if answer.status_code == 200:
            shown += _main(text_of(answer))
    if not _is_open_to_tenants(page):
        assert shown == "", "a page for operators was shown to a tenant"
    elif page.path in SHOWS_NO_TENANT:
        assert not leaked(shown, contents), "take it out of SHOWS_NO_TENANT"
    else:
        assert leaked(shown, contents), "shows nothing of its own tenant, so a leak would not be seen either"
    for role in ROLES:
        visitor = _visitor(app, birch, role)
        for path in _addresses(page, [birch, alder]):
            answer = visitor.get(path)
            _check(contents, role, path, answer)
            for part in _parts(answer.text):
                _check(contents, role, path, visitor.get(path, x_part=part))


def _check(contents: frozenset[str], role: str, path: str, answer) -> None:  # type: ignore[no-untyped-def]
    assert answer.status_code < 500, path
    found = leaked(text_of(answer), contents, path)
    assert not found, (role, path, found[:5])


def _shape(link: str) -> str:
    """A link without its ids and values."""
    path, _, query = link.partition("?")
    names = sorted(part.partition("=")[0] for part in query.split("&"))
    return re.sub(r"/[^/]*\d[^/]*", "/*", path) + "?" + "&".join(names)


def _crawl(visitor: Visitor) -> dict[str, str]:
    """Addresses that a visitor's own pages lead to, at most some of each shape, and what they say."""
    found: dict[str, str] = {}
    followed: Counter[str] = Counter()
    waiting = ["/", *(page.path for page in PAGES if "{" not in page.path and not page.public)]
    while waiting:
        path = waiting.pop(0)
        if path in found or followed[_shape(path)] >= ALIKE_MAX:
            continue
        followed[_shape(path)] += 1
        answer = visitor.get(path)
        assert answer.status_code < 500, path
        found[path] = text_of(answer)
        if answer.status_code == 200 and "html" in answer.headers.get("content-type", ""):
            waiting += _links(answer.text, path)
    return found


def test_no_link_of_either_tenant_leads_to_the_other(
    isolation: Isolation, app: Browser, contents: frozenset[str]
) -> None:
    alders = _crawl(_visitor(app, isolation.alder, "owner"))
    assert len(alders) > 60 and any("before=" in path for path in alders), "paging is reached"
    assert sum(bool(leaked(said, contents)) for said in alders.values()) > 40
    for path, said in _crawl(_visitor(app, isolation.birch, "owner")).items():
        assert not leaked(said, contents), path
    for role in ROLES:
        visitor = _visitor(app, isolation.birch, role)
        for path in alders:
            _check(contents, role, path, visitor.get(path))
