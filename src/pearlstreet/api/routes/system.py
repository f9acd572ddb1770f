"""The center itself: health, metrics, what it is, what it offers."""

from __future__ import annotations

from typing import Any, Literal

import sqlalchemy as sa
from fastapi import Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic_core import to_json

from pearlstreet.api.door import Asker, Door, center_of, in_thread
from pearlstreet.api.exposition import exposition
from pearlstreet.api.models import Out, Time, time_of
from pearlstreet.api.reading import language_of
from pearlstreet.base.errors import PearlError
from pearlstreet.compute.jobs.census import census
from pearlstreet.tenancy.model import Actor

door = Door("", "center")
root = Door("", "center")


class CenterOut(Out):
    """What this center is."""

    name: str
    version: str
    started: Time | None
    engines: dict[str, Any]
    notices: list[str]
    languages: list[str]
    sign_in: list[str]


@door.get("/center", public=True, responses={200: {"model": CenterOut}})
async def center(request: Request) -> Response:
    """Name, version, engines and what operators and tenants must know."""
    found, language = center_of(request), language_of(request)
    engines = {}
    for name, engine in found.runtime.engines.items():
        can = engine.capabilities()
        engines[name] = {
            "runs_code": can.runs_code,
            "images": can.images,
            "fractions": can.fractions,
            "multi_node": can.multi_node,
            "wall": can.wall,
        }
    body = {
        "name": found.name,
        "version": found.version,
        "started": time_of(found.started_us),
        "engines": engines,
        "notices": [notice.render(language) for notice in found.notices],
        "languages": ["en", "zh-CN"],
        "sign_in": ["password", *found.oidc],
    }
    return Response(to_json(body), media_type="application/json")


class HealthOut(Out):
    """Whether requests can be answered."""

    status: Literal["ok", "down"]
    why: str | None = None


@root.get(
    "/health",
    public=True,
    responses={200: {"model": HealthOut}, 503: {"model": HealthOut, "description": "The database is down"}},
)
async def health(request: Request) -> Response:
    """Whether requests can be answered: reads the database once."""
    store = center_of(request).store
    try:
        await in_thread(lambda: store.read(lambda tx: tx.scalar(sa.select(sa.literal(1)))))
    except PearlError as error:
        return Response(
            to_json({"status": "down", "why": str(error.message)}),
            status_code=503,
            media_type="application/json",
            headers={"retry-after": "5"},
        )
    return Response(b'{"status":"ok"}', media_type="application/json")


@root.get("/metrics", scope="metrics:read", response_class=PlainTextResponse)
async def metrics(request: Request, actor: Actor = Asker) -> Response:
    """Prometheus metrics; needs a key with metrics:read."""
    store = center_of(request).store
    counts = await in_thread(lambda: census(store, actor))
    return Response(exposition(counts), media_type=CONTENT_TYPE_LATEST)
