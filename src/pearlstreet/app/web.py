"""Routes requests: /api, /health and /metrics go to the API, /hf to the hub, all other paths to the console."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pearlstreet.api.app import PREFIX as API_PREFIX
from pearlstreet.api.app import UNLIMITED, create_api
from pearlstreet.api.problem import respond
from pearlstreet.base.errors import TooMany
from pearlstreet.base.services import Services
from pearlstreet.center import Center
from pearlstreet.console.app import create_console
from pearlstreet.http.addresses import address_key
from pearlstreet.http.rate_limiter import RateLimiter
from pearlstreet.http.request_body import BodyBudget, HeldBody
from pearlstreet.http.request_limiter import RequestLimiter
from pearlstreet.hubapi.app import create_hub_api
from pearlstreet.hubapi.call import PREFIX as HUB_PREFIX

MACHINE_PATHS = ("/health", "/metrics")
MACHINE_PREFIX = "/api/"
BODILESS = ("GET", "HEAD")
"""Methods whose request bodies are not read."""
DAY_S = 86_400


def create_web(
    center: Center, services: Services, *, https_only_days: float = 0, requests_per_address: int = 0
) -> ASGIApp:
    """Return the API and the console of one center on one address.

    `requests_per_address`: maximum number of concurrent requests of one address; 0: no limit but its connections.

    `https_only_days`: days of the HSTS header sent to browsers that use HTTPS (RFC 6797); 0: no header.
    """
    rates = RateLimiter(center.rates, center.store.clock, API_PREFIX, (HUB_PREFIX,))
    api, console = create_api(center, services, rates), create_console(center, services)
    hub = create_hub_api(center, rates)
    budget = BodyBudget()
    limiter = RequestLimiter(requests_per_address) if requests_per_address else None
    promise = f"max-age={round(https_only_days * DAY_S)}".encode()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        to_api = path.startswith(MACHINE_PREFIX) or path in MACHINE_PATHS or scope["type"] != "http"
        # RFC 6797, 7.2 forbids the header over plain HTTP, where any middlebox could have added it.
        if https_only_days > 0 and scope.get("scheme") == "https":
            send = _promising(promise, send)
        to_hub = scope["type"] == "http" and path.startswith(HUB_PREFIX + "/")
        await limited(hub if to_hub else api if to_api else console, scope, receive, send)

    async def limited(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        host = scope["client"][0] if scope.get("client") else "-"
        address = address_key(host)
        body = None
        if scope["method"] not in BODILESS and scope["path"] not in UNLIMITED and app is not hub:
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
