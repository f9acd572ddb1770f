"""Starts the OpenID Connect provider of this folder as a process, installing it into a cache folder first."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.engines.npm import installed

HERE = Path(__file__).parent
REDIRECT_URI = "http://127.0.0.1:9/callback"
CLIENT_ID = "pearl"
CLIENT_SECRET = "a secret: with/signs+"
START_WITHIN_S = 20.0


@dataclass(frozen=True)
class RunningProvider:
    """A provider that answers."""

    issuer: str
    redirect_uri: str = REDIRECT_URI

    def sign_in(self, authorization_url: str, as_user: str) -> dict[str, str]:
        """What a browser does: follow the redirects as `as_user` until the callback; its query."""
        address = f"{authorization_url}&login_hint={as_user}"
        with httpx.Client(trust_env=False, timeout=10) as browser:
            for _ in range(12):
                answer = browser.get(address)
                assert answer.status_code in (302, 303), answer.text
                address = str(httpx.URL(address).join(answer.headers["location"]))
                if address.startswith(self.redirect_uri):
                    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        raise AssertionError("the provider never came back to the callback")


@contextmanager
def running_provider(redirect_uri: str = REDIRECT_URI) -> Iterator[RunningProvider]:
    """A provider that sends browsers back to `redirect_uri`, on a free port of loopback. Skips when node and npm are absent or it cannot be installed."""
    folder = installed(HERE, ("package.json", "package-lock.json", "provider.mjs"), "oidc-provider")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / f"log-{port}"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["node", "provider.mjs", str(port), redirect_uri], cwd=folder, stdout=out, stderr=out
        )
    try:
        _wait_for(port, process, log)
        yield RunningProvider(f"http://127.0.0.1:{port}", redirect_uri)
    finally:
        process.terminate()
        process.wait(10)
        log.unlink(missing_ok=True)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"the OpenID Connect provider did not start:\n{log.read_text(errors='replace')[-2000:]}")
