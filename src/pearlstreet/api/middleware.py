"""ASGI middleware of the API: request ids, rate limits, body limits, metrics and security headers."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import structlog
from fastapi import Request
from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pearlstreet.api.problem import respond
from pearlstreet.api.request_inputs import BODY_LIMIT_BYTES, too_large
from pearlstreet.base.clock import Clock
from pearlstreet.base.errors import InvalidInput, PearlError, Problem
from pearlstreet.base.ids import encode
from pearlstreet.base.rng import Rng
from pearlstreet.base.text import text
from pearlstreet.http.rate_limiter import RateDecision, RateLimiter
from pearlstreet.http.request_body import check_encoding

SIGN_IN_BODY_BYTES = 64 << 10
REQUESTS = Counter(
    "pearl_api_requests_total", "Answers by method, route and status", ["method", "route", "status"]
)
SECONDS = Histogram(
    "pearl_api_seconds",
    "Time to answer",
    ["method", "route"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
log = structlog.get_logger("access")


def request_numbers(clock: Clock, rng: Rng) -> Callable[[], str]:
    """Return a generator of request ids. They are not secret, so a counter from a random start avoids a system call each."""
    counter = itertools.count(int.from_bytes(rng.token_bytes(7), "big"))

    def fresh() -> str:
        return f"req_{encode((clock.now_us() // 1000) << 80 | 0x7 << 76 | next(counter) & (1 << 62) - 1)}"

    return fresh


class ApiMiddleware:
    """The middleware, as plain ASGI because it wraps streams too."""

    def __init__(
        self, app: ASGIApp, *, unlimited: tuple[str, ...], numbers: Callable[[], str], limiter: RateLimiter
    ) -> None:
        """`unlimited`: paths that limit the size of their body themselves; `numbers`: generator of request ids."""
        self._app = app
        self._limiter = limiter
        self._unlimited = unlimited
        self._numbers = numbers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self._numbers()
        scope.setdefault("state", {})["request_id"] = request_id
        began = time.perf_counter()
        answered: dict[str, int] = {"status": 500}
        taken = self._limiter.take(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered["status"] = message["status"]
                _add_headers(message, request_id, taken)
            await send(message)

        try:
            if taken is not None and taken.wait_s > 0:
                await respond(Request(scope), taken.refusal)(scope, receive, send_with_headers)
            elif (refusal := self._refusal(scope)) is not None:
                await respond(Request(scope), refusal)(scope, receive, send_with_headers)
            elif scope["path"] in self._unlimited:
                await self._app(scope, receive, send_with_headers)
            else:
                await self._app(scope, _Limited(receive, self._body_limit(scope)), send_with_headers)
        finally:
            _measure(scope, answered["status"], time.perf_counter() - began)

    def _body_limit(self, scope: Scope) -> int:
        """Return the limit of the body in bytes; it is lower at sign-in, where callers are not authenticated."""
        return SIGN_IN_BODY_BYTES if self._limiter.is_sign_in(scope["path"]) else BODY_LIMIT_BYTES

    def _refusal(self, scope: Scope) -> PearlError | None:
        """Return the error of a request that no route accepts, or None."""
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            message = text("The request contains a NUL character")
            return InvalidInput(message, problems=[Problem("url", message)])
        encoded = check_encoding(scope)
        if encoded is not None:
            return encoded
        limit = self._body_limit(scope)
        too_long = _declared(scope) > limit and scope["path"] not in self._unlimited
        return too_large(limit) if too_long else None


class _Limited:
    """A receive channel that raises TooLarge beyond the limit, since chunked bodies declare no length."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = self._left = limit

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise too_large(self._limit)
        return message


def _declared(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


def _add_headers(message: Message, request_id: str, taken: RateDecision | None) -> None:
    headers = list(message.get("headers", ()))
    present = {name.lower() for name, _ in headers}
    headers += [(name, value) for name, value in _HEADERS if name not in present]
    headers.append((b"x-request-id", request_id.encode()))
    if taken is not None:
        headers += taken.headers
    message["headers"] = headers


def _measure(scope: Scope, status: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", "-")
    REQUESTS.labels(scope["method"], route, str(status)).inc()
    SECONDS.labels(scope["method"], route).observe(seconds)
