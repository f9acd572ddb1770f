"""The OpenAPI document: whole, valid, and true to the routes."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest

from pearlstreet.api.app import all_routes
from pearlstreet.api.routing import fill_location
from pearlstreet.base.clock import to_rfc3339
from tests.api.world import JOB, World, commit_card
from tests.fakes.shells import leave_shell
from tests.months import present_month


@pytest.fixture(scope="module")
def document(world: World) -> dict[str, Any]:
    """What the center publishes about itself; no key is needed to read it."""
    found: dict[str, Any] = world.get("/openapi.json", None).json()
    return found


def test_every_route_is_in_it_with_who_may_call_it(document: dict[str, Any]) -> None:
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(route.method, route.path) for route in all_routes()}
    for route in all_routes():
        operation = document["paths"][route.path][route.method.lower()]
        assert operation["x-access"] == (route.scope or ("public" if route.public else "signed in"))
        assert operation["description"].strip()
        assert (operation.get("security") == []) == route.public


def test_operation_ids_are_unique(document: dict[str, Any]) -> None:
    ids = [
        operation["operationId"] for methods in document["paths"].values() for operation in methods.values()
    ]
    assert len(ids) == len(set(ids))
    assert not [name for name in ids if not re.fullmatch("[a-z]+([A-Z][a-z]+)*", name)]
    assert {"listJobs", "createWhatIf", "listOrgWebhooks", "listCenterWebhooks"} <= set(ids)


def test_names_of_schemas_are_unique_and_fit_every_language(document: dict[str, Any]) -> None:
    names = list(document["components"]["schemas"])
    assert not [name for name in names if not re.fullmatch("[A-Z][A-Za-z]+", name)]
    assert len({name.lower() for name in names}) == len(names)


def test_every_201_says_where_what_was_created_is(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            if "201" in operation["responses"]:
                assert "Location" in operation["responses"]["201"]["headers"], path


def test_locations_lead_to_what_was_created(world: World) -> None:
    made = [
        world.post("/jobs", json=JOB),
        world.post("/uploads?name=located", content=b"x"),
        world.post("/keys", json={}),
        world.post("/orgs", "system", json={"slug": "located"}),
        world.post("/orgs/acme/projects", json={"slug": "located"}),
        world.post("/users", "security", json={"name": "located", "org": "acme"}),
        world.post("/what-ifs", json={"policies": ["fifo"]}),
    ]
    for answer in made:
        assert answer.status_code == 201, answer.text
        thing = answer.json().get("user", answer.json())
        role = (
            "security" if "user" in answer.json() else "system" if thing.get("slug") == "located" else "owner"
        )
        read = world.get(answer.headers["location"].removeprefix("/api/v1"), role)
        assert read.status_code == 200, (answer.headers["location"], read.text)
        assert read.json()["id"] == thing["id"]


def test_a_repeated_request_gets_the_same_location(world: World) -> None:
    once = {"idempotency-key": "located-once"}
    first, again = (world.post("/jobs", json=JOB, headers=once) for _ in range(2))
    assert again.headers["idempotent-replayed"] == "true"
    assert first.headers["location"] == again.headers["location"] == f"/api/v1/jobs/{first.json()['id']}"


def test_a_location_is_one_path_whatever_is_in_it() -> None:
    assert (
        fill_location("/orgs/{org}/x/{a.b}", {"org": "ü/?"}, b'{"a": {"b": 7}}')
        == "/api/v1/orgs/%C3%BC%2F%3F/x/7"
    )


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    written = json.dumps(document)
    for part in written.split('"$ref": "')[1:]:
        target = part.split('"')[0]
        assert target.startswith("#/"), target
        here: Any = document
        for name in target[2:].split("/"):
            here = here[name.replace("~1", "/").replace("~0", "~")]
        assert here


def test_it_is_valid_openapi(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    for name, schema in document["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema), name
    for path, methods in document["paths"].items():
        assert path.startswith("/")
        in_path = {part[1:-1] for part in path.split("/") if part.startswith("{")}
        for operation in methods.values():
            named = {item["name"] for item in operation.get("parameters", ()) if item["in"] == "path"}
            assert named == in_path, path
            assert operation["responses"]


def test_errors_are_documented_as_problem_documents(document: dict[str, Any]) -> None:
    for methods in document["paths"].values():
        for operation in methods.values():
            assert "application/problem+json" in operation["responses"]["404"]["content"]


def _soon(world: World) -> str:
    return to_rfc3339(world.center.store.clock.now_us() + 86_400 * 10**6)


def test_answers_are_what_it_says(world: World, document: dict[str, Any]) -> None:
    """Handlers render plain values, so that the models could come to lie: every GET is held against its model."""
    job = world.submit(simulate="1s")
    world.until(job, "succeeded")
    upload = world.post("/uploads?name=x", content=b"x").json()["id"]
    key = world.post("/keys", json={}).json()["id"]
    world.send("PUT", "/quotas", "system", json={"org": "acme", "resource": "cpus", "maximum": 10})
    world.send("PUT", "/shares", "system", json={"org": "acme", "weight": 2})
    world.send("PUT", "/orgs/acme/budgets", json={"monthly": "10"})
    world.send("PUT", "/orgs/acme/secrets/A", json={"value": "x"})
    world.post("/backups", "system")
    assert world.post("/hub", json={"name": "acme/weights"}).status_code == 201
    commit_card(world, "acme/weights")
    world.send("PATCH", "/scheduling/policy", "system", json={"settings": {"depth": 900}})
    world.send("PUT", "/scheduling/queues/urgent", "system", json={"rank": -1, "settings": {"order": "fifo"}})
    held = {
        "kind": "reservation",
        "org": "acme",
        "nodes": ["h100-0002"],
        "until": _soon(world),
        "reason": "x",
    }
    assert world.post("/scheduling/windows", "system", json=held).status_code == 201
    question = world.post("/what-ifs", json={"policies": ["fifo"]}).json()["id"]
    asked = {
        "workload": {"kind": "custom", "hours": 0.01, "accelerator": "H100-80G"},
        "job": {"command": ["true"]},
    }
    quote = world.post("/quotes", json=asked).json()["id"]
    assert world.post(f"/quotes/{quote}/accept", json={"offer": "cheapest"}).status_code == 201
    world.step()
    world.runtime.decisions.flush()
    decision = world.get("/scheduling/decisions", "system").json()["items"][0]["id"]
    facts = {
        "pue": {"value": 1.25, "source": "meter", "as_of": "2026-01-01"},
        "carbon": {"kind": "constant", "g_per_kwh": 536.6, "source": "grid", "as_of": "2026-01-01"},
        "tariff": {"kind": "flat", "yuan_per_kwh": "0.8", "source": "contract", "as_of": "2026-01-01"},
        "core": {"watts": 8, "source": "meter", "as_of": "2026-01-01"},
    }
    assert world.post("/energy/facts", "system", json=facts).status_code == 201
    hours = {"name": "grid", "kind": "carbon", "csv": "time,g_per_kwh\n2026-01-01T00:00Z,500\n"}
    hours |= {"source": "dispatch center", "as_of": "2026-01-02"}
    series = world.post("/energy/series", "system", json=hours)
    hooks = {}
    for at, role in (("/orgs/acme", "owner"), ("/center", "system")):
        hook = world.post(f"{at}/webhooks", role, json={"url": "https://127.0.0.1:9/x"}).json()["id"]
        sent = world.post(f"{at}/webhooks/{hook}/test", role).json()["id"]
        hooks[at] = {"webhook": hook, "delivery": sent}
    user, store = world.get("/me").json()["user"]["id"], world.center.store
    shell = leave_shell(world.runtime, store.clock, job, user, "hello", "of-acme")
    ids = {"org": "acme", "project": "default", "job": job, "shell": shell, "upload": upload, "key": key, "month": present_month(),
           "user": user,
           "decision": decision, "what_if": question, "quote": quote, "scenario": "1t-50-days",
           "series": series.json()["series"]["id"], "engine": "simulated",
           "repo_type": "model", "repo_org": "acme", "repo_name": "weights"}  # fmt: skip
    checked = 0
    for route in all_routes():
        unmade = (
            "{artefact}" in route.path
            or "{build}" in route.path
            or "{provider}" in route.path
            or route.path.endswith("/closing")
        )
        if route.method != "GET" or unmade:
            continue
        schema = _schema(document, route.path)
        if schema is None:
            continue
        for role in ("owner", "system", "audit", "security"):
            answer = world.browser.send(
                "GET",
                route.path.format(**ids, **hooks["/center" if "/center/" in route.path else "/orgs/acme"]),
                params={"draft": "true", "org": "acme"},
                headers={"authorization": f"Bearer {world.keys[role]}"},
            )
            if answer.status_code == 403:
                continue
            assert answer.status_code == 200, (route.path, role, answer.text)
            whole = {"components": document["components"], **schema}
            jsonschema.Draft202012Validator(whole).validate(answer.json())
            checked += 1
            break
    assert checked > 35


def _schema(document: dict[str, Any], path: str) -> dict[str, Any] | None:
    content = document["paths"][path]["get"]["responses"]["200"].get("content", {})
    found: dict[str, Any] | None = content.get("application/json", {}).get("schema")
    return found or None


def test_answers_of_commands_are_what_it_says(world: World, document: dict[str, Any]) -> None:
    for method, path, at, role, body in (
        ("POST", "/api/v1/jobs", "/jobs", "owner", JOB),
        ("POST", "/api/v1/keys", "/keys", "owner", {}),
        ("POST", "/api/v1/orgs", "/orgs", "system", {"slug": "documented"}),
        ("POST", "/api/v1/users", "/users", "security", {"name": "documented", "org": "acme"}),
        ("POST", "/api/v1/orgs/{org}/credit", "/orgs/acme/credit", "system", {"amount": "1"}),
        (
            "PUT",
            "/api/v1/orgs/{org}/members/{user}",
            "/orgs/acme/members/documented",
            "security",
            {"role": "viewer"},
        ),
        ("POST", "/api/v1/nodes/{node}/drain", "/nodes/h100-0001/drain", "system", {}),
    ):
        answer = world.send(method, at, role, json=body)
        status = str(answer.status_code)
        assert answer.is_success, (path, answer.text)
        content = document["paths"][path][method.lower()]["responses"][status]["content"]
        whole = {"components": document["components"], **content["application/json"]["schema"]}
        jsonschema.Draft202012Validator(whole).validate(answer.json())


def test_the_job_schema_is_published_and_fits_a_job(world: World) -> None:
    schema = world.get("/jobs/schema", None).json()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(JOB)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate({**JOB, "comand": []})


def test_no_success_is_left_undescribed(document: dict[str, Any]) -> None:
    """An empty schema would let any answer pass."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for status, answer in operation["responses"].items():
                schema = answer.get("content", {}).get("application/json", {"schema": True})["schema"]
                assert schema, (method, path, status)


def test_whoever_makes_something_is_told_what_can_be_done_with_it(document: dict[str, Any]) -> None:
    operations = {
        operation["operationId"]: (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    linked: set[tuple[str, str]] = set()
    for _, _, operation in operations.values():
        for answer in operation["responses"].values():
            for reference in answer.get("links", {}).values():
                link = document["components"]["links"][reference["$ref"].rsplit("/", 1)[1]]
                method, path, target = operations[link["operationId"]]
                in_path = {f"path.{item['name']}" for item in target["parameters"] if item["in"] == "path"}
                assert set(link["parameters"]) == in_path
                linked.add((method, path))
    for wanted in (
        ("GET", "/api/v1/jobs/{job}"),
        ("POST", "/api/v1/jobs/{job}/cancel"),
        ("DELETE", "/api/v1/keys/{key}"),
        ("GET", "/api/v1/uploads/{upload}"),
        ("POST", "/api/v1/credit/{top_up}/approve"),
        ("POST", "/api/v1/users/{user}/suspend"),
        ("GET", "/api/v1/orgs/{org}/projects/{project}"),
        ("DELETE", "/api/v1/quotas/{quota}"),
    ):
        assert wanted in linked, wanted
    job = document["paths"]["/api/v1/jobs"]["post"]["responses"]["201"]["links"]
    assert "cancelJob" in job
