"""Every read of the API, asked by one tenant, holds nothing of another; asked by its own tenant, it does.

A new route is asked as soon as it is in the registry. It fails here until its parameters have values in `requests.py` and
`tenants.py`, and until its own tenant sees something of its own or it stands in `SHOWS_NO_TENANT`.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pearlstreet.api.routing import RouteFacts
from pearlstreet.tenancy.scopes import ORG_ROLES, OrgRole
from tests.isolation.requests import READS, Request, requests_of, text_of
from tests.isolation.world import Isolation, leaked

ROLES = ("owner", "member", "viewer")
CENTRE = "about the centre, the same for everybody"
SHOWS_NO_TENANT: Mapping[str, str] = {
    "/api/v1/accelerators": CENTRE,
    "/api/v1/scheduling/policy": CENTRE,
    "/api/v1/energy": CENTRE,
    "/api/v1/engines": "names and capabilities, the same for all tenants",
    "/api/v1/engines/{engine}": "name and capabilities, the same for all tenants",
    "/api/v1/energy/facts": CENTRE,
    "/api/v1/energy/presets": CENTRE,
    "/api/v1/energy/series": CENTRE,
    "/api/v1/energy/series/{series}/hours": CENTRE,
    "/api/v1/quotes/scenarios": CENTRE,
    "/api/v1/quotes/scenarios/{scenario}": CENTRE,
    "/api/v1/prices": CENTRE,
    "/api/v1/prices/current": CENTRE,
    "/api/v1/notices/kinds": CENTRE,
    "/api/v1/notices/unread": "a number; test_interference.py sees whether others' rows change it",
}
"""Routes that show nothing of the tenant who asks, and why."""


def _name(route: RouteFacts) -> str:
    return f"{route.method} {route.path}"


def _is_open_to_tenants(route: RouteFacts) -> bool:
    scopes = ORG_ROLES[OrgRole.OWNER]
    return route.scope is None or (route.scope in scopes and not route.at_center)


def _send(isolation: Isolation, credential: str, request: Request):  # type: ignore[no-untyped-def]
    headers = {"authorization": f"Bearer {credential}"}
    return isolation.world.browser.send("GET", request.path, params=dict(request.query), headers=headers)


@pytest.fixture(scope="module")
def contents(isolation: Isolation) -> frozenset[str]:
    """Everything that only alder may see."""
    return isolation.contents(isolation.alder)


@pytest.mark.parametrize("route", READS, ids=_name)
def test_a_read_shows_its_own_tenant_and_nobody_else(
    isolation: Isolation, contents: frozenset[str], route: RouteFacts
) -> None:
    alder, birch = isolation.alder, isolation.birch
    shown = ""
    for request in requests_of(route, [alder], isolation.document):
        answer = _send(isolation, alder.keys["owner"], request)
        assert answer.status_code < 500, (request, answer.text)
        shown += _without(text_of(answer), request) if answer.status_code == 200 else ""
    if not _is_open_to_tenants(route):
        assert shown == "", "a route for operators answered a tenant"
    elif route.path in SHOWS_NO_TENANT:
        assert not leaked(shown, contents), "take it out of SHOWS_NO_TENANT"
    else:
        assert leaked(shown, contents), "shows nothing of its own tenant, so a leak would not be seen either"
    for role in ROLES:
        for request in requests_of(route, [birch, alder], isolation.document):
            answer = _send(isolation, birch.keys[role], request)
            assert answer.status_code < 500, (request, answer.text)
            found = leaked(text_of(answer), contents, request.words)
            assert not found, (role, request, found[:5])


def _without(said: str, request: Request) -> str:
    """The answer without what the request named itself."""
    for word in (*request.path.split("/"), *request.query.values()):
        if len(word) > 5:
            said = said.replace(word, "")
    return said
