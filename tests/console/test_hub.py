"""Repositories in the console: create, search, look at card and files; nothing in a card is interpreted."""

from __future__ import annotations

import base64
import hashlib
import json
import re

from tests.api.test_hub import HubCaller
from tests.console.visitors import Console, words

CARD = "---\nlicense: mit\ntags: [vision]\n---\n# Tiny\n<script>alert(1)</script> [x](javascript:alert(2))\n"


def test_a_repository_is_created_found_and_shown(console: Console) -> None:
    owner = console.visitor("owner")
    made = owner.post("/hub", "create", {"name": "tiny", "type": "model", "visibility": "private"})
    assert made.status_code == 303 and made.headers["location"] == "/hub/model/acme/tiny", words(made)
    hub = HubCaller(console.world)
    lines = [
        ("file", {"path": path, "content": base64.b64encode(content).decode(), "encoding": "base64"})
        for path, content in (("README.md", CARD.encode()), ("deep/a.txt", b"hello"))
    ]
    assert hub.commit("acme/tiny", *lines).status_code == 200
    hub.browser.close()
    listed = owner.get("/hub?q=vision&type=model")
    assert "acme/tiny" in words(listed) and "acme/tiny" not in words(owner.get("/hub?q=nothing"))
    page = owner.get("/hub/model/acme/tiny")
    assert page.status_code == 200 and '<h2 id="card-tiny">Tiny</h2>' in page.text and "mit" in words(page)
    assert "<script>alert" not in page.text and 'href="javascript' not in page.text
    assert "deep/" in words(owner.get("/hub/model/acme/tiny/files"))
    assert "a.txt" in words(owner.get("/hub/model/acme/tiny/files?folder=deep"))
    for tab in ("history", "lineage"):
        assert owner.get(f"/hub/model/acme/tiny/{tab}").status_code == 200
    assert owner.get("/hub/model/acme/tiny?rev=absent").status_code == 404


def test_a_wrong_front_matter_is_named_with_its_line_and_the_card_is_still_shown(console: Console) -> None:
    owner = console.visitor("owner")
    owner.post("/hub", "create", {"name": "wrong", "type": "model", "visibility": "private"})
    put_large(console, "acme/wrong", {"README.md": b"---\nlicense: mit\ntags: [a\n---\n# Still here\n"})
    page = owner.get("/hub/model/acme/wrong")
    assert "Still here" in words(page) and re.search(r"line \d", words(page)), words(page)


def test_files_are_shown_only_as_images_or_sound_and_never_as_pages(console: Console) -> None:
    owner = console.visitor("owner")
    owner.post("/hub", "create", {"name": "media", "type": "dataset", "visibility": "public"})
    image = b"\x89PNG\r\n\x1a\n" + b"0" * 50
    files = {
        "a.png": image,
        "fake.png": b"<html><script>alert(1)</script>",
        "x.svg": b"<svg onload=alert(1)>",
        "x.html": b"<b>",
    }
    put_large(console, "acme/media", files, kind="datasets")
    for path, kind in (("a.png", "image/png"), ("fake.png", "application/octet-stream"), ("x.svg", "app")):
        raw = owner.get(f"/hub/dataset/acme/media/raw?path={path}")
        assert raw.status_code == 200 and raw.content == files[path], path
        assert raw.headers["content-type"].startswith(kind), path
        shown = raw.headers["content-disposition"].startswith("inline")
        assert shown == (path == "a.png")
        assert raw.headers["content-security-policy"] == "default-src 'none'; sandbox"
        assert raw.headers["x-content-type-options"] == "nosniff"
    page = owner.get("/hub/dataset/acme/media/file?path=a.png")
    assert page.status_code == 200 and "a.png" in words(page)
    assert owner.get("/hub/dataset/acme/media/file?path=no").status_code == 404
    gated = {"gated": "manual"}
    hub = HubCaller(console.world)
    assert hub.send("PUT", "/api/datasets/acme/media/settings", json=gated).status_code == 200
    hub.browser.close()
    stranger = console.visitor("stranger")
    assert stranger.get("/hub/dataset/acme/media").status_code == 200
    assert stranger.get("/hub/dataset/acme/media/raw?path=a.png").status_code == 403


def put_large(console: Console, name: str, files: dict[str, bytes], kind: str = "models") -> None:
    """Commit files whose bytes the hub does not look at when they arrive."""
    hub = HubCaller(console.world)
    lines = []
    for path, content in files.items():
        oid = hashlib.sha256(content).hexdigest()
        asked = {
            "operation": "upload",
            "transfers": ["basic"],
            "objects": [{"oid": oid, "size": len(content)}],
        }
        batch = hub.send("POST", f"/{kind}/{name}.git/info/lfs/objects/batch", json=asked).json()
        if "actions" in batch["objects"][0]:
            place = batch["objects"][0]["actions"]["upload"]["href"].partition("/hf")[2]
            assert hub.send("PUT", place, content=content).status_code == 200
        lines.append(("lfsFile", {"path": path, "algo": "sha256", "oid": oid, "size": len(content)}))
    said = [{"key": "header", "value": {"summary": "add"}}]
    said += [{"key": key, "value": value} for key, value in lines]
    body = "\n".join(json.dumps(line) for line in said).encode()
    assert hub.send("POST", f"/api/{kind}/{name}/commit/main", content=body).status_code == 200
    hub.browser.close()


def test_a_stranger_sees_no_private_repository(console: Console) -> None:
    stranger = console.visitor("stranger")
    console.visitor("owner").post(
        "/hub", "create", {"name": "own", "type": "dataset", "visibility": "private"}
    )
    assert stranger.get("/hub/dataset/acme/own").status_code == 404
    assert "acme/own" not in words(stranger.get("/hub"))
    assert console.visitor("owner").get("/hub/space/acme/own").status_code == 404
