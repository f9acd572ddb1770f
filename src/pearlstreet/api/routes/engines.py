"""Routes of engines: what each can do, whether it answers, what it owns and runs, and its checks."""

from __future__ import annotations

from typing import Literal

from fastapi import Request, Response

from pearlstreet.api.models import Out, Time, time_of, words
from pearlstreet.api.request_inputs import language_of
from pearlstreet.api.routing import CurrentActor, SecuredRouter, Tied, command, query
from pearlstreet.compute.engines.checks import EngineCheck
from pearlstreet.services.engines import EngineDetails, EnginesService, ListedEngine
from pearlstreet.tenancy.model import Actor

router = SecuredRouter("/engines", "nodes")


class EngineDetailsOut(Out):
    """State of an engine, what it owns, and what runs on it."""

    state: Literal["answering", "silent", "unknown"]
    """`unknown` until the first inventory after a start of the server."""
    since: Time | None
    """Time since which it answers or is silent."""
    inventory: Time | None
    """Time of the last inventory that it answered."""
    error: str | None
    """Last failure, also if it answers again."""
    error_at: Time | None
    wall: str
    """Strongest isolation of jobs that it can give."""
    placement: str
    """What the center chooses for an attempt there: `device`, `node`, or nothing (`engine`)."""
    notices: list[str]
    nodes: int
    nodes_available: int
    """Nodes on which new work may be placed."""
    drained: int
    devices: int
    devices_healthy: int
    cards_given: float
    pflops: float
    """Normalised compute of its devices in PFLOPS."""
    attempts: int
    """Attempts that run or are about to."""


class EngineOut(Out):
    """An engine: a pool of machines of one kind. Only operators see `details`."""

    name: str
    kind: str
    capabilities: list[str]
    """What it can do: runs_code, images, fractions, multi_node, shells."""
    details: EngineDetailsOut | None


class Engines(Out):
    """The engines of the center by name."""

    items: list[EngineOut]


def engine_out(engine: ListedEngine, language: str) -> dict[str, object]:
    """Return an engine as an EngineOut."""
    return {
        "name": engine.name,
        "kind": engine.kind,
        "capabilities": list(engine.capabilities),
        "details": None if engine.details is None else _details_out(engine.details, language),
    }


def _details_out(details: EngineDetails, language: str) -> dict[str, object]:
    status = details.status
    return {
        "state": details.state,
        "since": time_of(status.since_us),
        "inventory": time_of(status.inventory_us),
        "error": words(status.error, language),
        "error_at": time_of(status.error_us),
        "wall": details.wall,
        "placement": details.placement,
        "notices": [notice.render(language) for notice in details.notices],
        "nodes": details.nodes,
        "nodes_available": details.nodes_available,
        "drained": details.drained,
        "devices": details.devices,
        "devices_healthy": details.devices_healthy,
        "cards_given": details.cards_given,
        "pflops": details.pflops,
        "attempts": details.attempts,
    }


@router.get("", tie=Tied.PROJECT, scope="nodes:read", responses={200: {"model": Engines}})
async def list_engines(request: Request, engines: EnginesService, actor: Actor = CurrentActor) -> Response:
    """List the engines: tenants see names and capabilities, operators also state, nodes and use."""
    language = language_of(request)
    return await query(
        lambda: engines.list_engines(actor),
        lambda found: {"items": [engine_out(one, language) for one in found]},
    )


@router.get("/{engine}", tie=Tied.PROJECT, scope="nodes:read", responses={200: {"model": EngineOut}})
async def get_engine(
    request: Request, engine: str, engines: EnginesService, actor: Actor = CurrentActor
) -> Response:
    """Return one engine."""
    language = language_of(request)
    return await query(lambda: engines.get_engine(actor, engine), lambda found: engine_out(found, language))


class EngineCheckOut(Out):
    """Result of one check of an engine."""

    name: str
    title: str
    ok: bool
    blocking: bool
    """Whether jobs cannot run while it fails."""
    problem: str | None
    fix: str | None


class EngineChecks(Out):
    """Results of the checks of an engine; `ok`: no check failed that keeps jobs from running."""

    engine: str
    ok: bool
    checks: list[EngineCheckOut]


def _check_out(check: EngineCheck, language: str) -> dict[str, object]:
    return {
        "name": check.name,
        "title": check.title.render(language),
        "ok": check.problem is None,
        "blocking": check.blocking,
        "problem": words(check.problem, language),
        "fix": words(check.fix, language),
    }


@router.post("/{engine}/check", scope="nodes:write", at_center=True, responses={200: {"model": EngineChecks}})
async def check_engine(
    request: Request, engine: str, engines: EnginesService, actor: Actor = CurrentActor
) -> Response:
    """Run the checks of an engine now and return each with its problem and fix. Changes nothing."""
    language = language_of(request)
    return await command(
        request,
        actor,
        lambda store: engines.check_engine(actor, engine),
        lambda checks: {
            "engine": engine,
            "ok": not any(check.problem is not None and check.blocking for check in checks),
            "checks": [_check_out(check, language) for check in checks],
        },
    )
