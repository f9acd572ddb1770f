"""Secrets put in at one end never come out at another: answers, errors, logs, audit rows, files on disk."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import structlog

from tests.api.world import JOB, World, a_world

PASSWORD = "canary-password-71f3c9"
SECRET = "canary-secret-8a0be2"
WRONG = "canary-wrong-4410aa"


def test_no_secret_comes_out_anywhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with structlog.testing.capture_logs() as lines, a_world(tmp_path / "center") as world:
        answers, shown = _use_secrets(world)
        audit = world.get("/audit?limit=500", "audit").text
        metrics = world.browser.send(
            "GET", "/metrics", headers={"authorization": f"Bearer {world.keys['system']}"}
        ).text
        openapi = world.get("/openapi.json", None).text
        world.center.store.database.write(lambda connection: None)
        heard = "\n".join(
            [*map(str, lines), caplog.text, *capfd.readouterr(), audit, metrics, openapi, *answers]
        )
        on_disk = b"".join(file.read_bytes() for file in sorted(tmp_path.rglob("*")) if file.is_file())
    for canary in (PASSWORD, SECRET, WRONG, *shown):
        assert canary not in heard, canary
        if canary != WRONG:
            assert canary.encode() not in on_disk, canary
    assert WRONG.encode() not in on_disk


def _use_secrets(world: World) -> tuple[list[str], list[str]]:
    """Answers that must hold no secret, and the secret parts of credentials that were shown once."""
    answers: list[str] = []
    invited = world.post(
        "/users", "security", json={"name": "sam", "org": "acme"}, headers={"idempotency-key": "1"}
    ).json()
    body = {"token": invited["token"], "password": PASSWORD}
    answers.append(world.post("/set-password", None, json={**body, "pasword": WRONG}).text)
    answers.append(world.post("/set-password", None, json=body, headers={"idempotency-key": "2"}).text)
    answers.append(world.post("/set-password", None, json={**body, "token": WRONG}).text)
    answers.append(world.post("/sign-in", None, json={"name": "sam", "password": WRONG}).text)
    answers.append(world.post("/sign-in", None, json={"name": WRONG, "password": PASSWORD}).text)
    answers.append(world.post("/sign-in", None, json={"name": "sam", "password": {"x": WRONG}}).text)
    signed_in = world.post(
        "/sign-in", None, json={"name": "sam", "password": PASSWORD}, headers={"idempotency-key": "3"}
    ).json()
    issued = world.post("/keys", signed_in["token"], json={}, headers={"idempotency-key": "4"}).json()
    for name in ("TOKEN", "bad name", "PEARL_X"):
        path = f"/orgs/acme/secrets/{name}"
        put = world.send("PUT", path, json={"value": SECRET}, headers={"idempotency-key": f"5{len(name)}"})
        answers.append(put.text)
        answers.append(world.send("PUT", path, json={"value": SECRET, "vaule": SECRET}).text)
        answers.append(world.send("PUT", path, json=SECRET).text)
        answers.append(world.send("PUT", path, content=f'{{"value": "{SECRET}'.encode(),
                                  headers={"content-type": "application/json"}).text)  # fmt: skip
    answers.append(world.get("/orgs/acme/secrets").text)
    job = world.post("/jobs", json={**JOB, "secrets": {"TOKEN": "TOKEN"}, "simulate": "1s"})
    answers.append(job.text)
    found = world.until(job.json()["id"], "succeeded", "failed")
    answers += [str(found)] + [
        world.get(f"/jobs/{found['id']}/{part}").text for part in ("attempts", "timeline", "logs", "why")
    ]
    answers.append(world.get("/me", WRONG).text)
    answers.append(world.get("/me", issued["key"][:-8] + "aaaaaaaa").text)
    answers.append(world.get("/keys?everyone=true").text)
    answers.append(world.get("/users").text)
    shown = [
        credential.rsplit("_", 1)[1] for credential in (invited["token"], signed_in["token"], issued["key"])
    ]
    return answers, shown
