"""Signing in with a browser, against a center that checks what it must check."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from pearlstreet.base.errors import InvalidInput, PearlError
from pearlstreet.cli import browser


@pytest.fixture
def center(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """Its sign-in provider is campus; a code opens a session with the verifier of the challenge it was asked with."""
    monkeypatch.setenv("PEARL_CONFIG", str(tmp_path / "profiles.toml"))
    asked: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/api/v1/oidc/campus/start"):
                query = parse_qs(urlsplit(self.path).query)
                asked["challenge"] = query["challenge"][0]
                self.send_response(303)
                self.send_header("Location", f"http://127.0.0.1:{query['port'][0]}/?code=the-code")
                self.end_headers()
            else:
                self._answer(200, {"sign_in": ["password", "campus"]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            digest = hashlib.sha256(body["verifier"].encode()).digest()
            right = base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == asked.get("challenge")
            good = right and body["code"] == "the-code"
            self._answer(201 if good else 401, {"token": "pearl_session", "detail": "no"})

        def _answer(self, status: int, value: object) -> None:
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_browser_comes_back_with_a_code_and_the_program_has_the_session(
    center: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages: list[str] = []

    def walk(address: str) -> None:
        with urllib.request.urlopen(address) as page:
            pages.append(page.read().decode())

    def opened(address: str) -> bool:
        threading.Thread(target=walk, args=(address,), daemon=True).start()
        return True

    monkeypatch.setattr(browser.webbrowser, "open", opened)
    assert browser.token_by_browser(center, None, None) == "pearl_session"


def test_nobody_is_waited_for_without_end(center: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser.webbrowser, "open", lambda _: False)
    with pytest.raises(PearlError, match="Nobody signed in"):
        browser.token_by_browser(center, "campus", None, within_s=0.2)


def test_an_unknown_provider_is_answered_with_the_known_ones(center: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        browser.token_by_browser(center, "elsewhere", None)
    assert "campus" in str(caught.value.hint)
