"""What goes wrong is said in one form (RFC 9457), in the reader's language, naming field, line and column."""

from __future__ import annotations

import json

import pytest

from tests.api.world import JOB, World

JSON = {"content-type": "application/json"}


def test_an_error_is_a_problem_document(world: World) -> None:
    answer = world.get("/jobs/job_none")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["type"] == "urn:pearlstreet:error:not_found"
    assert body["status"] == 404 and body["code"] == "not_found" and body["title"] == "Not found"
    assert body["instance"].endswith(answer.headers["x-request-id"])


def test_errors_are_in_the_readers_language(world: World) -> None:
    chinese = world.get("/jobs/job_none", headers={"accept-language": "zh-CN,zh;q=0.9,en;q=0.5"}).json()
    assert chinese["title"] == "未找到"
    assert chinese["code"] == "not_found"
    wrong = world.post("/orgs", "system", json={"slogan": 1}, headers={"accept-language": "zh"}).json()
    assert [item["message"] for item in wrong["problems"]] == ["缺少此项", "没有这个字段"]


@pytest.mark.parametrize(
    ("body", "line", "column"),
    [
        (b'{"slug":\n  x}', 2, 3),
        (b'{"slug": "a" "b"}', 1, 14),
        (b"", None, None),
        (b'{"slug": "\xff"}', None, None),
    ],
)
def test_malformed_json_names_line_and_column(
    world: World, body: bytes, line: int | None, column: int | None
) -> None:
    answer = world.post("/orgs", "system", content=body, headers=JSON)
    assert answer.status_code == 422
    problem = answer.json()["problems"][0]
    assert (problem.get("line"), problem.get("column")) == (line, column)


def test_malformed_yaml_names_line_and_column(world: World) -> None:
    answer = world.post(
        "/jobs",
        content="name: a\ncommand: [x\nper_task: {cpus: 1}\n",
        headers={"content-type": "application/yaml"},
    )
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["line"] in (2, 3)


def test_unknown_fields_get_a_suggestion(world: World) -> None:
    answer = world.post("/jobs", json={**JOB, "comand": ["x"]})
    assert answer.status_code == 422 and "command" in answer.text
    answer = world.post("/keys", json={"lable": "x"})
    problem = answer.json()["problems"][0]
    assert problem["field"] == "lable" and "label" in problem["hint"]
    answer = world.send("PUT", "/billing", "system", json={"seller": {"tax": "1"}})
    problem = answer.json()["problems"][0]
    assert problem["field"] == "seller.tax" and "tax_id" in problem["hint"]


def test_a_body_that_is_no_json_says_which_header(world: World) -> None:
    answer = world.post("/orgs", "system", content=b"slug=x", headers={"content-type": "text/plain"})
    assert answer.status_code == 422 and "Content-Type: application/json" in answer.json()["hint"]


@pytest.mark.parametrize(
    "body",
    [
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 50_000 + "1" + "}" * 50_000,
        '{"slug": ' + "9" * 100_000 + "}",
        '{"slug": NaN}',
        '{"slug": 1e999}',
        '{"slug": "\\ud800"}',
        '{"slug": "a\\u0000b"}',
        "null",
        "[]",
        '"x"',
        "17",
    ],
)
@pytest.mark.parametrize("path", ["/orgs", "/jobs", "/prices"])
def test_odd_json_is_refused_not_broken_on(world: World, path: str, body: str) -> None:
    role = "owner" if path == "/jobs" else "system"
    answer = world.post(path, role, content=body, headers=JSON)
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "invalid_input"


def test_a_large_field_is_refused_with_a_short_answer(world: World) -> None:
    megabyte = "x" * (1 << 20)
    for path, body in (
        ("/jobs", {**JOB, "name": megabyte}),
        ("/jobs", {**JOB, "variables": {"A" * (1 << 20): "1"}}),
        ("/jobs", {**JOB, megabyte: 1}),
        ("/keys", {"label": megabyte}),
        ("/keys", {megabyte: 1}),
        ("/keys", {"scopes": [megabyte]}),
        ("/orgs/acme/projects", {"slug": megabyte}),
    ):
        answer = world.post(path, json=body)
        assert answer.status_code == 422, answer.text[:500]
        assert len(answer.content) < 10_000


def test_unicode_travels_whole(world: World) -> None:
    name = "训练-Ω-🚀-e\u0301"
    answer = world.post("/jobs", json={**JOB, "variables": {"GREETING": name}})
    assert answer.status_code == 201, answer.text
    again = world.get(f"/jobs/{answer.json()['id']}").json()
    assert again["spec"]["variables"]["GREETING"] == name
    title = "极光研究院 🚀"
    answer = world.send("PATCH", "/orgs/acme", json={"name": title})
    assert answer.json()["name"] == title
    assert world.get("/orgs/acme").json()["name"] == title


@pytest.mark.parametrize(
    "path",
    [
        "/jobs/%00",
        "/jobs/a%00b",
        "/orgs/acme%00/balance",
        "/jobs/" + "x" * 5000,
        "/jobs/..%2f..%2fetc",
        "/jobs/%ff%fe",
        "/jobs/😀",
        "/orgs/%0d%0aset-cookie:x",
        "/nothing/here",
        "/jobs/",
        "//jobs",
        "/jobs/job_00000000000000000000000000/",
    ],
)
def test_odd_paths_are_not_found(world: World, path: str) -> None:
    for role in ("owner", "system"):
        answer = world.get(path, role)
        assert answer.status_code in (404, 422), (path, answer.status_code, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "query",
    [
        "org=%00",
        "name=a%00b",
        "limit=0",
        "limit=501",
        "limit=-1",
        "limit=99999999999999999999999",
        "limit=x",
        "state=dancing",
        "array=%00",
        "org=" + "x" * 5000,
    ],
)
def test_odd_queries_are_refused(world: World, query: str) -> None:
    answer = world.get(f"/jobs?{query}")
    assert answer.status_code in (404, 422), (query, answer.text)


def test_a_fixed_address_allows_what_its_own_route_takes(world: World) -> None:
    allowed = world.send("OPTIONS", "/quotes/scenarios").headers["allow"]
    assert allowed == "GET", "not what a quote of that name would take"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "BREW"])
def test_other_methods_are_refused_with_allow(world: World, method: str) -> None:
    answer = world.send(method, "/jobs")
    assert answer.status_code == 405
    assert answer.headers["allow"]
    if method != "HEAD":
        assert answer.json()["code"] == "method_not_allowed"


def test_every_answer_keeps_browsers_strict(world: World) -> None:
    for answer in (world.get("/me"), world.get("/me", None), world.get("/nothing")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["cache-control"] == "no-store"


def test_an_oversize_body_is_refused(world: World) -> None:
    big = json.dumps({**JOB, "name": "x" * (5 << 20)}).encode()
    answer = world.post("/jobs", content=big, headers=JSON)
    assert answer.status_code == 413
    assert answer.json()["code"] == "too_large"


def test_an_oversize_chunked_body_is_refused_before_it_ends(world: World) -> None:
    sent = 0

    async def chunks():  # type: ignore[no-untyped-def]
        nonlocal sent
        for _ in range(1000):
            sent += 1 << 16
            yield b" " * (1 << 16)

    for path, role in (("/jobs", "owner"), ("/orgs", "system"), ("/prices", "system")):
        sent = 0
        answer = world.post(path, role, content=chunks(), headers=JSON)
        assert answer.status_code == 413, path
        assert sent <= 5 << 20


def test_credentials_that_are_wrong_expired_or_revoked(world: World) -> None:
    good = world.keys["owner"]
    wrong = [
        "",
        "x",
        "pearl_",
        good[:-1],
        good[:-1] + ("0" if good[-1] != "0" else "1"),
        good + "0",
        good.upper(),
        "pearllink_" + good.removeprefix("pearl_"),
        "x" * 8000,
        "é" * 10,
    ]
    for credential in wrong:
        raw = {"authorization": f"Bearer {credential}".encode("latin-1")}
        answer = world.browser.send("GET", "/api/v1/me", headers=raw)
        assert answer.status_code == 401, credential[:60]
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert good.rsplit("_", 1)[1] not in answer.text
    for header in ("Basic abc", good, "Bearer", f"Bearer  {good} x"):
        assert world.browser.send("GET", "/api/v1/me", headers={"authorization": header}).status_code == 401
    made = world.post("/keys", json={"label": "short", "life_days": 1e-9}).json()
    assert world.get("/me", made["key"]).status_code == 401
    made = world.post("/keys", json={"label": "gone"}).json()
    assert world.get("/me", made["key"]).status_code == 200
    assert world.send("DELETE", f"/keys/{made['id']}").json()["revoked"]
    answer = world.get("/me", made["key"])
    assert answer.status_code == 401 and "revoked" in answer.text
