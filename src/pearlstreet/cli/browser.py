"""Signing in with a browser: it is sent to the center's sign-in provider and comes back to a port of ours with a code.

The code opens nothing without the verifier that never leaves this process (RFC 8252, RFC 7636).
"""

from __future__ import annotations

import base64
import hashlib
import time
import webbrowser
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from pearlstreet.base.errors import InvalidInput, PearlError
from pearlstreet.base.rng import SystemRng
from pearlstreet.base.text import text
from pearlstreet.cli.output import err, say
from pearlstreet.cli.profile import connect

WITHIN_S = 300.0


def token_by_browser(url: str, provider: str | None, ca: str | None, *, within_s: float = WITHIN_S) -> str:
    """Return the token of a session that the person's browser signed in. Raises PearlError when nobody does in time."""
    verifier = base64.urlsafe_b64encode(SystemRng().token_bytes(32)).rstrip(b"=").decode()
    digest = hashlib.sha256(verifier.encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    with connect(url, ca=ca) as stranger:
        chosen = _provider([name for name in stranger.center()["sign_in"] if name != "password"], provider)
        with _Waiting() as waiting:
            query = urlencode({"port": waiting.port, "challenge": challenge})
            address = f"{url}/api/v1/oidc/{chosen}/start?{query}"
            err.print(say("Sign in in the browser: {address}", address=address), markup=False)
            webbrowser.open(address)
            code = waiting.code(within_s)
        return str(stranger.session.pick_up(code, verifier)["token"])


def _provider(known: list[str], wanted: str | None) -> str:
    if wanted is not None and wanted in known:
        return wanted
    names = ", ".join(known) or "-"
    if wanted is not None:
        raise InvalidInput(
            text("There is no sign-in provider {name}", name=wanted),
            hint=text("Providers are: {names}", names=names),
        )
    if len(known) != 1:
        raise InvalidInput(
            text("Say which sign-in provider: --provider NAME"),
            hint=text("Providers are: {names}", names=names),
        )
    return known[0]


class _Waiting:
    """A server on a port of loopback that takes one code."""

    def __init__(self) -> None:
        found: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            timeout = 5  # browsers open connections they may never use

            def do_GET(self) -> None:
                """The browser comes back."""
                code = parse_qs(urlsplit(self.path).query).get("code", [""])[0]
                self.send_response(200 if code else 404)
                self.send_header("Content-Type", "text/plain; charset=utf-8")
                self.send_header("Referrer-Policy", "no-referrer")
                self.end_headers()
                if code:
                    found.append(code)
                    self.wfile.write(say("You are signed in; go back to the terminal.").encode())

            def log_message(self, format: str, *args: object) -> None:
                """Log nothing, since the line would contain the sign-in code."""

        self._found = found
        self._server = HTTPServer(("127.0.0.1", 0), Handler)

    @property
    def port(self) -> int:
        """Port on which it listens."""
        return self._server.server_address[1]

    def code(self, within_s: float) -> str:
        """Return the code, once the browser brings it. Raises PearlError."""
        until = time.monotonic() + within_s
        while not self._found:
            self._server.timeout = max(0.0, until - time.monotonic())
            if not self._server.timeout:
                raise PearlError(text("Nobody signed in within {seconds} s", seconds=f"{within_s:g}"))
            self._server.handle_request()
        return self._found[0]

    def __enter__(self) -> _Waiting:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.server_close()
