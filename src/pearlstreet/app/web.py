"""Which door answers what: machines under /api, /health and /metrics, people everywhere else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pearlstreet.api.app import create_api
from pearlstreet.center import Center
from pearlstreet.console.app import create_console

MACHINE_PATHS = ("/health", "/metrics")
MACHINE_PREFIX = "/api/"


DAY_S = 86_400


def create_web(center: Center, *, https_only_days: float = 0) -> ASGIApp:
    """The API and the console of one center on one address.

    `https_only_days`: how long a browser that reached it by HTTPS is told to come by HTTPS only (RFC 6797); 0: not told.
    """
    api, console = create_api(center), create_console(center)
    promise = f"max-age={round(https_only_days * DAY_S)}".encode()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        to_api = path.startswith(MACHINE_PREFIX) or path in MACHINE_PATHS or scope["type"] != "http"
        # Over plain HTTP the header must not be sent: anybody on the way could have written it (RFC 6797, 7.2).
        if https_only_days > 0 and scope.get("scheme") == "https":
            send = _promising(promise, send)
        await (api if to_api else console)(scope, receive, send)

    return app


def _promising(promise: bytes, send: Send) -> Callable[[Message], Awaitable[None]]:
    async def with_promise(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"strict-transport-security", promise)]
        await send(message)

    return with_promise
