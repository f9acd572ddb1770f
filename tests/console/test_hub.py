"""Repositories in the console: create, search, look at card and files; nothing in a card is interpreted."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import httpx

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


def test_files_are_sent_by_the_browser_the_card_is_edited_and_the_commit_shows_what_changed(
    console: Console,
) -> None:
    owner, place = console.visitor("owner"), "/hub/model/acme/sent"
    owner.post("/hub", "create", {"name": "sent", "type": "model", "visibility": "private"})
    form = {"token": owner.token(), "page_org": "acme"}

    def put(do: str, path: str, content: bytes, **more: str) -> httpx.Response:
        said = {**form, "do": do, "path": path, **more}
        return owner.send("POST", f"{place}/upload", data=said, files={"upload": (path, content)})

    kept = put("stage", "data/a.csv", b"a,b\n1,2\n").json()
    assert kept["path"] == "data/a.csv" and kept["size"] == 8
    assert "problem" in put("stage", "../a.csv", b"x").json()
    assert "problem" in put("stage", "README.md", b"---\na: [\n---\n").json()
    stolen = {**kept, "sha256": "0" * 64}
    assert (
        owner.post(
            f"{place}/upload", "commit", {"staged": json.dumps([stolen]), "branch": "main"}
        ).status_code
        == 422
    )
    done = owner.post(
        f"{place}/upload", "commit", {"staged": json.dumps([kept]), "branch": "main", "title": "Data"}
    )
    assert done.status_code == 303 and done.headers["location"] == f"{place}/files"
    assert "1 column" not in words(owner.get(f"{place}/file?path=data/a.csv"))
    assert "Preview" in words(owner.get(f"{place}/file?path=data/a.csv"))
    wrong = owner.post(f"{place}/edit", "save", {"card": "---\nlicense: 5\n---\n", "branch": "main"})
    assert wrong.status_code == 422 and "line 2" in words(wrong)
    card = {"card": "---\nlicense: mit\n---\n# One\n", "branch": "main"}
    assert owner.post(f"{place}/edit", "save", card).headers["location"] == place
    assert (
        owner.post(f"{place}/edit", "save", card | {"card": "---\nlicense: mit\n---\n# Two\n"}).status_code
        == 303
    )
    stale = owner.post(f"{place}/edit", "save", card | {"parent": "0" * 40})
    assert stale.status_code in (409, 412)
    shown = words(owner.get(f"{place}/commit?rev=main"))
    assert "-# One" in shown and "+# Two" in shown and "README.md" in shown and "a.csv" not in shown
    viewer = console.visitor("viewer")
    assert viewer.get(f"{place}/commit?rev=main").status_code == 200
    for page in ("upload", "edit", "settings"):
        assert viewer.get(f"{place}/{page}").status_code == 403


def test_settings_are_changed_by_administrators(console: Console) -> None:
    owner, place = console.visitor("owner"), "/hub/model/acme/set"
    owner.post("/hub", "create", {"name": "set", "type": "model", "visibility": "private"})
    to = f"{place}/settings"
    changed = {"visibility": "public", "gate": "manual", "gate_days": "30", "shared": ""}
    assert owner.post(to, "change", changed).status_code == 303
    stranger = console.visitor("stranger")
    assert stranger.post(place, "request", {"note": "for a course"}).status_code == 303
    assert "for a course" in words(owner.get(to))
    assert stranger.get(to).status_code == 403 and stranger.get(f"{place}/raw").status_code == 403
    assert owner.post(to, "accept", {"user": "stranger"}).status_code == 303
    assert stranger.get(f"{place}/raw").status_code == 404, "there is no card, and no gate any more"
    assert (
        owner.post(to, "create_ref", {"ref_kind": "tag", "ref_name": "v1", "at_rev": "main"}).status_code
        == 303
    )
    assert "v1" in words(owner.get(to))
    assert owner.post(to, "delete_ref", {"ref_kind": "tag", "ref_name": "v1"}).status_code == 303
    assert owner.post(to, "change", changed | {"gate_days": "many"}).status_code == 422
    assert (
        owner.post(to, "rename", {"new_name": "named"}).headers["location"]
        == "/hub/model/acme/named/settings"
    )
    place = "/hub/model/acme/named"
    assert owner.post(f"{place}/settings", "delete", {"typed": "named"}).status_code == 422
    assert owner.post(f"{place}/settings", "delete", {"typed": "acme/named"}).headers["location"] == "/hub"
    assert owner.get(place).status_code == 404


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
