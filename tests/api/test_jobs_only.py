"""A data set that is used in jobs only: who may use it, and that nothing of it leaves the jobs that read it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.test_hub import HubCaller, small
from tests.api.world import JOB, World, a_world

REPO = "/hub/model/acme/patients"
READS = {"inputs": {"DATA": {"model": "acme/patients"}}}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("center")) as made:
        assert made.post("/hub", json={"name": "acme/patients", "visibility": "public"}).status_code == 201
        hub = HubCaller(made)
        assert hub.commit("acme/patients", small("a.txt", b"secret lines")).status_code == 200
        assert made.send("PATCH", REPO, json={"jobs_only": True}).status_code == 200
        yield made
        hub.browser.close()


def ask(world: World, role: str, org: str, **body: Any) -> Any:
    return world.post(REPO + "/approvals", role, json={"org": org, "reason": "a study", **body})


def decide(world: World, state: str, role: str = "owner", **body: Any) -> Any:
    wanted = {"project": "beta/default", "state": state, **body}
    return world.send("PUT", REPO + "/approvals", role, json=wanted)


def submit(world: World, role: str = "stranger", **changes: Any) -> Any:
    return world.post("/jobs", role, json={**JOB, **READS, **changes})


def test_files_go_only_to_those_who_administer_it(world: World) -> None:
    hub = HubCaller(world)
    for role in ("member", "viewer", "stranger"):
        for path in ("/acme/patients/resolve/main/a.txt", "/api/models/acme/patients/xet-read-token/main"):
            assert hub.send("GET", path, role).status_code == 403, (role, path)
        assert world.get(REPO + "/preview?file_path=a.txt", role).status_code == 403, role
    assert hub.send("GET", "/acme/patients/resolve/main/a.txt", "owner").status_code in (200, 302)
    hub.browser.close()


def test_a_project_needs_an_approval_that_is_in_force(world: World) -> None:
    for role in ("owner", "stranger"):
        refused = submit(world, role)
        assert refused.status_code == 403 and "approved" in refused.text, refused.text
    assert ask(world, "viewer", "acme").status_code == 403
    assert ask(world, "stranger", "acme").status_code in (403, 404)
    assert ask(world, "stranger", "beta").json()["state"] == "pending"
    assert ask(world, "stranger", "beta").status_code == 409
    assert decide(world, "approved", "stranger").status_code == 403
    assert decide(world, "approved", "member").status_code == 403
    assert submit(world).status_code == 403
    assert decide(world, "rejected").status_code == 200
    assert submit(world).status_code == 403
    assert decide(world, "approved", days=1).json()["expires_at"] is not None
    assert submit(world, network="internet").status_code == 422
    assert "has one task" in submit(world, tasks=2).text
    assert submit(world).status_code == 201
    seen = world.get(REPO + "/approvals", "stranger").json()["items"]
    assert [(one["project"], one["state"]) for one in seen] == [("beta/default", "approved")]
    assert world.get(REPO + "/approvals", "viewer").json()["items"] == []
    kinds = [row["action"] for row in world.get("/audit", "audit").json()["items"]]
    assert kinds.count("hub.approval.decide") == 2 and "hub.approval.request" in kinds


def test_everything_that_such_a_job_writes_is_withheld(world: World) -> None:
    decide(world, "approved")
    outputs = [{"path": "**", "model": "beta/stolen"}]
    job = submit(world, simulate="1s", outputs=outputs).json()["id"]
    found = world.until(job, "succeeded", role="stranger")
    assert "acme/patients" in found["withheld"] and "withheld" in found["withheld"]
    for path in ("logs", "metrics", "artefacts", "checkpoints", "logs?follow=true"):
        for role in ("stranger", "system"):
            assert world.get(f"/jobs/{job}/{path}", role).status_code == 403, (path, role)
    assert world.post(f"/jobs/{job}/shells", "stranger", json={"command": ["true"]}).status_code == 403
    ends = time.monotonic() + 10
    while True:
        world.step()
        (read, made) = world.get(f"/jobs/{job}", "stranger").json()["revisions"]
        if made["state"] != "waiting":
            break
        assert time.monotonic() < ends
    assert (read["repository"], read["direction"]) == ("acme/patients", "input")
    assert (made["state"], made["commit"]) == ("withheld", None)
    assert world.get("/hub/model/beta/stolen", "stranger").json()["commit"]["files"] == 0
    assert world.send("DELETE", REPO).status_code == 409


def test_a_queued_job_whose_approval_is_revoked_does_not_start(world: World) -> None:
    decide(world, "approved")
    job = submit(world).json()["id"]
    assert decide(world, "revoked").status_code == 200
    found = world.until(job, "failed", role="stranger")
    assert "DATA" in found["reason"] and "approved" in found["reason"], found["reason"]
