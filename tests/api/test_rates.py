"""What a caller sees of the limits on requests."""

from __future__ import annotations

from pathlib import Path

from pearlstreet.app.web import create_web
from tests.api.world import Browser, a_world


def test_one_request_too_many_is_told_when_to_come_back(tmp_path: Path) -> None:
    with a_world(tmp_path, rate_sign_ins_per_minute=2.0) as world:
        wrong = {"name": "owner", "password": "wrong"}
        answers = [world.post("/sign-in", None, json=wrong) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [401, 401, 429]
        last = answers[-1]
        assert last.json()["code"] == "too_many" and last.headers["content-type"].startswith(
            "application/problem+json"
        )
        assert 0 < int(last.headers["retry-after"]) <= 30
        assert last.headers["ratelimit-policy"] == '"sign-in";q=2;w=60'
        assert last.headers["ratelimit"].startswith('"sign-in";r=0;t=')
        assert answers[0].headers["ratelimit"] == '"sign-in";r=1;t=0'
        fine = world.get("/me")
        assert fine.status_code == 200 and fine.headers["ratelimit-policy"].startswith('"key";q=5000')


def test_a_limit_of_nothing_limits_nothing(tmp_path: Path) -> None:
    off = {"rate_key_per_s": 0.0, "rate_address_per_s": 0.0, "rate_sign_ins_per_minute": 0.0}
    with a_world(tmp_path, **off) as world:
        assert "ratelimit" not in world.get("/me").headers


def test_owners_who_make_many_accounts_are_told_when_to_go_on(tmp_path: Path) -> None:
    with a_world(tmp_path, rate_org_accounts_per_day=5) as world:
        here = len(world.get("/orgs/acme/members").json()["items"])
        for number in range(here, 5):
            assert world.post("/users", json={"name": f"new{number}", "org": "acme"}).status_code == 201
        refused = world.post("/users", json={"name": "one-more", "org": "acme"})
        assert refused.status_code == 429 and "acme got 5 new accounts" in refused.json()["detail"]
        assert 0 < int(refused.headers["retry-after"]) <= 86_401
        assert world.post("/users", "security", json={"name": "one-more", "org": "acme"}).status_code == 201


def test_a_narrow_key_gives_no_role_beyond_its_own_scopes(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        made = world.post("/keys", json={"label": "hr", "scopes": ["users:write", "users:read"]}).json()
        world.keys["hr"] = made["key"]
        for answer in (
            world.post("/users", "hr", json={"name": "mallory", "org": "acme", "role": "owner"}),
            world.post("/orgs/acme/invitations", "hr", json={"user": "stranger", "role": "owner"}),
        ):
            assert answer.status_code == 403 and "which its key lacks" in answer.json()["detail"]
        assert world.get("/users/mallory", "security").status_code == 404


def test_the_hub_and_the_api_share_the_limit_of_a_key(tmp_path: Path) -> None:
    with a_world(tmp_path, rate_key_per_s=0.3, rate_address_per_s=0.0) as world:
        browser = Browser(create_web(world.center, world.services))
        headers = {"authorization": f"Bearer {world.keys['owner']}"}
        paths = ("/hf/api/whoami-v2", "/api/v1/me", "/hf/api/models", "/hf/api/whoami-v2")
        answers = [browser.send("GET", path, headers=headers) for path in paths]
        browser.close()
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[0].headers["ratelimit"] == '"key";r=2;t=0'
        refused = answers[-1]
        assert 0 < int(refused.headers["retry-after"]) <= 4 and "wait" in refused.headers["x-error-message"]
        assert refused.headers["ratelimit"].startswith('"key";r=0;t=')
