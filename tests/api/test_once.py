"""Idempotency-Key, and paging."""

from __future__ import annotations

import base64

import pytest

from tests.api.world import JOB, World


def _once(key: str) -> dict[str, str]:
    return {"idempotency-key": key}


def test_repeating_a_submit_answers_the_same_job(world: World) -> None:
    first = world.post("/jobs", json=JOB, headers=_once("a"))
    again = world.post("/jobs", json=JOB, headers=_once("a"))
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert again.headers["idempotent-replayed"] == "true" and "idempotent-replayed" not in first.headers


def test_a_key_used_for_something_else_is_refused(world: World) -> None:
    world.post("/jobs", json=JOB, headers=_once("b"))
    for path, body in (("/jobs", {**JOB, "name": "other"}), ("/jobs?org=acme", JOB), ("/keys", {})):
        answer = world.post(path, json=body, headers=_once("b"))
        assert answer.status_code == 422 and answer.json()["code"] == "idempotency_mismatch"


def test_a_failed_command_is_tried_again(world: World) -> None:
    wrong = {"slug": "default"}
    assert world.post("/orgs/acme/projects", json=wrong, headers=_once("c")).status_code == 409
    right = {"slug": "vision"}
    assert world.post("/orgs/acme/projects", json=right, headers=_once("c")).status_code == 201


def test_two_callers_may_use_the_same_key(world: World) -> None:
    mine = world.post("/jobs", json=JOB, headers=_once("d")).json()["id"]
    theirs = world.post("/jobs", "stranger", json=JOB, headers=_once("d")).json()["id"]
    assert mine != theirs


def test_a_repeated_key_creation_shows_the_same_secret_sealed_at_rest(world: World) -> None:
    first = world.post("/keys", json={"label": "ci"}, headers=_once("e")).json()
    again = world.post("/keys", json={"label": "ci"}, headers=_once("e")).json()
    assert first == again
    secret = first["key"].rsplit("_", 1)[1].encode()
    for file in world.data.glob("pearl.db*"):
        assert secret not in file.read_bytes()


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "a b", "é"])
def test_a_key_of_an_odd_shape_is_refused(world: World, key: str) -> None:
    answer = world.browser.send(
        "POST",
        "/api/v1/jobs",
        json=JOB,
        headers={
            b"authorization": f"Bearer {world.keys['owner']}".encode(),
            b"idempotency-key": key.encode("latin-1"),
        },
    )
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["field"] == "Idempotency-Key"


def test_every_command_honours_the_key(world: World) -> None:
    for method, path, role, body in (
        ("PUT", "/orgs/acme/secrets/ONCE", "owner", {"value": "v"}),
        ("PATCH", "/orgs/acme", "owner", {"name": "Acme"}),
        ("POST", "/orgs/acme/credit", "system", {"amount": "7"}),
        ("POST", "/backups", "system", None),
        ("POST", "/nodes/h100-0001/drain", "system", {"reason": "fan"}),
        ("POST", "/nodes/h100-0001/undrain", "system", None),
        ("DELETE", "/orgs/acme/secrets/ONCE", "owner", None),
    ):
        options = {} if body is None else {"json": body}
        first = world.send(method, path, role, headers=_once(f"{method} {path}".replace(" ", "-")), **options)
        again = world.send(method, path, role, headers=_once(f"{method} {path}".replace(" ", "-")), **options)
        assert first.status_code == again.status_code and first.is_success, first.text
        assert again.headers.get("idempotent-replayed") == "true", path
        assert first.content == again.content
    balance = world.get("/orgs/acme/balance").json()["balance"]
    assert balance == "10007.00"


def test_pages_hold_every_row_once_in_order(world: World) -> None:
    made = [world.submit(name=f"page-{index}") for index in range(7)]
    seen: list[str] = []
    cursor = ""
    while True:
        page = world.get(f"/jobs?name=page-&limit=3{cursor}").json()
        seen += [job["id"] for job in page["items"]]
        if len(seen) == 3:
            world.submit(name="page-late")
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == made[::-1]


def test_every_list_pages(world: World) -> None:
    for index in range(3):
        world.post("/orgs", "system", json={"slug": f"page-{index}"})
        world.post("/users", "security", json={"name": f"page-{index}", "org": "acme"})
        world.post("/keys", json={"label": f"page-{index}"})
        world.post("/uploads", params={"name": "x"}, content=b"x")
        world.post("/orgs/acme/projects", json={"slug": f"page-{index}"})
        world.post("/orgs/acme/credit", "system", json={"amount": "1"})
    for path, role in (
        ("/orgs", "system"),
        ("/users", "security"),
        ("/keys", "owner"),
        ("/uploads", "owner"),
        ("/orgs/acme/projects", "owner"),
        ("/orgs/acme/credit", "owner"),
        ("/credit", "system"),
        ("/orgs/acme/statement", "owner"),
        ("/audit", "audit"),
    ):
        whole = world.get(f"{path}?limit=500", role).json()["items"]
        found: list[object] = []
        cursor = ""
        while True:
            page = world.get(f"{path}?limit=2{cursor}", role).json()
            assert len(page["items"]) <= 2
            found += page["items"]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert found == whole and len(whole) >= 3, path


@pytest.mark.parametrize(
    "cursor", ["x", "!!!", "AAAA", "é", "a" * 401, base64.urlsafe_b64encode(b"\x00").decode(),
               base64.urlsafe_b64encode(b"x' OR 1=1 --").decode()],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/jobs", "/audit", "/keys", "/orgs/acme/statement"])
def test_a_wrong_cursor_is_refused(world: World, path: str, cursor: str) -> None:
    assert world.get(path, params={"cursor": cursor}).status_code == 422
