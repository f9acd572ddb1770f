"""The hub's rules where clients would not look: strangers, lies about content, wrong paths, gates and quotas."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from pearlstreet.hub.tables import access_requests
from pearlstreet.hub.xet.hashes import hash_text
from pearlstreet.hubapi.app import create_hub_api
from pearlstreet.store.audit import audit as audit_rows
from tests.api.world import Browser, World, a_world


class HubCaller:
    """Requests to the hub as somebody."""

    def __init__(self, world: World) -> None:
        self.world, self.browser = world, Browser(create_hub_api(world.center))

    def send(self, method: str, path: str, role: str = "owner", **options: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.world.keys.get(role, role)}"} | options.pop("headers", {})
        return self.browser.send(method, "/hf" + path, headers=headers, **options)

    def create(self, name: str, role: str = "owner", **body: Any) -> httpx.Response:
        org, _, short = name.partition("/")
        return self.send("POST", "/api/repos/create", role, json={"organization": org, "name": short, **body})

    def commit(
        self, name: str, *lines: tuple[str, Any], role: str = "owner", **header: Any
    ) -> httpx.Response:
        said = [{"key": "header", "value": {"summary": "change", **header}}]
        said += [{"key": key, "value": value} for key, value in lines]
        body = "\n".join(json.dumps(line) for line in said).encode()
        return self.send("POST", f"/api/models/{name}/commit/main", role, content=body)


def small(path: str, content: bytes = b"hello") -> tuple[str, Any]:
    return "file", {"path": path, "content": base64.b64encode(content).decode(), "encoding": "base64"}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubCaller]:
    with a_world(tmp_path_factory.mktemp("center")) as world:
        caller = HubCaller(world)
        assert caller.create("acme/secret").status_code == 200
        assert caller.commit("acme/secret", small("a.txt"), small("b/c.txt")).status_code == 200
        yield caller
        caller.browser.close()


def test_a_private_repository_does_not_exist_for_strangers(hub: HubCaller) -> None:
    for name in ("acme/secret", "acme/absent"):
        for path in (f"/api/models/{name}", f"/{name}/resolve/main/a.txt", f"/api/models/{name}/tree/main"):
            answer = hub.send("GET", path, "stranger")
            assert answer.status_code == 404 and answer.headers["x-error-code"] == "RepoNotFound", path
    assert hub.send("GET", "/api/models?author=acme", "stranger").json() == []
    assert hub.create("acme/mine", "stranger").status_code in (403, 404)
    assert hub.send("GET", "/api/models/acme/secret", "nobody").status_code == 401
    assert hub.commit("acme/secret", small("x"), role="viewer").status_code == 403
    assert hub.send("GET", "/api/models/acme/secret", "viewer").status_code == 200


def test_knowing_a_digest_is_not_having_the_file(hub: HubCaller) -> None:
    digest = hashlib.sha256(b"hello").hexdigest()
    hub.create("beta/own", "stranger")
    asked = {"operation": "upload", "transfers": ["basic"], "objects": [{"oid": digest, "size": 5}]}
    stranger = hub.send("POST", "/beta/own.git/info/lfs/objects/batch", "stranger", json=asked).json()
    assert "actions" in stranger["objects"][0], "another organisation's file must look absent"
    owner = hub.send("POST", "/acme/secret.git/info/lfs/objects/batch", json=asked).json()
    assert "actions" not in owner["objects"][0]
    stolen = ("lfsFile", {"path": "stolen.bin", "algo": "sha256", "oid": digest, "size": 5})
    assert hub.commit("beta/own", stolen, role="stranger").status_code == 422
    copied = ("lfsFile", {"path": "stolen.bin", "algo": "sha256", "oid": digest})
    assert hub.commit("beta/own", copied, role="stranger").status_code == 422


def test_a_link_takes_only_the_bytes_it_was_made_for(hub: HubCaller) -> None:
    digest = hashlib.sha256(b"right").hexdigest()
    asked = {"operation": "upload", "objects": [{"oid": digest, "size": 5}]}
    found = hub.send("POST", "/acme/secret.git/info/lfs/objects/batch", json=asked).json()
    link = found["objects"][0]["actions"]["upload"]["href"].partition("/hf")[2]
    assert hub.send("PUT", link, "none", content=b"wrong").status_code == 422
    assert hub.send("PUT", link, "none", content=b"right and more").status_code == 413
    assert (
        hub.send("PUT", link[:-1] + ("0" if link[-1] != "0" else "1"), "none", content=b"right").status_code
        == 401
    )
    assert hub.send("PUT", link, "none", content=b"right").status_code == 200


def test_a_shard_may_not_name_chunks_of_others(hub: HubCaller) -> None:
    import struct

    from pearlstreet.hub.xet.hashes import file_hash
    from pearlstreet.hub.xet.shard import build_dedup_shard
    from pearlstreet.hub.xet.xorb import parse_xorb
    from tests.unit.hub.test_xet import chunk

    hub.create("beta/own", "stranger")
    body = chunk(b"secret weights")
    xorb = parse_xorb(memoryview(body))
    name = hash_text(xorb.hash)

    def token(repo: str, role: str) -> str:
        return str(hub.send("GET", f"/api/models/{repo}/xet-write-token/main", role).json()["accessToken"])

    owner, stranger = token("acme/secret", "owner"), token("beta/own", "stranger")
    assert hub.send("POST", f"/xet/v1/xorbs/default/{'0' * 64}", owner, content=body).status_code == 422
    assert hub.send("POST", f"/xet/v1/xorbs/default/{name}", owner, content=body).json() == {
        "was_inserted": True
    }
    raw = file_hash([(xorb.chunks[0].hash, 14)])
    entry = raw + struct.pack("<IIQ", 0, 1, 0) + xorb.hash + struct.pack("<IIII", 0, 14, 0, 1)
    header = build_dedup_shard(bytes(32), 0, [], 0)[:48]
    shard = header + entry + b"\xff" * 32 + bytes(16)
    assert hub.send("POST", "/xet/v1/shards", stranger, content=shard).status_code == 422
    assert (
        hub.send("GET", f"/xet/v1/chunks/default/{hash_text(xorb.chunks[0].hash)}", stranger).status_code
        == 404
    )
    assert (
        hub.send("GET", f"/xet/v1/chunks/default/{hash_text(xorb.chunks[0].hash)}", owner).status_code == 200
    )
    lie = shard.replace(raw, bytes(32))
    assert hub.send("POST", "/xet/v1/shards", owner, content=lie).status_code == 422
    assert hub.send("POST", "/xet/v1/shards", owner, content=shard).json() == {"result": 1}
    digest = hashlib.sha256(b"secret weights").hexdigest()
    made = hub.commit(
        "acme/secret", ("lfsFile", {"path": "w.bin", "algo": "sha256", "oid": digest, "size": 14})
    )
    assert made.status_code == 200
    got = hub.send("GET", "/acme/secret/resolve/main/w.bin", headers={"range": "bytes=3-8"})
    assert (got.status_code, got.content, got.headers["content-range"]) == (206, b"ret we", "bytes 3-8/14")


def test_wrong_paths_and_bodies_change_nothing(hub: HubCaller) -> None:
    before = hub.send("GET", "/api/models/acme/secret").json()["sha"]
    for path in (
        "../x",
        "/etc/passwd",
        "a/../../x",
        "a//b",
        ".git/config",
        "con",
        "a\\b",
        "x\u202e",
        "a/",
        "",
        "a.txt/b",
    ):
        assert hub.commit("acme/secret", small(path)).status_code == 422, path
    for line in (("file", {"path": "x", "content": "%%", "encoding": "base64"}), ("wat", {}), ("file", 5)):
        assert hub.commit("acme/secret", line).status_code == 422
    assert hub.commit("acme/secret", small("README.md", b"---\na: [\n---\n")).status_code == 422
    assert hub.commit("acme/secret", small("y"), parentCommit="0" * 40).status_code == 412
    for body in (b"{", b"[]", b"\xff", b'{"name": 5}'):
        assert 400 <= hub.send("POST", "/api/repos/create", content=body).status_code < 500
    assert (
        hub.send("GET", "/acme/secret/resolve/main/a.txt", headers={"range": "bytes=99-"}).status_code == 416
    )
    assert hub.send("GET", "/api/models/acme/secret").json()["sha"] == before


def test_a_gate_opens_by_decision_and_a_revoked_key_ends_a_link(hub: HubCaller, tmp_path: Path) -> None:
    assert hub.create("acme/gated", visibility="public").status_code == 200
    assert hub.commit("acme/gated", small("a.txt")).status_code == 200
    settings = "/api/models/acme/gated/settings"
    assert hub.send("PUT", settings, "stranger", json={"gated": False}).status_code == 403
    assert hub.send("PUT", settings, json={"gated": "manual"}).status_code == 200
    file = "/acme/gated/resolve/main/a.txt"
    refused = hub.send("GET", file, "stranger")
    assert refused.status_code == 403 and refused.headers["x-error-code"] == "GatedRepo"
    assert hub.send("GET", "/api/models/acme/gated", "stranger").status_code == 200
    requests = "/api/models/acme/gated/user-access-request"
    assert hub.send("POST", requests, "stranger", json={"note": "please"}).json() == {"status": "pending"}
    assert [one["user"]["user"] for one in hub.send("GET", requests + "/pending").json()] == ["stranger"]
    assert (
        hub.send(
            "POST", requests + "/handle", "stranger", json={"user": "stranger", "status": "accepted"}
        ).status_code
        == 403
    )
    assert (
        hub.send("POST", requests + "/handle", json={"user": "stranger", "status": "accepted"}).status_code
        == 200
    )
    assert hub.send("GET", file, "stranger").content == b"hello"


def test_requests_are_decided_by_person_or_id_and_end_in_time(hub: HubCaller) -> None:
    assert hub.create("acme/licensed", visibility="public").status_code == 200
    card = b"---\nlicense: mit\n---\n"
    assert hub.commit("acme/licensed", small("README.md", card)).status_code == 200
    at = "/api/models/acme/licensed"
    for days in (-1, 1.5, True, "7", 10**9):
        assert hub.send("PUT", at + "/settings", json={"gateDays": days}).status_code == 422
    assert hub.send("PUT", at + "/settings", json={"gated": "manual", "gateDays": 7}).status_code == 200
    requests, file = at + "/user-access-request", "/acme/licensed/resolve/main/README.md"

    def decide(state: str, **who: str) -> int:
        return hub.send("POST", requests + "/handle", json={"status": state, **who}).status_code

    def listed(state: str) -> list[Any]:
        found: list[Any] = hub.send("GET", f"{requests}/{state}").json()
        return found

    assert decide("accepted", user="stranger") == 404 and decide("accepted", user="nobody-here") == 404
    assert hub.send("POST", requests, "stranger", json={"note": "for a course"}).status_code == 200
    assert hub.send("POST", requests, "stranger").status_code == 409
    waiting = listed("pending")[0]
    assert waiting["fields"] == {"note": "for a course"} and waiting["expires"] is None
    assert decide("maybe", user="stranger") == 422
    assert decide("accepted", requestId=waiting["requestId"]) == 200
    assert hub.send("GET", file, "stranger").content == card
    assert listed("accepted")[0]["expires"] > listed("accepted")[0]["timestamp"]
    again = hub.send("POST", requests, "stranger")
    assert again.json() == {"status": "accepted"}, "asking again must not end the access"
    assert hub.send("GET", file, "stranger").status_code == 200
    for state in ("pending", "rejected"):
        assert decide(state, user="stranger") == 200
        assert hub.send("GET", file, "stranger").headers["x-error-code"] == "GatedRepo"
        assert [one["user"]["user"] for one in listed(state)] == ["stranger"]
    assert hub.send("POST", requests, "stranger").status_code == 409
    grant = hub.send("POST", requests + "/grant", json={"user": "stranger"})
    assert grant.status_code == 200 and hub.send("GET", file, "stranger").status_code == 200

    ended = sa.update(access_requests).values(expires_us=access_requests.c.at_us)
    hub.world.center.store.write(lambda tx: tx.execute(ended))
    assert hub.send("GET", file, "stranger").headers["x-error-code"] == "GatedRepo"
    assert [one["expired"] for one in listed("accepted")] == [True]
    assert hub.send("POST", requests, "stranger").json() == {"status": "pending"}
    assert hub.send("PUT", at + "/settings", json={"gated": "auto"}).status_code == 200
    assert decide("rejected", user="stranger") == 200 and decide("pending", user="owner") == 404

    rows = hub.world.center.store.read(
        lambda tx: tx.rows(sa.select(audit_rows).where(audit_rows.c.action.like("hub.access.%")))
    )
    asked = [row["details"] for row in rows if row["action"] == "hub.access.request"]
    assert {"user", "licence", "state"} <= set(json.loads(asked[-1])), "which licence was accepted is kept"
    assert {row["action"] for row in rows} == {"hub.access.request", "hub.access.decide"}


def test_only_administrators_see_who_asked(hub: HubCaller) -> None:
    assert hub.create("acme/asked", visibility="public").status_code == 200
    assert hub.send("PUT", "/api/models/acme/asked/settings", json={"gated": "manual"}).status_code == 200
    requests = "/api/models/acme/asked/user-access-request"
    for role in ("stranger", "viewer", "member"):
        assert hub.send("GET", requests + "/pending", role).status_code == 403, role
        body = {"user": "stranger", "status": "accepted"}
        assert hub.send("POST", requests + "/handle", role, json=body).status_code == 403, role
        assert hub.send("POST", requests + "/grant", role, json=body).status_code == 403, role
    assert hub.send("POST", "/api/models/acme/secret/user-access-request", "stranger").status_code == 404
    assert hub.send("POST", "/api/models/acme/secret/user-access-request").status_code == 409
