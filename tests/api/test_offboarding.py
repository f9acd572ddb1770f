"""Offboarding through the REST API: an owner exports the data, an operator closes the tenant."""

from __future__ import annotations

import io
import tarfile

from tests.api.world import World


def test_an_owner_takes_the_data_away_and_nobody_else_of_it(world: World) -> None:
    answer = world.send("GET", "/orgs/acme/export", role="owner")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/gzip"
    assert 'filename="acme-export.tar.gz"' in answer.headers["content-disposition"]
    with tarfile.open(fileobj=io.BytesIO(answer.content), mode="r:gz") as tar:
        assert {"README.txt", "organisation.json", "jobs.jsonl", "CONTENTS.json"} <= set(tar.getnames())
    assert world.send("GET", "/orgs/acme/export", role="member").status_code == 403
    assert world.send("GET", "/orgs/acme/export", role="stranger").status_code == 404
    assert world.send("GET", "/orgs/nobody/export", role="system").status_code == 404


def test_an_operator_ends_a_tenant(world: World) -> None:
    assert world.send("POST", "/orgs/acme/close", role="owner").status_code == 403
    assert world.send("GET", "/orgs/acme/closing", role="system").status_code == 404
    asked = world.send("POST", "/orgs/acme/close", json={"reason": "moved away"}, role="system")
    assert (asked.status_code, asked.json()["phase"]) == (202, "stopping")
    refused = world.send("GET", "/me", role="owner")
    assert (refused.status_code, refused.json()["detail"]) == (401, "The organisation acme is closed")
    assert world.send("GET", "/me", role="stranger").status_code == 200
    for loop in world.loops:
        if loop.name == "close_orgs":
            loop.step(world.center.store)
    ended = world.send("GET", "/orgs/acme/closing", role="system").json()
    assert ended["phase"] == "closed"
    assert ended["archive"]["name"].startswith("acme-org_")
    assert ended["reason"] == ""
    archive = world.send("GET", "/orgs/acme/export", role="system")
    assert len(archive.content) == ended["archive"]["size_bytes"]
    assert world.send("GET", "/orgs/acme", role="system").json()["state"] == "closed"
    again = world.send("POST", "/orgs", json={"slug": "acme"}, role="system")
    assert again.status_code == 409
