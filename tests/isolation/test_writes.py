"""No request of one tenant changes a row of another, whatever ids it names and wherever it names them.

Every writing route and every form of the console is asked by birch about alder's things; afterwards each of alder's rows
is as it was. The same requests by alder change its rows, so that the comparison can fail.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from pearlstreet.api.routing import RouteFacts
from pearlstreet.app.web import create_web
from pearlstreet.console.page import ConsolePage
from pearlstreet.console.registry import PAGES
from tests.api.test_access import BODIES
from tests.api.world import JOB, Browser
from tests.isolation.requests import COMMON, WRITES, text_of
from tests.isolation.tenants import Tenant
from tests.isolation.test_api_reads import _is_open_to_tenants, _name
from tests.isolation.test_console_reads import _addresses, _visitor
from tests.isolation.world import Isolation, leaked

BIRCH_ROLES = ("owner", "member", "viewer")
NOT_ASKED: Mapping[str, str] = {
    "POST /api/v1/sign-out": "ends what birch asks with",
    "POST /api/v1/password": "about oneself only",
    "POST /api/v1/orgs/{org}/invitations": "invites people of other organisations, on purpose; they decide",
    "/account password": "about oneself only",
    "/account end": "ends what birch asks with",
    "/projects add": "makes a project of one's own under the name that was typed, which later pages show",
    "/members invite": "invites people of other organisations, on purpose; they decide",
}
"""Routes and forms with tests elsewhere, and why they are not asked here."""
FIELDS: Mapping[str, str] = {
    "org": "org", "project": "project", "project_id": "project", "user": "user", "name": "name", "job": "job", "key": "key",
    "hook": "webhook", "invitation": "invitation", "membership": "org", "webhook": "webhook", "quota": "quota", "quote": "quote", "upload": "upload", "session": "session",
    "top_up": "top_up", "what_if": "what_if", "window": "window", "notice": "notice_id", "id": "job", "subject": "project",
    "secret": "name", "budget_project": "project", "member": "user", "like": "job", "again": "quote", "artefact": "artefact",
}  # fmt: skip
"""Fields of forms and bodies, and which of a tenant's things they may name."""


@pytest.fixture(scope="module")
def contents(isolation: Isolation) -> frozenset[str]:
    """Everything that only alder may see."""
    return isolation.contents(isolation.alder)


@pytest.fixture(scope="module")
def app(isolation: Isolation) -> Iterator[Browser]:
    """The console of the isolation world."""
    browser = Browser(create_web(isolation.world.center, isolation.world.services))
    yield browser
    browser.close()


def _paths(route: RouteFacts, tenants: list[Tenant]) -> Iterator[str]:
    """The route with things of the tenants in any mixture."""
    names = re.findall(r"\{(\w+)\}", route.path)
    choices = [COMMON.get(name) or [value for one in tenants for value in one.ids[name]] for name in names]
    for values in itertools.product(*choices):
        path = route.path
        for name, value in zip(names, values, strict=True):
            path = path.replace(f"{{{name}}}", value)
        yield path


def _bodies(route: RouteFacts, tenant: Tenant) -> list[Any]:
    """Right bodies of a route that name a tenant's things, and for jobs one more for each way to name a thing."""
    body = BODIES.get((route.method, route.path.removeprefix("/api/v1")))
    bodies = [_about(body, tenant)]
    if route.path == "/api/v1/jobs":
        bodies += [{**JOB, **change} for change in _job_changes(tenant)]
    if route.path == "/api/v1/quotes":
        bodies += [{**bodies[0], "job": {**JOB, **change}} for change in _job_changes(tenant)]
    if route.path == "/api/v1/users":
        bodies += [{"name": tenant.ids["user"][1], "org": tenant.slug, "role": "owner"}]
    return bodies


def _job_changes(tenant: Tenant) -> Iterator[dict[str, Any]]:
    for job in tenant.ids["job"]:
        yield {"depends_on": [job]}
    yield {"inputs": {"DATA": {"upload": tenant.first("upload")}}}
    yield {"inputs": {"DATA": {"artefact": tenant.first("artefact")}}}
    yield {"inputs": {"DATA": {"job": tenant.first("job"), "path": "out"}}}
    yield {"secrets": [tenant.first("name")]}
    yield {"queue": f"{tenant.marker}-queue"}
    for project in tenant.ids["project"]:
        yield {"project": project}


def _about(body: Any, tenant: Tenant) -> Any:
    """The body with acme's name replaced by the tenant's, and projects named."""
    if isinstance(body, dict):
        return {key: _about(value, tenant) for key, value in body.items()}
    if isinstance(body, list):
        return [_about(value, tenant) for value in body]
    return tenant.slug if body == "acme" else body


def _asked(route: RouteFacts, isolation: Isolation) -> Iterator[tuple[str, dict[str, str], Any]]:
    """Path, query and body of every request that names something of alder."""
    alder, birch = isolation.alder, isolation.birch
    queries: list[dict[str, str]] = [
        {},
        {"org": alder.slug},
        {"org": birch.slug, "project": alder.first("project")},
    ]
    for path, query in itertools.product(_paths(route, [birch, alder]), queries):
        for body in _bodies(route, alder):
            words = f"{path} {query} {body}"
            if any(
                value in words
                for values in alder.ids.values()
                for value in values
                if value not in _COMMON_WORDS
            ):
                yield path, query, body


_COMMON_WORDS = frozenset(value for values in COMMON.values() for value in values)


@pytest.mark.parametrize(
    "route", [one for one in WRITES if _is_open_to_tenants(one) and _name(one) not in NOT_ASKED], ids=_name
)
def test_a_write_never_touches_another_tenant(
    isolation: Isolation, contents: frozenset[str], route: RouteFacts
) -> None:
    before = isolation.dump(isolation.alder)
    for role in BIRCH_ROLES:
        for path, query, body in _asked(route, isolation):
            headers = {"authorization": f"Bearer {isolation.birch.keys[role]}"}
            answer = isolation.world.browser.send(
                route.method, path, params=query, headers=headers, **({} if body is None else {"json": body})
            )
            assert answer.status_code < 500, answer.text
            found = leaked(text_of(answer), contents, f"{path} {query} {body}")
            assert not found, (role, path, query, body, found[:5])
    assert isolation.dump(isolation.alder) == before


@pytest.mark.parametrize("route", [one for one in WRITES if not _is_open_to_tenants(one)], ids=_name)
def test_a_write_of_operators_is_refused_to_tenants(isolation: Isolation, route: RouteFacts) -> None:
    for path in _paths(route, [isolation.alder]):
        for body in _bodies(route, isolation.alder):
            headers = {"authorization": f"Bearer {isolation.birch.keys['owner']}"}
            sent = {} if body is None else {"json": body}
            answer = isolation.world.browser.send(route.method, path, headers=headers, **sent)
            assert answer.status_code == 403, answer.text


FORMS = [
    (page, do)
    for page in PAGES
    for do in page.actions
    if not page.public and f"{page.path} {do}" not in NOT_ASKED
]


@pytest.mark.parametrize(("page", "do"), FORMS, ids=[f"{page.path} {do}" for page, do in FORMS])
def test_a_form_never_touches_another_tenant(
    isolation: Isolation, app: Browser, contents: frozenset[str], page: ConsolePage, do: str
) -> None:
    alder, birch = isolation.alder, isolation.birch
    before = isolation.dump(alder)
    visitor = _visitor(app, birch, "owner")
    token = visitor.token()
    for path in _addresses(page, [birch, alder]):
        for org in ("", f"?org={alder.slug}"):
            for number in range(5):
                form = {
                    field: alder.ids[name][number % len(alder.ids[name])]
                    for field, name in FIELDS.items()
                    if name in alder.ids
                }
                answer = visitor.post(path + org, do, form, token=token)
                assert answer.status_code < 500, (path, answer.text[:500])
                found = leaked(text_of(answer), contents, f"{path} {org} {form}")
                assert not found, (path, org, found[:5])
    assert isolation.dump(alder) == before


def test_a_write_of_ones_own_is_seen_by_the_comparison(isolation: Isolation) -> None:
    alder = isolation.alder
    before = isolation.dump(alder)
    answer = isolation.world.send(
        "PUT", f"/orgs/{alder.slug}/budgets", alder.keys["owner"], json={"monthly": "7"}
    )
    assert answer.status_code == 200
    after = isolation.dump(alder)
    assert {name for name in after if after[name] != before[name]} >= {"ledger_budgets", "audit"}
