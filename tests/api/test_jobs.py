"""Jobs over HTTP: submit, look, follow, cancel, arrays, dependencies."""

from __future__ import annotations

import time

import pytest

from pearlstreet.api.app import create_api
from tests.api.world import JOB, World


def test_a_job_from_submit_to_artefacts_and_cost(world: World) -> None:
    job = world.submit(simulate="1s")
    assert world.get(f"/jobs/{job}").json()["state"] == "queued"
    found = world.until(job, "succeeded", "failed")
    assert found["state"] == "succeeded" and found["exit_code"] == 0
    assert found["started"] and found["ended"] and found["spec"]["name"] == "train"
    events = [line["to_state"] for line in world.get(f"/jobs/{job}/timeline").json()["items"]]
    assert events[0] == "queued" and events[-1] == "succeeded"
    attempts = world.get(f"/jobs/{job}/attempts").json()["items"]
    assert len(attempts) == 1 and attempts[0]["placement"]["tasks"]
    logs = world.get(f"/jobs/{job}/logs")
    assert logs.headers["x-ended"] == "true" and int(logs.headers["x-next-offset"]) == len(logs.content)
    rest = world.get(f"/jobs/{job}/logs?offset={len(logs.content)}")
    assert rest.content == b""
    followed = world.get(f"/jobs/{job}/logs?follow=true")
    assert followed.content == logs.content
    world.step()
    cost = world.get(f"/jobs/{job}/cost").json()
    spans = world.get(f"/jobs/{job}/usage").json()["items"]
    assert spans and all(span["billable"] for span in spans)
    assert float(cost["total"]) >= 0 and {line["resource"] for line in cost["lines"]} <= {"cpu", "memory"}
    why = world.get(f"/jobs/{job}/why", headers={"accept-language": "zh"}).json()
    assert why["sentence"]


def test_yaml_and_json_mean_the_same(world: World) -> None:
    written = (
        "name: train\ncommand: [python, train.py]\nvariables: {SIMULATE_EXIT_CODE: '0'}\n"
        "per_task: {cpus: 1, memory_gib: 1}\n"
    )
    made = world.post("/jobs", content=written, headers={"content-type": "application/yaml"})
    assert made.status_code == 201, made.text
    assert made.json()["spec"] == world.post("/jobs", json=JOB).json()["spec"]


def test_cancelling_twice_changes_nothing(world: World) -> None:
    job = world.submit(simulate="1h")
    assert world.post(f"/jobs/{job}/cancel").json()["state"] == "cancelled"
    again = world.post(f"/jobs/{job}/cancel")
    assert again.status_code == 200 and again.json()["state"] == "cancelled"
    running = world.submit(simulate="1h")
    world.until(running, "running")
    assert world.post(f"/jobs/{running}/cancel").status_code == 200
    assert world.post(f"/jobs/{running}/cancel").status_code == 200
    assert world.until(running, "cancelled")["reason"]


def test_a_viewer_looks_and_cancels_nothing(world: World) -> None:
    job = world.submit(simulate="1h")
    assert world.get(f"/jobs/{job}", "viewer").status_code == 200
    assert world.post(f"/jobs/{job}/cancel", "viewer").status_code == 403
    assert world.post(f"/jobs/{job}/cancel", "member").status_code == 200


def test_an_array_of_ten_thousand_is_accepted_at_once(world: World) -> None:
    began = time.monotonic()
    answer = world.post("/jobs", json={**JOB, "array": {"size": 10_000, "max_running": 4}})
    took_s = time.monotonic() - began
    assert answer.status_code == 201, answer.text
    print(f"10,000 elements accepted in {took_s:.2f} s")
    array = answer.json()
    assert array["array_size"] == 10_000 and array["counts"]["queued"] == 10_000
    listed = world.get("/jobs?name=train&limit=500").json()["items"]
    assert [job["id"] for job in listed].count(array["id"]) == 1
    page = world.get(f"/jobs?array={array['id']}&limit=500").json()
    assert len(page["items"]) == 500 and page["next_cursor"]
    assert {job["array_id"] for job in page["items"]} == {array["id"]}
    ended = world.post(f"/jobs/{array['id']}/cancel").json()
    assert ended["counts"]["cancelled"] == 10_000


@pytest.mark.parametrize("size", [-1, 10_000_000, 1.5, "x", {}])
def test_an_array_of_an_odd_size_is_refused(world: World, size: object) -> None:
    answer = world.post("/jobs", json={**JOB, "array": {"size": size}})
    assert answer.status_code == 422, answer.text


def test_dependencies(world: World) -> None:
    first = world.submit(simulate="1s")
    second = world.submit(depends_on=[first], simulate="1s")
    assert first in world.get(f"/jobs/{second}/why").json()["sentence"]
    world.until(second, "succeeded")
    for unknown in ("job_00000000000000000000000000", "nonsense", "../x"):
        answer = world.post("/jobs", json={**JOB, "depends_on": [unknown]})
        assert answer.status_code in (404, 422), answer.text
    cancelled = world.submit(simulate="1h")
    world.post(f"/jobs/{cancelled}/cancel")
    answer = world.post("/jobs", json={**JOB, "depends_on": [cancelled]})
    assert answer.status_code == 409, answer.text


def test_what_no_engine_could_run_is_refused_at_submit(world: World) -> None:
    for per_task in (
        {"accelerator": "H100", "count": 9},
        {"accelerator": "B200", "count": 1},
        {"cpus": 100_000},
        {"memory_gib": 1e6},
    ):
        answer = world.post("/jobs", json={**JOB, "per_task": per_task})
        assert answer.status_code == 422, (per_task, answer.text)
        assert answer.json()["problems"]


def test_a_job_that_cannot_be_paid_is_refused_with_what_is_missing(world: World) -> None:
    big = {"tasks": 2, "per_task": {"accelerator": "H100", "count": 8}}
    made = world.post("/orgs", "system", json={"slug": "poor"})
    assert made.status_code == 201
    invited = world.post(
        "/users", "security", json={"name": "poor-ann", "org": "poor", "role": "owner"}
    ).json()
    password = "correct horse battery"
    world.post("/set-password", None, json={"token": invited["token"], "password": password})
    signed_in = world.post("/sign-in", None, json={"name": "poor-ann", "password": password}).json()
    answer = world.post("/jobs", signed_in["token"], json={**JOB, **big})
    assert answer.status_code == 402, answer.text
    assert answer.json()["code"] == "payment_required" and "¥" in answer.json()["detail"]


def test_uploads_and_their_limits(world: World) -> None:
    sent = world.post("/uploads?name=训练.csv", content=b"a,b\n1,2\n" * 100_000)
    assert sent.status_code == 201
    upload = sent.json()
    assert upload["size_bytes"] == 800_000 and upload["name"] == "训练.csv"
    assert world.get(f"/uploads/{upload['id']}").json() == upload
    assert upload in world.get("/uploads").json()["items"]
    for name in ("../x", "a/b", "", ".", "..", "a\\b", "x" * 300, "%00"):
        answer = world.post(f"/uploads?name={name}", content=b"x")
        assert answer.status_code == 422, (name, answer.text)
    empty = world.post("/uploads?name=empty", content=b"")
    assert empty.status_code == 201 and empty.json()["size_bytes"] == 0


def test_an_oversize_upload_is_refused_and_leaves_nothing(world: World) -> None:
    settings = world.runtime.settings
    before = sorted((world.data / "blobs").rglob("*"))
    object.__setattr__(settings, "upload_bytes_max", 1 << 20)
    try:
        answer = world.post("/uploads?name=big", content=b"x" * (2 << 20))
    finally:
        object.__setattr__(settings, "upload_bytes_max", 20 << 30)
    assert answer.status_code == 413, answer.text
    assert sorted((world.data / "blobs").rglob("*")) == before


def test_a_sender_that_breaks_off_leaves_nothing(world: World) -> None:
    before = sorted((world.data / "blobs").rglob("*"))
    messages: list[dict[str, object]] = [
        {"type": "http.request", "body": b"x" * 1000, "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, object]:
        return messages.pop(0) if len(messages) > 1 else messages[0]

    async def send(message: object) -> None:
        pass

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/api/v1/uploads",
        "raw_path": b"/api/v1/uploads",
        "query_string": b"name=half",
        "root_path": "",
        "headers": [(b"authorization", f"Bearer {world.keys['owner']}".encode())],
        "client": ("127.0.0.1", 1),
        "server": ("center", 80),
    }
    world.browser.run(create_api(world.center, world.services)(scope, receive, send))
    assert sorted((world.data / "blobs").rglob("*")) == before
    assert world.get("/uploads?limit=1").status_code == 200
