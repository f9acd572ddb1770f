"""Which door answers what: machines under /api, /health and /metrics, people everywhere else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pearlstreet.api.app import UNLIMITED, create_api
from pearlstreet.api.problem import respond
from pearlstreet.base.errors import TooMany
from pearlstreet.center import Center
from pearlstreet.console.app import create_console
from pearlstreet.http.addresses import address_key
from pearlstreet.http.request_body import BodyBudget, HeldBody
from pearlstreet.http.request_limiter import RequestLimiter

MACHINE_PATHS = ("/health", "/metrics")
MACHINE_PREFIX = "/api/"
BODILESS = ("GET", "HEAD")
"""Methods whose bodies are read by nobody."""
DAY_S = 86_400


def create_web(center: Center, *, https_only_days: float = 0, requests_per_address: int = 0) -> ASGIApp:
    """The API and the console of one center on one address.

    `requests_per_address`: how many may be answered at the same time; 0: as many as it has connections.

    `https_only_days`: how long a browser that reached it by HTTPS is told to come by HTTPS only (RFC 6797); 0: not told.
    """
    api, console = create_api(center), create_console(center)
    budget = BodyBudget()
    limiter = RequestLimiter(requests_per_address) if requests_per_address else None
    promise = f"max-age={round(https_only_days * DAY_S)}".encode()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        to_api = path.startswith(MACHINE_PREFIX) or path in MACHINE_PATHS or scope["type"] != "http"
        # Over plain HTTP the header must not be sent: anybody on the way could have written it (RFC 6797, 7.2).
        if https_only_days > 0 and scope.get("scheme") == "https":
            send = _promising(promise, send)
        await limited(api if to_api else console, scope, receive, send)

    async def limited(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        host = scope["client"][0] if scope.get("client") else "-"
        address = address_key(host)
        body = None
        if scope["method"] not in BODILESS and scope["path"] not in UNLIMITED:
            body = receive = HeldBody(receive, budget, address)
        if limiter is not None:
            try:
                limiter.enter(address, host)
            except TooMany as error:
                await respond(Request(scope), error)(scope, receive, send)
                return
        try:
            await app(scope, receive, send)
        finally:
            if body is not None:
                body.close()
            if limiter is not None:
                limiter.leave(address)

    return app


def _promising(promise: bytes, send: Send) -> Callable[[Message], Awaitable[None]]:
    async def with_promise(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"strict-transport-security", promise)]
        await send(message)

    return with_promise
