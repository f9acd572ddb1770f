"""The REST API as one FastAPI app. A new noun is one module in routes/, which is found there."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.routing import compile_path

from pearlstreet import __version__
from pearlstreet.api import problem, routes
from pearlstreet.api.log_streams import LogStreams
from pearlstreet.api.middleware import ApiMiddleware, request_numbers
from pearlstreet.api.models import ERRORS, ProblemDocument
from pearlstreet.api.openapi import document
from pearlstreet.api.routes import prices, system
from pearlstreet.api.routing import API_PREFIX, RouteFacts, SecuredRouter, in_thread
from pearlstreet.base.services import Services
from pearlstreet.center import Center
from pearlstreet.http.rate_limiter import RateLimiter
from pearlstreet.services.jobs import JobsService

PREFIX = API_PREFIX
FIRST = "jobs"
"""Module whose routes are tried first, because routes are tried in order and submits are the hot path."""


def _routers() -> Iterator[SecuredRouter]:
    """Return the routers of all modules in routes/, without the one outside the API's prefix."""
    names = (module.name for module in iter_modules(routes.__path__))
    for name in sorted(names, key=lambda name: (name != FIRST, name)):
        found = vars(import_module(f"{routes.__name__}.{name}")).values()
        yield from (one for one in found if isinstance(one, SecuredRouter) and one is not system.root_router)


ROUTERS: tuple[SecuredRouter, ...] = tuple(_routers())
UNBOUND = (ProblemDocument, prices.PricesIn)
"""Models that FastAPI does not find: bodies accepted in more than one format, and errors."""
UNLIMITED = (f"{PREFIX}/uploads",)
"""Paths that limit the size of their body themselves."""


def create_api(center: Center, services: Services, limiter: RateLimiter | None = None) -> FastAPI:
    """Return the app that serves one center. Raises RuntimeError for a route that names a service which the center lacks.

    `limiter`: rate limits that the API shares with other apps of the center; None: its own.
    """
    for router in (*ROUTERS, system.root_router):
        for kind in router.services:
            services.get(kind)
    app = _bare_app(center.version)
    app.state.center = center
    app.state.services = services
    app.state.log_streams = LogStreams(services.get(JobsService))
    app.state.health = system.HealthCheck(center.store)
    problem.install(app, _methods_at)
    numbers = request_numbers(center.store.clock, center.store.rng)
    limiter = limiter or RateLimiter(center.rates, center.store.clock, PREFIX)
    app.add_middleware(ApiMiddleware, unlimited=UNLIMITED, numbers=numbers, limiter=limiter)
    _mount_routes(app)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    app.add_route(f"{PREFIX}/openapi.json", _openapi_route(app), include_in_schema=False)
    return app


def _bare_app(version: str) -> FastAPI:
    return FastAPI(
        title="Pearlstreet",
        version=version,
        description="Jobs, accelerators, tenants and money of an AI computing center.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        responses=ERRORS,
        redirect_slashes=False,
    )


def _mount_routes(app: FastAPI) -> None:
    for router in ROUTERS:
        app.include_router(router.api_router, prefix=PREFIX)
    app.include_router(system.root_router.api_router)


@functools.cache
def describe_api() -> dict[str, Any]:
    """Return the OpenAPI document without a center. Takes about a second."""
    app = _bare_app(__version__)
    _mount_routes(app)
    return document(app, UNBOUND)


def all_routes() -> list[RouteFacts]:
    """Return the facts of every route, for the matrix of roles and for the docs."""
    under = [
        dataclasses.replace(fact, path=PREFIX + fact.path) for router in ROUTERS for fact in router.registry
    ]
    return under + list(system.root_router.registry)


@functools.cache
def _paths() -> tuple[tuple[re.Pattern[str], str, int], ...]:
    """Return (pattern, method, number of path parameters) of every route."""
    return tuple((compile_path(fact.path)[0], fact.method, fact.path.count("{")) for fact in all_routes())


def _methods_at(path: str) -> list[str]:
    """Return the methods of the most specific route at a path: /quotes/scenarios is not a quote of that name."""
    matches = [(free, method) for pattern, method, free in _paths() if pattern.match(path)]
    least = min((free for free, _ in matches), default=0)
    return sorted({method for free, method in matches if free == least})


def _openapi_route(app: FastAPI) -> Callable[[Request], Awaitable[Response]]:
    """Return the public route of the OpenAPI document, built once in a thread because that takes a second."""
    making: asyncio.Task[bytes] | None = None

    def make() -> bytes:
        return json.dumps(app.openapi(), ensure_ascii=False, separators=(",", ":")).encode()

    async def openapi(request: Request) -> Response:
        nonlocal making
        if making is None:
            making = asyncio.get_running_loop().create_task(in_thread(make))
        return Response(await asyncio.shield(making), media_type="application/json")

    return openapi


def _openapi(app: FastAPI) -> dict[str, object]:
    if app.openapi_schema is None:
        app.openapi_schema = document(app, UNBOUND)
    return app.openapi_schema
