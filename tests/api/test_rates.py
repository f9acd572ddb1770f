"""What a caller sees of the limits on requests."""

from __future__ import annotations

from pathlib import Path

from tests.api.world import a_world


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
