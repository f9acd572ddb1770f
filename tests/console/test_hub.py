"""Repositories in the console: create, search, look at card and files; nothing in a card is interpreted."""

from __future__ import annotations

import base64

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
    assert page.status_code == 200 and "# Tiny" in words(page) and "deep/" in words(page)
    assert "<script>alert" not in page.text and 'href="javascript' not in page.text
    inner = owner.get("/hub/model/acme/tiny?folder=deep")
    assert "deep/a.txt" in words(inner)
    assert owner.get("/hub/model/acme/tiny?rev=absent").status_code == 404


def test_a_stranger_sees_no_private_repository(console: Console) -> None:
    stranger = console.visitor("stranger")
    console.visitor("owner").post(
        "/hub", "create", {"name": "own", "type": "dataset", "visibility": "private"}
    )
    assert stranger.get("/hub/dataset/acme/own").status_code == 404
    assert "acme/own" not in words(stranger.get("/hub"))
    assert console.visitor("owner").get("/hub/space/acme/own").status_code == 404
