"""Joining, leaving and the default organisation over HTTP, and what an organisation reads of its members."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import pytest

from tests.api.world import JOB, World, a_world

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("members")) as made:
        yield made


def person(world: World, name: str, **account: str) -> str:
    """A session of a new account of nobody's."""
    made = world.post("/users", "security", json={"name": name, **account}).json()
    world.post("/set-password", None, json={"token": made["token"], "password": PASSWORD})
    return str(world.post("/sign-in", None, json={"name": name, "password": PASSWORD}).json()["token"])


def invite(world: World, name: str, org: str = "acme", by: str = "owner", **more: str) -> str:
    answer = world.post(f"/orgs/{org}/invitations", by, json={"user": name, **more})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def test_nobody_is_added_without_agreeing(world: World) -> None:
    person(world, "bea")
    for role in ("owner", "security", "stranger"):
        answer = world.send("PUT", "/orgs/acme/members/bea", role, json={"role": "member"})
        assert answer.status_code == 404, answer.text
    assert "Invite" in world.send("PUT", "/orgs/acme/members/bea", json={"role": "member"}).json()["hint"]
    assert "bea" not in [row["user"] for row in world.get("/orgs/acme/members").json()["items"]]


def test_a_foreign_owner_redirects_no_job(world: World) -> None:
    """The attack: an owner of another organisation adds somebody, and their jobs, data and bills go there."""
    cid = person(world, "cid", org="acme")
    offer = invite(world, "cid", "beta", "stranger", role="viewer")
    assert world.get("/me", cid).json()["default_org"] == "acme"
    first = world.post("/jobs", cid, json=JOB).json()
    assert world.post(f"/invitations/{offer}/accept", cid).status_code == 200
    second = world.post("/jobs", cid, json=JOB).json()
    assert first["org_id"] == second["org_id"] == world.get("/orgs/acme").json()["id"]
    upload = world.post("/uploads?name=x", cid, content=b"mine")
    assert upload.status_code == 201 and upload.json()["id"] in world.get("/uploads?org=acme").text


def test_requests_without_a_default_are_refused_with_the_choices(world: World) -> None:
    dan = person(world, "dan", org="acme")
    world.post(f"/invitations/{invite(world, 'dan', 'beta', 'stranger', role='member')}/accept", dan)
    running = world.post("/jobs", dan, json={**JOB, "variables": {}}).json()["id"]
    assert world.post("/orgs/acme/leave", dan).json() == {"left": "acme"}
    for path, options in (
        ("/jobs", {"json": JOB}),
        ("/uploads?name=a", {"content": b"x"}),
        ("/what-ifs", {"json": {"policies": ["fifo"]}}),
        ("/quotes", {"json": {"workload": {"kind": "custom", "hours": 1, "accelerator": "H100-80G"}}}),
    ):
        answer = world.post(path, dan, **options)
        assert answer.status_code == 422 and "beta" in answer.text and "acme" not in answer.text, answer.text
    assert world.get("/me", dan).json()["default_org"] is None
    assert world.get(f"/jobs/{running}", dan).status_code == 404
    assert world.get(f"/jobs/{running}").json()["state"] not in ("cancelled", "failed"), "it is acme's"
    assert world.send("PUT", "/me/default-org", dan, json={"org": "acme"}).status_code == 404
    assert world.send("PUT", "/me/default-org", dan, json={"org": "beta"}).json() == {"default_org": "beta"}
    assert world.post("/jobs", dan, json=JOB).status_code == 201


def test_the_last_owner_is_told_what_to_do(world: World) -> None:
    answer = world.post("/orgs/beta/leave", "stranger")
    assert answer.status_code == 409 and "pearl orgs role USER owner" in answer.json()["hint"]


@pytest.mark.parametrize(
    "body", [{}, {"user": ""}, {"user": "x", "role": "emperor"}, {"user": 3}, {"user": "a@"}]
)
def test_bad_invitations_are_refused(world: World, body: dict[str, object]) -> None:
    answer = world.post("/orgs/acme/invitations", json=body)
    assert answer.status_code in (404, 422), answer.text


def test_an_organisation_reads_only_what_it_needs_of_a_member(world: World) -> None:
    """By contents: no address, no other organisation, no session and no key of the person's own in any answer."""
    eli = person(world, "eli", email="eli@private.example", display_name="Eli E.")
    for org, by in (("beta", "stranger"), ("acme", "owner")):
        world.post(f"/invitations/{invite(world, 'eli', org, by, role='member')}/accept", eli)
    me = world.get("/me", eli).json()
    own = world.post("/keys", eli, json={"label": "my laptop"}).json()
    tied = world.post("/keys", own["key"], json={"label": "acme ci", "org": "acme"}).json()
    job = world.post("/jobs?org=acme", eli, json=JOB).json()["id"]
    world.post("/jobs?org=acme", own["key"], json=JOB)
    world.post("/uploads?org=acme&name=f", eli, content=b"file")
    world.send("PUT", "/orgs/acme/secrets/E", eli, json={"value": "x"})
    world.post(f"/jobs/{job}/cancel", own["key"])
    world.step()
    beta = world.get("/orgs/beta", "stranger").json()["id"]
    private = (
        "private.example", beta, "my laptop", own["id"], own["id"].split("_")[1],
        me["session_id"], str(me["session_id"]).split("_")[1],
    )  # fmt: skip
    paths = (
        "/orgs/acme/members", "/orgs/acme/invitations?ended=true", "/users", "/users/eli", f"/users/{me['user']['id']}",
        "/keys?everyone=true", "/audit?org=acme&limit=500", "/jobs?org=acme", f"/jobs/{job}", f"/jobs/{job}/timeline", f"/jobs/{job}/attempts", "/uploads?org=acme",
        "/orgs/acme/secrets", "/quotes", "/notices", "/orgs/acme/statement", "/fair-share",
    )  # fmt: skip
    for path in paths:
        answer = world.get(path)
        assert answer.status_code == 200, (path, answer.text)
        for secret in private:
            assert secret not in answer.text, (path, secret)
    archive = gzip.decompress(world.get("/orgs/acme/export").content).decode(errors="replace")
    assert "eli" in archive
    assert [line for line in archive.splitlines() if any(secret in line for secret in private)] == []
    seen = {row["user"]: row for row in world.get("/orgs/acme/members").json()["items"]}["eli"]
    assert (seen["display_name"], seen["role"]) == ("Eli E.", "member") and seen["joined"]
    assert tied["id"] in world.get("/keys?everyone=true").text, "a key of the organisation is its business"
    assert world.get("/users/eli").json()["email"] is None
    assert world.get("/users/eli", "security").json()["email"] == "eli@private.example"
    assert world.get(f"/jobs/{job}").json()["owner"] == "eli"
