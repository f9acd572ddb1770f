"""The API holds its word to whatever Schemathesis asks, by every role: no 5xx, every answer as the document says.

`make fuzz` asks 100,000 times, `make fuzz N=5000` fewer. What was found once is in cases.json, for every run of the tests.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from pearlstreet.api.app import all_routes
from tests.fuzz.fuzzing import Fuzzer, Report, fuzz
from tests.fuzz.served import ROLES, Served, served

REQUESTS = int(os.environ.get("PEARL_FUZZ_REQUESTS", "1000"))
SEED = int(os.environ.get("PEARL_FUZZ_SEED", "1"))
WORKERS = int(os.environ.get("PEARL_FUZZ_WORKERS", "1"))

NEVER = frozenset(
    {
        "GET /api/v1/oidc/{provider}/callback",
        "GET /api/v1/oidc/{provider}/start",
        "POST /api/v1/center/notices/preferences/confirm",
        "POST /api/v1/notices/preferences/confirm",
        "POST /api/v1/orgs/{org}/notices/preferences/confirm",
        "POST /api/v1/sign-in/terminal",
    }
)
"""Always refused there: there is neither a sign-in provider nor mail."""


@pytest.mark.slow
def test_the_api_holds_its_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def tell(line: str) -> None:
        with capsys.disabled():
            print(line, flush=True)

    report = fuzz(tmp_path, REQUESTS, SEED, tell, WORKERS)
    tell(str(report))
    assert report.total >= REQUESTS
    assert not report.findings, "\n".join(str(finding) for finding in report.findings.values())
    for role in ROLES:
        missed = {f"{route.method} {route.path}" for route in all_routes()} - {
            operation for asker, operation in report.asked if asker == role
        }
        assert not missed, f"never asked by {role}: {sorted(missed)}"
    if REQUESTS < 20_000:
        return  # too few to say more
    refused = {operation for operation in report.operations if not report.reached[operation]}
    assert refused <= NEVER, f"always refused: {sorted(refused - NEVER)}"


class _Lying:
    """An API with three mistakes in it."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        status, body = {
            "/api/v1/me": (500, b"{}"),
            "/api/v1/sessions": (200, b'{"items": [{"id": 7}]}'),
            "/api/v1/center": (202, b"{}"),
        }.get(scope["path"], (0, b""))
        if not status:
            await self._app(scope, receive, send)
            return
        headers = [
            (b"content-type", b"application/json"),
            (b"x-request-id", b"1"),
            (b"x-content-type-options", b"nosniff"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def test_planted_mistakes_are_found(tmp_path: Path) -> None:
    with served(tmp_path) as center:
        _settled_keys(center)
        center.count.app = _Lying(center.count.app)
        report = Report()
        only = {"GET /api/v1/me", "GET /api/v1/sessions", "GET /api/v1/center"}
        Fuzzer(center, report, random.Random(1), only)._singles(30)
    found = {operation: finding.what for (operation, _), finding in report.findings.items()}
    assert set(found) == only, found
    whats = " ".join(finding.what for finding in report.findings.values())
    assert "although nothing is down" in whats
    assert "schema" in whats
    assert "Undocumented" in whats


def test_stories_go_on_to_their_end(tmp_path: Path) -> None:
    with served(tmp_path) as center:
        report = Report()
        Fuzzer(center, report, random.Random(1))._stories()
    assert not report.findings, "\n".join(str(finding) for finding in report.findings.values())
    for story in (
        "POST /api/v1/credit/{top_up}/approve",
        "POST /api/v1/quotes/{quote}/accept",
        "POST /api/v1/sign-in",
        "DELETE /api/v1/scheduling/windows/{window}",
        "DELETE /api/v1/storage/retention",
        "DELETE /api/v1/uploads/{upload}",
        "PUT /api/v1/artefacts/{artefact}",
        "DELETE /api/v1/artefacts/{artefact}",
        "GET /api/v1/artefacts/{artefact}",
    ):
        assert center.count.reached[story], story


def _settled_keys(center: Served) -> None:
    assert all(center.credential(role) for role in ROLES if role != "anonymous")
