"""Repositories by the REST API and by the client: what each role may do, and that files come back as they were sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pearlstreet.base.errors import InvalidInput
from pearlstreet.client.hub import RepoName
from pearlstreet.hub.preview.inspector import inspect
from tests.api.test_hub import HubCaller, small
from tests.api.world import World, a_world

REPO = "/hub/model/acme/tiny"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("center")) as made:
        answer = made.post("/hub", "member", json={"name": "acme/tiny"})
        assert answer.status_code == 201, answer.text
        hub = HubCaller(made)
        card = b"---\nlicense: mit\ntags: [vision]\n---\n# Tiny\n"
        said = hub.commit("acme/tiny", small("README.md", card), small("data/a.txt"), small("data/b/c.txt"))
        assert said.status_code == 200, said.text
        yield made
        hub.browser.close()


def test_members_create_and_viewers_only_see(world: World) -> None:
    assert world.post("/hub", "viewer", json={"name": "acme/other"}).status_code == 403
    assert world.post("/hub", "member", json={"name": "acme/tiny"}).status_code == 409
    assert world.post("/hub", "member", json={"name": "acme/../x"}).status_code == 422
    seen = world.get(REPO, "viewer").json()
    assert seen["rights"] == {"download": True, "write": False, "admin": False}
    assert seen["repository"]["tags"] == ["vision", "license:mit"] and seen["commit"]["files"] == 3
    assert world.send("DELETE", REPO, "viewer").status_code == 403
    assert world.send("PATCH", REPO, "viewer", json={"visibility": "public"}).status_code == 403


def test_for_strangers_a_private_repository_does_not_exist(world: World) -> None:
    for path in ("", "/files", "/revisions", "/access", "/downloads"):
        assert world.get(REPO + path, "stranger").status_code == 404, path
    assert world.get("/hub", "stranger").json()["items"] == []
    role = {"user": "stranger", "role": "admin"}
    assert world.send("PUT", REPO + "/roles", "stranger", json=role).status_code == 404


def test_folders_are_listed_a_page_at_a_time(world: World) -> None:
    first = world.get(REPO + "/files?limit=1", "viewer").json()
    rest = world.get(f"{REPO}/files?limit=1&cursor={first['next_cursor']}", "viewer").json()
    assert [row["path"] for row in first["items"] + rest["items"]] == ["README.md", "data"]
    assert rest["next_cursor"] is None and rest["items"][0]["is_folder"]
    deep = world.get(REPO + "/files?recursive=true&folder=data", "viewer").json()["items"]
    assert [row["path"] for row in deep] == ["data/a.txt", "data/b/c.txt"]
    assert world.get(REPO + "/files?folder=absent", "viewer").status_code == 404


def test_tags_keep_a_revision_and_a_name_is_used_once(world: World) -> None:
    body = {"kind": "tag", "name": "v1", "message": "first"}
    assert world.post(REPO + "/refs", "member", json=body).status_code == 201
    assert world.post(REPO + "/refs", "member", json=body).status_code == 409
    assert world.get(REPO + "?revision=v1", "viewer").json()["commit"]["number"] == 2
    assert world.get(REPO + "?revision=v9", "viewer").status_code == 404
    gone = world.send("DELETE", REPO + "/refs?ref_kind=tag&ref_name=v1", "member")
    assert gone.status_code == 200, gone.text
    main = world.send("DELETE", REPO + "/refs?ref_kind=branch&ref_name=main", "member")
    assert main.status_code == 409


def test_the_names_that_people_write() -> None:
    assert RepoName.parse("datasets/acme/corpus@v1") == RepoName("dataset", "acme", "corpus", "v1")
    assert RepoName.parse("acme/tiny").type == "model"
    for wrong in ("tiny", "spaces/acme/x", "a/b/c/d", "/"):
        with pytest.raises(InvalidInput):
            RepoName.parse(wrong)


def test_settings_and_roles_are_changed_by_admins(world: World, tmp_path: Path) -> None:
    made = world.send("PATCH", REPO, "owner", json={"gate": "manual", "gate_days": 3, "jobs_only": True})
    assert made.status_code == 200 and made.json()["gate_days"] == 3
    assert world.send("PATCH", REPO, "owner", json={"gate": "", "jobs_only": False}).status_code == 200
    access = world.get(REPO + "/access", "owner").json()
    assert [row["role"] for row in access["roles"]] == ["admin"]
    assert (
        world.send("PUT", REPO + "/roles", "owner", json={"user": "nobody9", "role": "read"}).status_code
        == 404
    )


def test_a_card_is_found_in_chinese_by_its_text_and_facts(tmp_path: Path) -> None:
    with a_world(tmp_path / "center") as made:
        caller = HubCaller(made)
        caller.create("acme/digits", visibility="public")
        card = "---\nlicense: apache-2.0\nlanguage: zh\npipeline_tag: image-classification\n---\n# 手写数字识别\n"
        assert caller.commit("acme/digits", small("README.md", card.encode())).status_code == 200
        assert [one["name"] for one in made.get("/hub?language=zh&licence=apache-2.0").json()["items"]] == [
            "acme/digits"
        ]
        inspect(made.center.store, made.center.hub)
        for query in (
            "search=数字识别",
            "search=digit",
            "task=image-classification&sort=downloads",
            "tag=zh",
        ):
            found = made.get(f"/hub?{query}", "stranger").json()["items"]
            assert [one["name"] for one in found] == ["acme/digits"], query
        assert made.get("/hub?search=数识").json()["items"] == []
        for query in (
            "search=手写",
            "filter=zh",
            "filter=license:apache-2.0&sort=downloads",
            "pipeline_tag=image-classification",
        ):
            assert [one["id"] for one in caller.send("GET", f"/api/models?{query}").json()] == [
                "acme/digits"
            ], query
        assert made.send("PATCH", "/hub/model/acme/digits", json={"name": "acme/numbers"}).status_code == 200
        assert (
            made.get("/hub?search=numbers").json()["items"]
            and not made.get("/hub?search=digits").json()["items"]
        )
        inspect(made.center.store, made.center.hub)
        assert made.get("/hub?search=数字识别").json()["items"][0]["name"] == "acme/numbers"
        assert made.send("DELETE", "/hub/model/acme/numbers").status_code == 200
        caller.browser.close()
