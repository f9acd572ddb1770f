"""Routes of the center itself: description, health and metrics."""

from __future__ import annotations

import asyncio
from typing import Literal

import sqlalchemy as sa
from fastapi import Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic_core import to_json

from pearlstreet.api.exposition import exposition
from pearlstreet.api.models import Out, Time, time_of
from pearlstreet.api.request_inputs import language_of
from pearlstreet.api.routing import CurrentActor, SecuredRouter, center_of, in_thread
from pearlstreet.base.errors import PearlError
from pearlstreet.services.nodes import NodesService
from pearlstreet.store.core import Store
from pearlstreet.tenancy.model import Actor

router = SecuredRouter("", "center")
root_router = SecuredRouter("", "center")
HEALTH_FRESH_S = 0.1


class CenterOut(Out):
    """Description of the center."""

    name: str
    version: str
    started: Time | None
    engines: dict[str, object]
    minimum_isolation: str
    """Weakest isolation that a node must offer to get jobs."""
    notices: list[str]
    languages: list[str]
    sign_in: list[str]


@router.get("/center", public=True, responses={200: {"model": CenterOut}})
async def get_center(request: Request, nodes: NodesService) -> Response:
    """Get the center's name, version, engines, notices and ways to sign in."""
    found, language = center_of(request), language_of(request)
    engines = {}
    for name, can in nodes.engines().items():
        engines[name] = {
            "runs_code": can.runs_code,
            "images": can.images,
            "fractions": can.fractions,
            "multi_node": can.multi_node,
            "placement": can.placement,
            "wall": can.wall,
        }
    body = {
        "name": found.name,
        "version": found.version,
        "started": time_of(found.started_us),
        "engines": engines,
        "minimum_isolation": nodes.minimum_isolation,
        "notices": [notice.render(language) for notice in found.notices],
        "languages": ["en", "zh-CN"],
        "sign_in": ["password", *found.oidc],
    }
    return Response(to_json(body), media_type="application/json")


class HealthOut(Out):
    """Health of the server."""

    status: Literal["ok", "down"]
    why: str | None = None


@root_router.get(
    "/health",
    public=True,
    responses={200: {"model": HealthOut}, 503: {"model": HealthOut, "description": "The database is down"}},
)
async def get_health(request: Request) -> Response:
    """Check that the database could be read within the last 0.1 s."""
    checks: HealthCheck = request.app.state.health
    why = await checks.problem()
    if why is not None:
        return Response(
            to_json({"status": "down", "why": why}),
            status_code=503,
            media_type="application/json",
            headers={"retry-after": "5"},
        )
    return Response(b'{"status":"ok"}', media_type="application/json")


class HealthCheck:
    """A check of the database, at most ten times a second however many public requests ask for it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reading: asyncio.Task[str | None] | None = None
        self._read_s = float("-inf")

    async def problem(self) -> str | None:
        """Return the reason why the database cannot be read, or None."""
        loop = asyncio.get_running_loop()
        if self._reading is None or (self._reading.done() and loop.time() - self._read_s > HEALTH_FRESH_S):
            self._reading = loop.create_task(self._read())
        return await asyncio.shield(self._reading)

    async def _read(self) -> str | None:
        try:
            await in_thread(lambda: self._store.read(lambda tx: tx.scalar(sa.select(sa.literal(1)))))
            return None
        except PearlError as error:
            return str(error.message)
        finally:
            self._read_s = asyncio.get_running_loop().time()


@root_router.get("/metrics", scope="metrics:read", response_class=PlainTextResponse)
async def get_metrics(nodes: NodesService, actor: Actor = CurrentActor) -> Response:
    """Get the Prometheus metrics."""
    counts = await in_thread(lambda: nodes.read_gauges(actor))
    return Response(exposition(counts), media_type=CONTENT_TYPE_LATEST)
