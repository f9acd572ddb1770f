"""Previews by the interfaces: kept by content, shown to those who may download, and summed up for each repository."""

from __future__ import annotations

import base64
import json
import pickle
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from pearlstreet.hub.collector import collect
from pearlstreet.hub.preview import service
from pearlstreet.hub.preview.inspector import inspect
from pearlstreet.hub.tables import contents, previews, repo_contents
from tests.api.test_hub import HubCaller
from tests.api.world import World, a_world
from tests.unit.hub.test_previews import Runs

HEAD = json.dumps({"w": {"dtype": "F16", "shape": [3, 5], "data_offsets": [0, 30]}}).encode()
FILES = {
    "labels.csv": "标签,值\n数,1\n".encode(),
    "model.safetensors": struct.pack("<Q", len(HEAD)) + HEAD + bytes(30),
    "old.pt": pickle.dumps(Runs()),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("center")) as made:
        hub = HubCaller(made)
        hub.create("acme/seen", visibility="public")
        lines = [
            ("file", {"path": path, "content": base64.b64encode(content).decode(), "encoding": "base64"})
            for path, content in FILES.items()
        ]
        assert hub.commit("acme/seen", *lines).status_code == 200
        hub.browser.close()
        yield made


def test_a_file_is_read_once_for_all_who_may_download_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = "/hub/model/acme/seen/preview?file_path=labels.csv"
    first = world.get(place).json()
    assert first["kind"] == "table" and first["facts"]["rows"] == [["数", 1]]

    def never(*arguments: object) -> None:
        raise AssertionError("it is kept")

    monkeypatch.setattr(service, "run_preview", never)
    assert world.get(place, "stranger").json() == first
    assert world.get("/hub/model/acme/seen/preview?file_path=absent").status_code == 404


def test_the_repository_tells_parameters_and_pickles(world: World) -> None:
    center = world.center
    assert inspect(center.store, center.hub) is False
    repo = world.get("/hub/model/acme/seen").json()["repository"]
    assert repo["parameters"] == 15
    assert repo["pickles"] == [
        {"path": "old.pt", "rating": "dangerous", "imports": ["posix.system"], "is_complete": True}
    ]
    hub = HubCaller(world)
    info = hub.send("GET", "/api/models/acme/seen?securityStatus=true").json()
    assert info["safetensors"] == {"parameters": {"F16": 15}, "total": 15}
    issues = info["securityRepoStatus"]["filesWithIssues"]
    assert issues == [{"path": "old.pt", "level": "unsafe"}]
    hub.browser.close()


def test_gated_and_jobs_only_repositories_refuse_previews(world: World) -> None:
    place, preview = "/hub/model/acme/seen", "/hub/model/acme/seen/preview?file_path=labels.csv"
    for settings in ({"gate": "manual"}, {"gate": "", "jobs_only": True}):
        assert world.send("PATCH", place, json=settings).status_code == 200
        assert world.get(preview, "stranger").status_code == 403
        assert world.get(preview).status_code == 200
    world.send("PATCH", place, json={"jobs_only": False})


def test_a_preview_goes_with_its_content(world: World, tmp_path: Path) -> None:
    store = world.center.store
    world.get("/hub/model/acme/seen/preview?file_path=labels.csv")
    kept = store.read(lambda tx: tx.scalar(sa.select(sa.func.count()).select_from(previews)))
    collect(store, world.center.hub)
    assert store.read(lambda tx: tx.scalar(sa.select(sa.func.count()).select_from(previews))) == kept
    assert world.send("DELETE", "/hub/model/acme/seen").status_code == 200
    store.write(
        lambda tx: tx.execute(
            sa.delete(contents).where(contents.c.sha256.not_in(sa.select(repo_contents.c.sha256)))
        )
    )
    collect(store, world.center.hub)
    assert store.read(lambda tx: tx.scalar(sa.select(sa.func.count()).select_from(previews))) == 0
