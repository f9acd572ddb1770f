"""Why a job waits: what really blocks it is named, with numbers and names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.world import World, a_world

WHOLE = {"accelerator": "H100", "count": 8, "cpus": 1, "memory_gib": 1}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("center")) as made:
        yield made


def _why(world: World, job: str, **headers: str) -> dict[str, Any]:
    world.step()
    world.step()
    found: dict[str, Any] = world.get(f"/jobs/{job}/why", headers=headers).json()
    return found


def _offers(world: World, body: dict[str, Any]) -> list[dict[str, Any]]:
    answer = world.post("/quotes", json=body)
    assert answer.status_code == 201, answer.text
    found: list[dict[str, Any]] = answer.json()["offers"]
    return found


def _end(world: World, *jobs: str) -> None:
    for job in jobs:
        world.post(f"/jobs/{job}/cancel")
        world.until(job, "cancelled", "succeeded", "failed")


def test_nodes_that_are_drained_are_named(world: World) -> None:
    nodes = [node["name"] for node in world.get("/nodes", "system").json()["items"]]
    for node in nodes:
        assert world.post(f"/nodes/{node}/drain", "system", json={}).status_code == 200
    job = world.submit(per_task=WHOLE, simulate="10h")
    found = _why(world, job)
    assert found["sentence"].startswith("All 2 matching nodes are drained. Number 1 of 1 in line.")
    assert (
        found["code"] == "capacity"
        and found["unblock"] == "It starts once enough of them are back in service"
    )
    assert [detail["constraint"] for detail in found["details"]] == ["out_of_service"]
    assert "均已排空" in _why(world, job, **{"accept-language": "zh"})["sentence"]
    assert world.post(f"/nodes/{nodes[0]}/undrain", "system").status_code == 200
    world.until(job, "running")
    second = world.submit(per_task=WHOLE, simulate="10h")
    found = _why(world, second)
    assert "It would fit now if nodes were back in service (drained: 1, unhealthy: 0)" in found["sentence"]
    assert "Not enough is free" in found["sentence"]
    assert world.post(f"/nodes/{nodes[1]}/undrain", "system").status_code == 200
    world.until(second, "running")
    third = world.submit(per_task=WHOLE, simulate="10h")
    assert "service" not in _why(world, third)["sentence"], "it waits for what runs"
    _end(world, job, second, third)


def test_a_limit_is_told_with_its_numbers_and_the_name_of_its_owner(world: World) -> None:
    wish = {"org": "acme", "resource": "cards", "maximum": 4}
    quota = world.send("PUT", "/quotas", "system", json=wish).json()
    job = world.submit(per_task=WHOLE, simulate="1s")
    found = _why(world, job)
    assert (
        found["sentence"].startswith("The limit of acme for cards is 4;")
        and "this needs 8" in found["sentence"]
    )
    assert "org_" not in found["sentence"] + str(found["details"])
    (listed,) = [one for one in world.get("/jobs?state=queued").json()["items"] if one["id"] == job]
    assert listed["reason"].startswith("The limit of acme for cards is 4;"), "the list says it with names too"
    world.send("DELETE", f"/quotas/{quota['id']}", "system")
    _end(world, job)


def test_a_start_time_is_named(world: World) -> None:
    job = world.submit(not_before="2100-01-02T03:04:05Z")
    found = _why(world, job)
    assert "2100-01-02T03:04:05" in found["sentence"] and found["start_likely"].startswith(
        "2100-01-02T03:04:05"
    )
    _end(world, job)


def test_offers_name_the_limit_that_blocks_them(world: World) -> None:
    body = {
        "workload": {"kind": "custom", "hours": 1, "accelerator": "H100-80G"},
        "job": {"command": ["true"], "name": "offered"},
    }
    wish = {"org": "acme", "resource": "cards", "maximum": 1}
    quota = world.send("PUT", "/quotas", "system", json=wish).json()
    job = world.submit(per_task=WHOLE | {"count": 1}, simulate="10h")
    world.until(job, "running")
    world.step()
    (offer, *_) = _offers(world, body)
    assert offer["start"]["why"].startswith("The limit of acme for "), offer["start"]
    world.send("DELETE", f"/quotas/{quota['id']}", "system")
    _end(world, job)


def test_the_rules_that_protect_running_jobs_are_named(world: World) -> None:
    held = [
        world.submit(per_task=WHOLE, simulate="10h"),
        world.submit(per_task=WHOLE, simulate="10h", preemptible=True),
    ]
    for job in held:
        world.until(job, "running")
    urgent = world.submit(per_task=WHOLE, simulate="1h", priority=5)
    found = _why(world, urgent)
    assert "not preemptible: 1; running for less than 10 min: 1" in found["sentence"]
    assert [detail["constraint"] for detail in found["details"]] == ["devices", "preemption"]
    assert "不可抢占：1" in _why(world, urgent, **{"accept-language": "zh"})["sentence"]
    same = world.submit(per_task=WHOLE, simulate="1h")
    found = _why(world, same)
    assert "preemptible" not in found["sentence"], "it does not count on stopping its equals"
    assert "not preemptible: 1; of the same or a higher priority: 1" in found["details"][-1]["message"]
    _end(world, *held, urgent, same)
