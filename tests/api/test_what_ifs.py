"""What-if questions: asked, played in a process of their own, answered; refused, stopped, and nobody else's business."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from pearlstreet.base.clock import to_rfc3339
from tests.api.world import World, a_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("center")) as made:
        card = {"accelerator": "H100", "count": 1, "cpus": 1, "memory_gib": 1}
        jobs = [made.submit(per_task=card, simulate="5s", time_limit="10m") for _ in range(3)]
        for job in jobs:
            made.until(job, "succeeded")
        yield made


def _answered(world: World, question: str, role: str = "owner") -> dict[str, Any]:
    ends = time.monotonic() + 300
    while True:
        for loop in world.loops:
            if loop.name == "what_ifs":
                loop.step(world.center.store)
        found: dict[str, Any] = world.get(f"/what-ifs/{question}", role).json()
        if found["state"] not in ("waiting", "running"):
            return found
        assert time.monotonic() < ends, found


def test_a_tenant_asks_what_more_cards_and_another_policy_would_do(world: World) -> None:
    body = {"days": 7, "policies": ["fifo"], "extra": "1x8xH100-80G"}
    made = world.post("/what-ifs", json=body)
    assert made.status_code == 201, made.text
    assert made.json()["state"] == "waiting"
    found = _answered(world, made.json()["id"])
    assert (found["state"], found["message"]) == ("done", None)
    result = found["result"]
    assert result["jobs"] == 3
    assert [case["cards"] for case in result["cases"]] == [16, 16, 24, 24]
    assert all(case["measures"]["times"]["jobs"] == 3 for case in result["cases"])
    assert "fifo" in result["cases"][1]["name"]
    assert made.json()["id"] in [one["id"] for one in world.get("/what-ifs").json()["items"]]


def test_operators_ask_of_all_and_others_see_nothing_of_it(world: World) -> None:
    made = world.post("/what-ifs", "system", json={"policies": ["shortest"]}).json()
    assert _answered(world, made["id"], "system")["result"]["jobs"] == 3
    assert world.get(f"/what-ifs/{made['id']}").status_code == 404
    mine = world.post("/what-ifs", json={"cluster": "1x2xH100-80G"}).json()
    assert world.get(f"/what-ifs/{mine['id']}", "stranger").status_code == 404
    assert world.get("/what-ifs", "stranger").json()["items"] == []
    assert world.send("DELETE", f"/what-ifs/{mine['id']}", "stranger").status_code == 404
    assert world.send("DELETE", f"/what-ifs/{mine['id']}").json()["state"] == "stopped"


def test_what_cannot_be_played_is_refused_at_its_field(world: World) -> None:
    wrong = {"policies": ["fifi", "order=fifo,dept=3"], "extra": "many", "cluster": "9999x8xH100-80G"}
    answer = world.post("/what-ifs", json=wrong)
    assert answer.status_code == 422
    assert {one["field"] for one in answer.json()["problems"]} == {"policies", "extra", "cluster"}
    assert world.post("/what-ifs", json={}).status_code == 422
    asked = [world.post("/what-ifs", json={"policies": ["fifo"]}) for _ in range(3)]
    assert [one.status_code for one in asked] == [201, 201, 429]
    for one in asked[:2]:
        world.send("DELETE", f"/what-ifs/{one.json()['id']}")


def test_a_question_of_nothing_says_so(world: World) -> None:
    made = world.post("/what-ifs", "stranger", json={"policies": ["fifo"]}).json()
    found = _answered(world, made["id"], "stranger")
    assert found["state"] in ("done", "failed")
    assert found["message"] or found["result"]["jobs"] == 0


def _waits(found: dict[str, Any]) -> list[float]:
    assert (found["state"], found["message"]) == ("done", None)
    return [case["measures"]["times"]["p99_queue_s"] for case in found["result"]["cases"]]


def test_it_starts_from_the_limits_there_are_and_supposes_others(world: World) -> None:
    """Three jobs of five seconds each, sent together, on one card at once: they wait for each other."""
    wish = {"org": "acme", "resource": "cards", "maximum": 1}
    quota = world.send("PUT", "/quotas", "system", json=wish).json()
    try:
        body = {"days": 7, "quotas": ["acme:cards,off"], "queues": ["default,rank=3"]}
        for role in ("owner", "system"):
            made = world.post("/what-ifs", role, json=body)
            assert made.status_code == 201, made.text
            assert made.json()["question"]["quotas"] == body["quotas"]
            limited, free = _waits(_answered(world, made.json()["id"], role))
            assert free == 0 < limited
    finally:
        world.send("DELETE", f"/quotas/{quota['id']}", "system")


def test_it_supposes_maintenance_and_fewer_machines(world: World) -> None:
    node = world.get("/nodes", "system").json()["items"][0]
    kind = f"1x{len(node['devices'])}x{node['devices'][0]['model']}"
    held = f"maintenance,nodes={'|'.join(n['name'] for n in world.get('/nodes').json()['items'])},for=20s,known=0s"
    made = world.post("/what-ifs", json={"less": kind, "windows": [held]}).json()
    found = _answered(world, made["id"])
    assert [case["cards"] for case in found["result"]["cases"]] == [16, 16, 8, 8]
    waits = _waits(found)
    assert waits[0] < 10 < waits[1]


def test_a_window_that_was_counts_in_its_days(world: World) -> None:
    """Maintenance that the center really had, in the played days: nothing started there while it lasted."""
    now_us = world.center.store.clock.now_us()
    wish = {
        "kind": "reservation",
        "org": "beta",
        "nodes": [node["name"] for node in world.get("/nodes", "system").json()["items"]],
        "from": to_rfc3339(now_us),
        "until": to_rfc3339(now_us + 3_600_000_000),
        "reason": "kept",
    }
    window = world.post("/scheduling/windows", "system", json=wish)
    assert window.status_code == 201, window.text
    card = {"accelerator": "H100", "count": 1, "cpus": 1, "memory_gib": 1}
    job = world.submit(per_task=card, simulate="5s", time_limit="10m")
    world.step()
    assert world.get(f"/jobs/{job}").json()["state"] == "queued"
    world.send("DELETE", f"/scheduling/windows/{window.json()['id']}", "system")
    world.until(job, "succeeded")
    made = world.post("/what-ifs", json={"policies": ["fifo"]}).json()
    assert max(_waits(_answered(world, made["id"]))) > 0, "it waited for the end of the window, as it did"


def test_what_cannot_be_supposed_is_refused_at_its_field(world: World) -> None:
    def fields(body: dict[str, Any], role: str = "owner") -> set[str]:
        answer = world.post("/what-ifs", role, json=body)
        assert answer.status_code == 422, answer.text
        return {one["field"] for one in answer.json()["problems"]}

    wrong = {"quotas": ["cards"], "queues": ["x,order=fifi"], "windows": ["closed"]}
    assert fields(wrong) == {"quotas", "queues", "windows"}
    gone = {
        "less": "9x8xH100",
        "windows": ["maintenance,nodes=nowhere"],
        "quotas": ["nobody:cards,maximum=1"],
    }
    assert fields(gone) == {"less", "windows", "quotas"}
    assert fields({"quotas": ["acme:cards,maximum=1"]}, "stranger") == {"quotas"}, "not theirs"
    many = {"policies": ["fifo", "las", "gittins"], "less": "1x8xH100", "quotas": ["acme:cards,maximum=1"]}
    assert fields(many) == {"policies"}
    assert fields({"windows": ["maintenance,nodes=h100-0001"] * 9}) == {"windows"}


def test_running_and_waiting_jobs_are_replayed_beside_what_really_happened(world: World) -> None:
    whole = {"accelerator": "H100", "count": 8, "cpus": 1, "memory_gib": 1}
    open_ones = [world.submit(per_task=whole, simulate="10h", time_limit="20h") for _ in range(3)]
    try:
        for job in open_ones[:2]:
            world.until(job, "running")
        later = world.submit(per_task=whole, not_before="2100-01-01T00:00:00Z")
        made = world.post("/what-ifs", json={"days": 7, "policies": ["fifo"], "extra": "1x8xH100-80G"}).json()
        result = _answered(world, made["id"])["result"]
        actual = result["actual"]
        assert (actual["running"], actual["waiting"]) == (2, 1) and actual["ended"] >= 3
        assert result["jobs"] == actual["ended"] + 3, "the one that wants to start in 2100 is left out"
        assert 0 < actual["use"] <= 1
        for language in ("en", "zh-CN"):
            names = [name for name, _ in actual["figures"][language]]
            assert all([name for name, _ in column] == names for column in result["figures"][language])
        shown = dict(actual["figures"]["en"])
        assert shown["Jobs that ended"] == str(actual["ended"]) and shown["Makespan"] == "–"
        assert shown["Use of cards until the question was asked"].endswith(" %")
        assert result["differs"], "with more nodes the waiting job does not wait"
        same = world.post("/what-ifs", json={"days": 7, "policies": ["name=twin"]}).json()
        assert not _answered(world, same["id"])["result"]["differs"]
    finally:
        for job in [*open_ones, later]:
            world.post(f"/jobs/{job}/cancel")


def test_a_failure_of_ours_is_not_called_too_large_a_question(
    world: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The worker ends with an error: the message blames no limit, and the log has the error's text."""
    monkeypatch.setattr("pearlstreet.compute.whatif.loop.WORKER", "pearlstreet.no_such_module")
    made = world.post("/what-ifs", json={"policies": ["fifo"]}).json()
    found = _answered(world, made["id"])
    assert (found["state"], found["message"]) == ("failed", "The center could not answer it")
    assert "no_such_module" in "".join(capfd.readouterr())
