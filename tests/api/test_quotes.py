"""Quotes over HTTP: asked, accepted once, compared; what is wrong is named by field; nobody else's business."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.world import World

TUNING = {"model": {"name": "Llama 3.1 8B"}, "tokens": 1e7, "mode": "full"}
JOB = {"command": ["python", "train.py"], "name": "tune", "simulate": "30s"}


def asked(world: World, role: str = "owner", **body: Any) -> dict[str, Any]:
    answer = world.post("/quotes", role, json={"workload": TUNING, "job": JOB, **body})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def test_ask_accept_run_compare(world: World) -> None:
    quote = asked(world)
    assert (quote["state"], quote["job_id"]) == ("open", None)
    offer = next(one for one in quote["offers"] if "cheapest" in one["names"])
    assert float(offer["price"]["p10"]) < float(offer["price"]["median"]) < float(offer["price"]["p90"])
    assert offer["start"]["basis"] == "free"
    found = world.post(f"/quotes/{quote['id']}/accept", json={"offer": "cheapest"})
    assert found.status_code == 201, found.text
    job = found.json()["job"]
    assert job["spec"] == offer["job"]
    assert job["quote_id"] == quote["id"]
    world.until(job["id"], "succeeded", within_s=60)
    rows = world.get(f"/quotes/{quote['id']}/comparison").json()["rows"]
    assert {row["measure"] for row in rows if row["actual"] is not None} >= {
        "elapsed_s",
        "price_yuan",
        "it_kwh",
    }
    again = world.post(f"/quotes/{quote['id']}/accept", json={"offer": "cheapest"})
    assert again.status_code == 409
    assert job["id"] in again.json()["detail"]


def test_a_repeated_request_is_answered_as_the_first_was(world: World) -> None:
    quote = asked(world)
    once = {"idempotency-key": "accept-once"}
    first, second = (
        world.post(f"/quotes/{quote['id']}/accept", json={"offer": "1"}, headers=once) for _ in range(2)
    )
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json() == first.json()
    world.post(f"/jobs/{first.json()['job']['id']}/cancel")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"workload": {**TUNING, "tokens": -1}}, "workload.tokens"),
        ({"workload": {**TUNING, "model": {"name": "Lama 9"}}}, "workload.model.name"),
        ({"workload": {**TUNING, "kind": "dance"}}, "workload.kind"),
        ({"workload": {**TUNING, "speed": 1}}, "workload.speed"),
        ({"job": {"command": "x", "time_limit": "1h"}}, "job.time_limit"),
        ({"job": {"comand": "x"}}, "job.comand"),
        ({"wanted": {"accelerators": ["Z9000"]}}, "wanted.accelerators[0]"),
        ({"wanted": {"hypothetical": "lots"}}, "wanted.hypothetical"),
        ({"wanted": {"count": 0}}, "wanted.count"),
    ],
)
def test_what_is_wrong_is_named_by_field(world: World, body: dict[str, Any], field: str) -> None:
    answer = world.post("/quotes", json={"workload": TUNING, "job": JOB, **body})
    assert answer.status_code == 422, answer.text
    assert field in [problem["field"] for problem in answer.json()["problems"]]


def test_lists_are_paged_and_filtered(world: World) -> None:
    for _ in range(3):
        asked(world)
    page = world.get("/quotes?limit=2&state=open").json()
    assert len(page["items"]) == 2
    rest = world.get(f"/quotes?limit=2&cursor={page['next_cursor']}").json()["items"]
    assert rest[0]["id"] < page["items"][1]["id"]
    assert world.get("/quotes?state=withdrawn").json()["items"] == []
    gone = world.send("DELETE", f"/quotes/{page['items'][0]['id']}")
    assert gone.json()["state"] == "withdrawn"
    assert [one["id"] for one in world.get("/quotes?state=withdrawn").json()["items"]] == [gone.json()["id"]]


def test_a_viewer_looks_and_a_stranger_sees_nothing(world: World) -> None:
    quote = asked(world)
    assert world.get(f"/quotes/{quote['id']}", "viewer").status_code == 200
    assert world.post(f"/quotes/{quote['id']}/accept", "viewer", json={"offer": "1"}).status_code == 403
    assert world.post("/quotes", "viewer", json={"workload": TUNING}).status_code == 403
    assert world.get(f"/quotes/{quote['id']}", "stranger").status_code == 404
    assert world.get("/quotes", "stranger").json()["items"] == []


def test_a_rule_of_thumb_and_the_calibration(world: World) -> None:
    (rule,) = world.get("/quotes/scenarios").json()["items"]
    found = world.get(f"/quotes/scenarios/{rule['name']}?mfu=0.5&accelerator=H100").json()
    assert found["tokens"] == pytest.approx(360e9)
    assert world.get(f"/quotes/scenarios/{rule['name']}?mfu=7").status_code == 422
    assert world.get("/quotes/scenarios/2t").status_code == 404
    assert world.send("DELETE", "/calibration").status_code == 403
    assert world.send("DELETE", "/calibration", "system").status_code == 200
    assert world.get("/calibration", "viewer").json() == {"items": []}
