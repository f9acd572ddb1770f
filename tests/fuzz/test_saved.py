"""Requests that once got a wrong answer, asked again of a real center; `make fuzz` prints a finding in this form."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.world import World, a_world

CASES = json.loads(Path(__file__).with_name("cases.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("center")) as made:
        made.submit()
        yield made


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["why"])
def test_what_was_found_once_stays_right(world: World, case: dict[str, Any]) -> None:
    headers = dict(case.get("headers", {}))
    if case["as"] != "anonymous":
        headers["authorization"] = f"Bearer {world.keys[case['as']]}"
    body = base64.b64decode(case["body_base64"]) if "body_base64" in case else case.get("body", "").encode()
    answer = world.browser.send(case["method"], case["path"], headers=headers, content=body)
    assert answer.status_code == case["status"], answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code
    if "allow" in case:
        assert answer.headers["allow"] == case["allow"]
    if "says" in case:
        assert case["says"] in answer.text
