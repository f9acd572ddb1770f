"""Who may call what: every route × every role × the other tenant, from the routes themselves.

A new route is in the matrix the moment it exists; what it needs beside (ids, a body) is looked up here, and one that is
missing fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from prometheus_client.parser import text_string_to_metric_families

from pearlstreet.api.app import all_routes, create_api
from pearlstreet.api.routing import RouteFacts, SecuredRouter, Tied
from pearlstreet.tenancy.scopes import (
    EVERYONE,
    OPERATOR_ROLES,
    ORG_ROLES,
    PROJECT_SCOPES,
    OperatorRole,
    OrgRole,
)
from tests.api.world import JOB, World, a_world, commit_card
from tests.fakes.shells import leave_shell
from tests.months import present_month

ROUTES = [route for route in all_routes() if not route.public]
PUBLIC = {
    ("GET", "/api/v1/center"),
    ("GET", "/api/v1/jobs/schema"),
    ("GET", "/api/v1/oidc/{provider}/callback"),
    ("GET", "/api/v1/oidc/{provider}/start"),
    ("GET", "/health"),
    ("POST", "/api/v1/set-password"),
    ("POST", "/api/v1/sign-in"),
    ("POST", "/api/v1/sign-in/terminal"),
}
"""The few routes that need no credential."""
ROLES = {
    "owner": ORG_ROLES[OrgRole.OWNER],
    "member": ORG_ROLES[OrgRole.MEMBER],
    "viewer": ORG_ROLES[OrgRole.VIEWER],
    "system": OPERATOR_ROLES[OperatorRole.SYSTEM],
    "security": OPERATOR_ROLES[OperatorRole.SECURITY],
    "audit": OPERATOR_ROLES[OperatorRole.AUDIT],
}
TIES = {
    "tied to acme": {"org": "acme"},
    "tied to default": {"org": "acme", "project": "default"},
    "tied to rival": {"org": "acme", "project": "rival"},
}
"""Keys of the owner of acme, by what they are tied to. Everything in the matrix is of acme's project default."""
REPO = "/hub/{repo_type}/{repo_org}/{repo_name}"
OPERATORS = ("system", "security", "audit")
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/jobs/{job}/shells"): {"command": ["true"]},
    ("POST", "/hub"): {"name": "acme/stolen"},
    ("PATCH", f"{REPO}"): {"gate": "auto"},
    ("POST", f"{REPO}/refs"): {"kind": "tag", "name": "stolen"},
    ("PUT", f"{REPO}/roles"): {"user": "stranger", "role": None},
    ("POST", f"{REPO}/access-requests"): {"note": "stolen"},
    ("POST", f"{REPO}/approvals"): {"org": "acme", "reason": "stolen"},
    ("PUT", f"{REPO}/approvals"): {"project": "acme/default", "state": "approved"},
    ("PUT", f"{REPO}/access-requests"): {"user": "stranger", "state": "accepted"},
    ("PUT", "/jobs/{job}/shells/{shell}/size"): {"columns": 80, "rows": 24},
    ("POST", "/password"): {"current": "x", "new": "y"},
    ("POST", "/users"): {"name": "mallory", "org": "acme"},
    ("PUT", "/users/{user}/operator-role"): {"operator_role": None},
    ("POST", "/users/{user}/identities"): {"issuer": "https://id.example", "subject": "1"},
    ("DELETE", "/users/{user}/identities"): {"issuer": "https://id.example", "subject": "1"},
    ("POST", "/keys"): {"org": "acme"},
    ("POST", "/orgs"): {"slug": "gamma"},
    ("PATCH", "/orgs/{org}"): {"name": "stolen"},
    ("PUT", "/orgs/{org}/members/{user}"): {"role": "viewer"},
    ("POST", "/orgs/{org}/invitations"): {"user": "stranger"},
    ("POST", "/invitations/claim"): {"code": "stolen"},
    ("PUT", "/me/default-org"): {"org": "acme"},
    ("POST", "/orgs/{org}/projects"): {"slug": "stolen"},
    ("PUT", "/orgs/{org}/secrets/{name}"): {"value": "stolen"},
    ("PUT", "/orgs/{org}/credit-limit"): {"credit_limit": "1"},
    ("POST", "/orgs/{org}/credit"): {"amount": "1"},
    ("POST", "/orgs/{org}/corrections"): {"amount": "1", "memo": "m", "reference": "r"},
    ("PUT", "/orgs/{org}/budgets"): {"monthly": "1"},
    ("PUT", "/orgs/{org}/billing"): {"name": "stolen"},
    ("PUT", "/billing"): {},
    ("POST", "/nodes/{node}/drain"): {},
    ("POST", "/burn-ins"): {"all": True},
    ("PUT", "/nodes/{node}/health"): {"automatic": False},
    ("POST", "/nodes/{node}/benchmarks"): {"result": {}},
    ("PUT", "/quotas"): {"org": "acme", "resource": "cards", "maximum": 1},
    ("PUT", "/storage/retention"): {"org": "acme", "days": 30},
    ("PUT", "/artefacts/{artefact}"): {"pinned": True},
    ("PUT", "/shares"): {"org": "acme", "weight": 2},
    ("PATCH", "/scheduling/policy"): {"settings": {"depth": 500}},
    ("POST", "/scheduling/policy/rollback"): {"number": 0},
    ("PUT", "/scheduling/queues/{queue}"): {"rank": 5},
    ("POST", "/what-ifs"): {"policies": ["fifo"]},
    ("POST", "/quotes"): {
        "workload": {"kind": "custom", "hours": 0.01, "accelerator": "H100-80G"},
        "job": {"command": ["true"]},
    },
    ("POST", "/quotes/{quote}/accept"): {"offer": "1"},
    ("POST", "/scheduling/windows"): {
        "kind": "maintenance",
        "nodes": ["h100-0001"],
        "until": "2100-01-01T00:00:00Z",
        "reason": "fans",
    },
    ("POST", "/energy/facts"): {"pue": {"value": 1.25, "source": "meter", "as_of": "2026-01-01"}},
    ("POST", "/energy/series"): {
        "name": "grid",
        "kind": "carbon",
        "csv": "time,g_per_kwh\n2026-01-01T00:00Z,500\n",
        "source": "dispatch center",
        "as_of": "2026-01-02",
    },
    ("POST", "/jobs"): JOB,
    ("POST", "/prices"): {"rules": []},
    ("PUT", "/orgs/{org}/balance-alert"): {"below": "1"},
    ("POST", "/notices/read"): {"ids": None},
    ("PATCH", "/notices/preferences"): {"kinds": {}},
    ("PATCH", "/orgs/{org}/notices/preferences"): {"kinds": {}},
    ("PATCH", "/center/notices/preferences"): {"kinds": {}},
    ("POST", "/notices/preferences/confirm"): {"code": "1"},
    ("POST", "/orgs/{org}/notices/preferences/confirm"): {"code": "1"},
    ("POST", "/center/notices/preferences/confirm"): {"code": "1"},
    ("POST", "/orgs/{org}/webhooks"): {"url": "https://127.0.0.1:9/stolen"},
    ("POST", "/center/webhooks"): {"url": "https://127.0.0.1:9/center"},
}
"""Bodies that are right, so that what answers is the access and not the body."""
SHARED = frozenset(
    {"project", "name", "month", "node", "provider", "queue", "decision", "scenario", "series", "engine"}
)
"""Path parameters that name nothing of one tenant by themselves; a new one counts as a tenant's until it is here."""


def _owned(route: RouteFacts) -> bool:
    return bool(set(re.findall(r"\{(\w+)\}", route.path)) - SHARED)


@dataclass(frozen=True)
class Acme:
    """Things of acme, by path parameter."""

    world: World
    ids: dict[str, str]
    centers: dict[str, str]
    """Things of the operators that an address under /center names."""

    def call(self, route: RouteFacts, role: str | None) -> Any:
        """The route, about acme's things, as somebody."""
        path = route.path.removeprefix("/api/v1")
        ids = self.ids | (self.centers if path.startswith("/center/") else {})
        filled = re.sub(r"\{(\w+)\}", lambda found: ids[found.group(1)], path)
        options: dict[str, Any] = {}
        if (route.method, path) in BODIES:
            options["json"] = BODIES[route.method, path]
        if (route.method, path) == ("POST", "/uploads"):
            options["content"] = b"stolen"
        query = {"org": "acme", "name": "h100", "draft": "true", "ref_kind": "tag", "ref_name": "stolen"}
        send = self.world.browser.send
        credential = self.world.keys.get(role or "")
        headers = {"authorization": f"Bearer {credential}"} if credential else {}
        full = filled if route.path == path else "/api/v1" + filled
        return send(route.method, full, params=query, headers=headers, **options)


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Acme]:
    """A center in which acme has one of everything."""
    with a_world(tmp_path_factory.mktemp("center"), webhooks_private_allowed=True) as world:
        job = world.submit()
        world.until(job, "running", "succeeded")
        world.runtime.decisions.flush()
        (decided, *_) = world.get("/scheduling/decisions", "system").json()["items"]
        question = world.post("/what-ifs", json=BODIES["POST", "/what-ifs"]).json()
        quote = world.post("/quotes", json=BODIES["POST", "/quotes"]).json()
        assert world.post(f"/quotes/{quote['id']}/accept", json={"offer": "1"}).status_code == 201
        series = world.post("/energy/series", "system", json=BODIES["POST", "/energy/series"]).json()
        assert world.post("/hub", json={"name": "acme/weights"}).status_code == 201
        commit_card(world, "acme/weights")
        key = world.post("/keys", json={"label": "acme's"}).json()
        assert world.post("/orgs/acme/projects", json={"slug": "rival"}).status_code == 201
        for name, tie in TIES.items():
            world.keys[name] = world.post("/keys", json={"label": name, **tie}).json()["key"]
        upload = world.post("/uploads?name=a.txt", "tied to default", content=b"hello").json()
        quota = world.send("PUT", "/quotas", "system", json=BODIES["PUT", "/quotas"]).json()
        top_up = world.post("/orgs/acme/credit", "system", json={"amount": "20000"}).json()
        assert world.send("PUT", "/orgs/acme/secrets/TOKEN", json={"value": "x"}).status_code == 200
        user = world.get("/me").json()["user"]["id"]
        token = world.post(f"/users/{user}/password-link", "security").json()["token"]
        password = {"name": "owner", "password": "correct horse battery"}
        world.post("/set-password", None, json={"token": token, "password": password["password"]})
        world.post("/users", "security", json={"name": "guest"})
        invitation = world.post("/orgs/acme/invitations", json={"user": "guest"}).json()["id"]
        hooks = {
            at: world.post(f"{at}/webhooks", role, json={"url": "https://127.0.0.1:9/x"}).json()["id"]
            for at, role in (("/orgs/acme", "owner"), ("/center", "system"))
        }
        tests = {
            at: world.post(f"{at}/webhooks/{hook}/test", role).json()["id"]
            for (at, hook), role in zip(hooks.items(), ("owner", "system"), strict=True)
        }
        session = world.post("/sign-in", None, json=password).json()["session_id"]
        yield Acme(
            world,
            {
                "org": "acme",
                "project": "default",
                "name": "TOKEN",
                "user": user,
                "job": job,
                "key": key["id"],
                "session": session,
                "invitation": invitation,
                "upload": upload["id"],
                "artefact": "art_00000000000000000000000000",
                "build": "prep_00000000000000000000000000",
                "shell": leave_shell(world.runtime, world.center.store.clock, job, user, "hello", "of-acme"),
                "quota": quota["id"],
                "top_up": top_up["id"],
                "month": present_month(),
                "node": "h100-0001",
                "queue": "default",
                "engine": "simulated",
                "repo_type": "model",
                "repo_org": "acme",
                "repo_name": "weights",
                "what_if": question["id"],
                "quote": quote["id"],
                "scenario": "1t-50-days",
                "decision": decided["id"],
                "series": series["series"]["id"],
                "window": "win_00000000000000000000000000",
                "webhook": hooks["/orgs/acme"],
                "delivery": tests["/orgs/acme"],
            },
            {"webhook": hooks["/center"], "delivery": tests["/center"]},
        )


def _name(route: RouteFacts) -> str:
    return f"{route.method} {route.path}"


def _needs(route: RouteFacts) -> str:
    return route.path.removeprefix("/api/v1")


def test_there_are_routes_to_look_at() -> None:
    assert len(ROUTES) > 80
    assert {"GET", "POST", "PUT", "PATCH", "DELETE"} == {route.method for route in ROUTES}


def test_public_routes_are_the_few_that_must_be() -> None:
    public = {_name(route) for route in all_routes() if route.public}
    assert public == {f"{method} {path}" for method, path in PUBLIC}


def test_a_route_cannot_be_made_without_saying_who_may_call_it() -> None:
    router = SecuredRouter("", "test")
    for wrong in (
        {},
        {"scope": "jobs:read", "public": True},
        {"scope": "jobs:dance"},
        {"signed_in": True, "public": True},
    ):
        with pytest.raises(RuntimeError, match="who may call it"):
            router.get("/x", **wrong)


def _mounted(app: FastAPI) -> set[tuple[str, str]]:
    """Every method and path that the app really answers, registered by a SecuredRouter or not."""
    found: set[tuple[str, str]] = set()
    for item in app.routes:
        inner = getattr(item, "original_router", None)
        if inner is None:
            found |= {(method, item.path) for method in item.methods - {"HEAD"}}
            continue
        prefix = item.include_context.prefix
        found |= {
            (method, prefix + route.path) for route in inner.routes for method in route.methods - {"HEAD"}
        }
    return found


def test_the_matrix_holds_every_route_that_is_mounted(acme: Acme) -> None:
    app = create_api(acme.world.center, acme.world.services)
    known = {(route.method, route.path) for route in all_routes()} | {("GET", "/api/v1/openapi.json")}
    assert _mounted(app) == known
    assert {(route.method, route.path) for route in ROUTES} | PUBLIC == known - {
        ("GET", "/api/v1/openapi.json")
    }
    app.get("/api/v1/planted")(lambda: None)
    assert _mounted(app) - known == {("GET", "/api/v1/planted")}, (
        "a route that no SecuredRouter registered is seen"
    )
    planted = APIRouter()
    planted.delete("/jobs/{job}/planted")(lambda: None)
    app.include_router(planted, prefix="/api/v1")
    assert ("DELETE", "/api/v1/jobs/{job}/planted") in _mounted(app) - known


def test_a_new_route_is_in_the_matrix_before_anybody_thinks_of_it() -> None:
    router = SecuredRouter("/planets", "planted")
    router.delete("/{planet}/moons/{moon}", scope="jobs:cancel")(lambda: None)
    (planted,) = router.registry
    assert _owned(planted), "what a new parameter names counts as a tenant's"
    acme = Acme(None, {"org": "acme"}, {})  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="planet"):
        acme.call(planted, "owner")  # nothing of the kind is known yet: its tests fail until somebody adds it


@pytest.mark.parametrize("route", [route for route in ROUTES if route.method != "GET"], ids=_name)
def test_a_role_with_the_scope_is_admitted(acme: Acme, route: RouteFacts) -> None:
    """About things that are not there, so that nothing is done: the answer is any but that the scope is lacking."""
    nothing = dict.fromkeys({*acme.ids, *acme.centers}, "nothing")
    absent = Acme(acme.world, nothing, nothing)
    for role, scopes in ROLES.items():
        if route.scope is None or route.scope not in scopes or (route.at_center and role not in OPERATORS):
            continue
        if not re.search(r"\{\w+\}", route.path):
            continue  # about nothing in particular: would be done
        answer = absent.call(route, role)
        assert answer.status_code not in (401, 500), (role, answer.text)
        assert "lacks the scope" not in answer.text, (role, answer.text)


@pytest.mark.parametrize("route", ROUTES, ids=_name)
def test_without_a_credential_nothing_answers(acme: Acme, route: RouteFacts) -> None:
    answer = acme.call(route, None)
    assert answer.status_code == 401, answer.text
    assert answer.json()["code"] == "unauthenticated"


@pytest.mark.parametrize("route", [route for route in ROUTES if route.scope], ids=_name)
def test_a_role_without_the_scope_is_refused(acme: Acme, route: RouteFacts) -> None:
    assert route.scope is not None
    lacking = [
        role
        for role, scopes in ROLES.items()
        if route.scope not in scopes or (route.at_center and role not in OPERATORS)
    ]
    if not lacking:
        assert route.scope in EVERYONE or all(route.scope in scopes for scopes in ROLES.values())
    for role in lacking:
        answer = acme.call(route, role)
        assert answer.status_code == 403, (role, answer.text)
        assert route.scope in answer.text


@pytest.mark.parametrize("route", [route for route in ROUTES if route.method == "GET"], ids=_name)
def test_a_role_with_the_scope_reads(acme: Acme, route: RouteFacts) -> None:
    absent = "{artefact}" in route.path or "{build}" in route.path or route.path.endswith("/closing")
    for role, scopes in ROLES.items():
        if route.scope is not None and (
            route.scope not in scopes or (route.at_center and role not in OPERATORS)
        ):
            continue
        answer = acme.call(route, role)
        if "{shell}" in route.path and role == "member":
            assert answer.status_code == 404, "a shell is its opener's alone"
            continue
        if "{repo_name}" in route.path and (role in OPERATORS or role == "member"):
            kept = 403 if route.path.endswith(("/access", "/downloads")) else 200
            assert answer.status_code == (404 if role in OPERATORS else kept), "private, of the owner"
            continue
        if route.scope is None and any(f"{{{name}}}" in route.path for name in ("user", "key")):
            assert answer.status_code in (200, 403, 404), (role, answer.text)
        else:
            assert answer.status_code == (404 if absent else 200), (role, answer.text)


@pytest.mark.parametrize(
    "route",
    [route for route in ROUTES if _owned(route)],
    ids=_name,
)
def test_another_tenants_things_do_not_exist(acme: Acme, route: RouteFacts) -> None:
    answer = acme.call(route, "stranger")
    held = route.scope is None or (route.scope in ROLES["owner"] and not route.at_center)
    assert answer.status_code == (404 if held else 403), answer.text
    assert "stolen" not in answer.text


OF_THE_PROJECT = frozenset(re.findall(r"\{(\w+)\}", "{job}{upload}{quote}{key}{artefact}{repo_name}"))
"""Path parameters that name something of one project."""


@pytest.mark.parametrize("route", ROUTES, ids=_name)
def test_a_key_tied_to_another_project_gets_nowhere(acme: Acme, route: RouteFacts) -> None:
    """Every route, asked about the project default by a key of the project rival, with the owner's rights."""
    answer = acme.call(route, "tied to rival")
    named = set(re.findall(r"\{(\w+)\}", route.path))
    if route.tie is not Tied.PROJECT:
        assert answer.status_code == 403, answer.text
        assert "tied to the project acme/rival" in answer.text
    elif named & OF_THE_PROJECT or named >= {"org", "project"}:
        assert answer.status_code == 404, answer.text
    else:
        expected = {
            # A secret's name that the organisation has taken is taken, and says so.
            ("PUT", "/orgs/{org}/secrets/{name}"): (409,),
            # The body asks for a key of the whole organisation.
            ("POST", "/keys"): (403,),
        }.get((route.method, _needs(route)), (200, 201, 202, 404))
        assert answer.status_code in expected, answer.text
    for thing in ("job", "upload", "key", "quota", "user", "webhook", "session", "top_up"):
        if f"{{{thing}}}" not in route.path and not route.path.endswith("/me"):
            assert f'"id":"{acme.ids[thing]}"' not in answer.text, thing
    if answer.status_code == 200 and route.method == "GET":
        assert acme.ids["job"] not in answer.text and acme.ids["upload"] not in answer.text


@pytest.mark.parametrize("route", [route for route in ROUTES if route.tie is not Tied.ORG], ids=_name)
def test_a_route_answers_the_ties_that_it_names(acme: Acme, route: RouteFacts) -> None:
    if route.method != "GET":
        return
    own, whole = acme.call(route, "tied to default"), acme.call(route, "tied to acme")
    if route.tie is Tied.NONE:
        assert own.status_code == whole.status_code == 403, (own.text, whole.text)
        assert "tied to acme" in whole.text
    elif "{artefact}" not in route.path and "{build}" not in route.path:
        foreign = "{key}" in route.path or "{name}" in route.path
        assert own.status_code in ((404,) if foreign else (200,)), own.text
        assert whole.status_code in ((404,) if "{key}" in route.path else (200,)), whole.text
        assert route.scope is None or route.scope in PROJECT_SCOPES


def test_a_route_that_does_not_say_it_refuses_keys_of_projects(acme: Acme) -> None:
    router = SecuredRouter("/planets", "planted")
    router.get("", scope="jobs:read")(lambda: None)
    assert router.registry[0].tie is Tied.ORG
    answer = acme.world.get("/orgs/acme/balance", "tied to default")
    assert answer.status_code == 403
    assert answer.json()["hint"] == "Use a key of the organisation, or sign in"


def test_what_a_project_key_makes_is_of_its_project(acme: Acme) -> None:
    world, rival = acme.world, "tied to rival"
    me = world.get("/me", rival).json()
    assert me["tie"]["place"] == "acme/rival" and set(me["scopes"]) <= PROJECT_SCOPES
    project = me["tie"]["project_id"]
    upload = world.post("/uploads?name=b.txt", rival, content=b"hello").json()["id"]
    spec = {**JOB, "inputs": {"DATA": {"upload": upload}}}
    job = world.post("/jobs", rival, json=spec).json()
    assert job["project_id"] == project
    quote = world.post("/quotes", rival, json=BODIES["POST", "/quotes"]).json()
    assert world.send("PUT", "/orgs/acme/secrets/RIVAL", rival, json={"value": "x"}).status_code == 200
    for path, own, foreign in (
        ("/jobs", job["id"], acme.ids["job"]),
        ("/quotes", quote["id"], acme.ids["quote"]),
        ("/uploads", upload, acme.ids["upload"]),
    ):
        for query in ("", "?org=acme"):
            listed = {item["id"] for item in world.get(path + query, rival).json()["items"]}
            assert own in listed and foreign not in listed, path
            assert {own, foreign} <= {item["id"] for item in world.get(path + query).json()["items"]}
    listed = world.get("/orgs/acme/secrets", rival).json()["items"]
    assert [item["name"] for item in listed] == ["RIVAL"]
    assert [item["slug"] for item in world.get("/orgs/acme/projects", rival).json()["items"]] == ["rival"]
    for change in (
        {"project": "default"},
        {"depends_on": [acme.ids["job"]]},
        {"inputs": {"DATA": {"upload": acme.ids["upload"]}}},
        {"secrets": ["TOKEN"]},
    ):
        answer = world.post("/jobs", rival, json={**JOB, **change})
        assert answer.status_code in (404, 422), (change, answer.text)
    assert world.get(f"/uploads/{upload}", "tied to default").status_code == 404
    assert world.get(f"/uploads/{upload}", "owner").status_code == 200
    assert world.post(f"/jobs/{job['id']}/cancel", "tied to default").status_code == 404
    assert world.post(f"/jobs/{job['id']}/cancel", rival).status_code == 200


@pytest.mark.parametrize("path", ["/jobs", "/uploads", "/quotas", "/shares", "/audit"])
def test_another_tenant_cannot_be_asked_about_in_a_list(acme: Acme, path: str) -> None:
    assert acme.world.get(f"{path}?org=acme", "stranger").status_code == 404
    assert acme.world.get(f"{path}?org=nobody", "stranger").status_code == 404


@pytest.mark.parametrize(
    "path", ["/jobs", "/quotes", "/keys?everyone=true", "/users", "/orgs", "/audit", "/quotas", "/fair-share"]
)
def test_lists_hold_nothing_of_another_tenant(acme: Acme, path: str) -> None:
    org = acme.world.get("/orgs/acme").json()["id"]
    answer = acme.world.get(path, "stranger")
    assert answer.status_code == 200
    for secret in (org, *(acme.ids[name] for name in ("job", "key", "user", "quota"))):
        assert secret not in answer.text


def test_a_foreign_and_an_absent_thing_read_alike(acme: Acme) -> None:
    for path, absent in (
        (f"/jobs/{acme.ids['job']}", "/jobs/job_00000000000000000000000000"),
        (f"/keys/{acme.ids['key']}", "/keys/key_00000000000000000000000000"),
        ("/orgs/acme", "/orgs/nope"),
        ("/orgs/acme/balance", "/orgs/nope/balance"),
        (f"/uploads/{acme.ids['upload']}", "/uploads/upl_00000000000000000000000000"),
        (f"/users/{acme.ids['user']}", "/users/usr_00000000000000000000000000"),
    ):
        foreign, missing = acme.world.get(path, "stranger").json(), acme.world.get(absent, "stranger").json()
        last = path.split("/")[2], absent.split("/")[2]
        assert foreign["detail"].replace(last[0], "*") == missing["detail"].replace(last[1], "*")
        assert foreign.get("hint") == missing.get("hint")


def test_a_job_cannot_use_another_tenants_things(acme: Acme) -> None:
    world = acme.world
    for change in (
        {"depends_on": [acme.ids["job"]]},
        {"inputs": {"DATA": {"upload": acme.ids["upload"]}}},
        {"secrets": ["TOKEN"]},
    ):
        answer = world.post("/jobs", "stranger", json={**JOB, **change})
        assert answer.status_code in (404, 422), (change, answer.text)
        own = world.post("/jobs", "owner", json={**JOB, **change})
        assert own.status_code == 201, (change, own.text)
    assert world.post("/jobs?org=acme", "stranger", json=JOB).status_code == 404


def test_a_narrow_key_does_no_more_than_it_says(acme: Acme) -> None:
    world = acme.world
    narrow = world.post("/keys", json={"scopes": ["jobs:read"], "org": "acme"}).json()["key"]
    assert world.get("/jobs", narrow).status_code == 200
    assert world.get("/me", narrow).json()["scopes"] == ["jobs:read"]
    assert world.post("/jobs", narrow, json=JOB).status_code == 403
    assert world.post("/keys", narrow, json={}).status_code == 403
    more = world.post("/keys", "viewer", json={"scopes": ["jobs:write"]})
    assert more.status_code == 403


def test_metrics_need_a_scope_and_health_needs_none(acme: Acme) -> None:
    send = acme.world.browser.send
    assert send("GET", "/health").json() == {"status": "ok"}
    assert send("GET", "/metrics").status_code == 401
    system = {"authorization": f"Bearer {acme.world.keys['system']}"}
    answer = send("GET", "/metrics", headers=system)
    assert answer.status_code == 200 and "pearl_api_requests_total" in answer.text
    shown = {family.name: family for family in text_string_to_metric_families(answer.text)}
    cards = {(one.labels["model"], one.labels["state"]): one.value for one in shown["pearl_cards"].samples}
    nodes = {one.labels["state"]: one.value for one in shown["pearl_nodes"].samples}
    assert nodes["healthy"] == 2 and nodes["gone"] == 0
    assert sum(cards.values()) == 16 and {model for model, _ in cards} == {"h100-sxm-80g"}
    assert {one.labels["state"] for one in shown["pearl_jobs"].samples} >= {"queued", "running"}
