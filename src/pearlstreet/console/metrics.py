"""Prometheus metrics of the console: requests, latencies and open pages."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from prometheus_client import Counter, Gauge, Histogram
from starlette.requests import Request
from starlette.responses import Response

REQUESTS = Counter(
    "pearl_console_requests_total", "Pages and forms by method, page and status", ["method", "page", "status"]
)
SECONDS = Histogram(
    "pearl_console_seconds",
    "Time to answer a page request",
    ["method", "page"],
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
OPEN = Gauge("pearl_console_open_pages", "Open pages that listen for changes")

Handler = Callable[[Request], Awaitable[Response]]


def measured(page: str, handle: Handler) -> Handler:
    """Return the handler with metrics, labelled by the page's path pattern so that ids create no series."""

    async def counted(request: Request) -> Response:
        began = time.perf_counter()
        status = 500
        try:
            answer = await handle(request)
            status = answer.status_code
        finally:
            REQUESTS.labels(request.method, page, str(status)).inc()
            SECONDS.labels(request.method, page).observe(time.perf_counter() - began)
        return answer

    return counted
