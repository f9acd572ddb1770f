"""HTTP client for URLs that users give: connects only to a checked address, follows no redirects, limits size and time.

The SSRF guard `check_outgoing` resolves the host and returns the permitted addresses. The connection goes to one of them,
whatever the name resolves to later (DNS rebinding). The certificate is checked against the host name.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache

import httpx

from pearlstreet.base.urls import DEFAULT_PORTS, CheckedUrl

TIMEOUT_S = 10.0
"""Time limit in seconds for connecting and for each read."""
WITHIN_S = 20.0
"""Time limit in seconds for the whole request, against responses that arrive byte by byte."""


LATE = "it took too long"


class NoAnswer(Exception):
    """No usable response arrived. The message is short and contains nothing of the response."""


def resolve(host: str) -> Sequence[str]:
    """Return the addresses of a host by the machine's resolver."""
    return sorted({str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)})


def send(
    method: str,
    target: CheckedUrl,
    *,
    headers: Mapping[str, str],
    content: bytes | None = None,
    most_bytes: int,
    timeout_s: float = TIMEOUT_S,
    within_s: float = WITHIN_S,
) -> tuple[int, bytes]:
    """Send one request over a new connection; returns the status and body. Raises NoAnswer."""
    connection = http.client.HTTPConnection(target.host, target.port)
    sent = {"Host": _host(target), "Connection": "close", **headers}
    late = threading.Event()
    try:
        with _connected(target, timeout_s, within_s, late) as line:
            connection.sock = line
            connection.request(method, target.url.target, body=content, headers=sent)
            answer = connection.getresponse()
            body = answer.read(most_bytes + 1)
            status = answer.status
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NoAnswer(LATE if late.is_set() else _problem(error)) from error
    if late.is_set():  # a truncated response may look complete
        raise NoAnswer(LATE)
    if len(body) > most_bytes:
        raise NoAnswer("the answer is too long")
    return status, body


@contextmanager
def _connected(
    target: CheckedUrl, timeout_s: float, within_s: float, late: threading.Event
) -> Iterator[socket.socket]:
    """Connect to the checked address; a timer shuts the connection down after `within_s` and sets `late`."""
    line = socket.create_connection((target.addresses[0], target.port), timeout_s)
    lines = [line]
    cut = threading.Timer(within_s, lambda: _cut(lines[-1], late))
    cut.daemon = True
    cut.start()
    try:
        if target.url.scheme == "https":
            lines.append(
                _trusted().wrap_socket(line, server_hostname=target.host, do_handshake_on_connect=False)
            )
            lines[-1].do_handshake()  # type: ignore[attr-defined]
        yield lines[-1]
    finally:
        cut.cancel()
        lines[-1].close()


def _cut(line: socket.socket, late: threading.Event) -> None:
    late.set()
    with contextlib.suppress(OSError):
        socket.socket.shutdown(line, socket.SHUT_RDWR)


@cache
def _trusted() -> ssl.SSLContext:
    """Return a TLS context with the certificate authorities of the HTTP library and of this machine."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context


def _host(target: CheckedUrl) -> str:
    shown = f"[{target.host}]" if ":" in target.host else target.host
    return shown if DEFAULT_PORTS.get(target.url.scheme) == target.url.port else f"{shown}:{target.url.port}"


def _problem(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not right: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return LATE
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
