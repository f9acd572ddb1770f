"""Routes of engines: what each can do, whether it answers, what it owns and runs, and its checks."""

from __future__ import annotations

from typing import Literal

from fastapi import Request, Response
from pydantic import Field

from pearlstreet.api.models import In, Out, Time, time_of, words
from pearlstreet.api.request_inputs import language_of
from pearlstreet.api.routing import CurrentActor, SecuredRouter, Tied, command, query
from pearlstreet.base.clock import US_PER_S
from pearlstreet.compute.engines.checks import EngineCheck
from pearlstreet.services.engines import RECONCILED_H, Difference, EngineDetails, EnginesService, ListedEngine
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
    """What it can do: runs_code, images, fractions, multi_node, shells, services."""
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


class ReconcileIn(In):
    """What to compare, and whether to correct the charges of attempts that differ."""

    hours: float = Field(RECONCILED_H, gt=0, le=8784)
    """Attempts that ended in the last hours."""
    correct: bool = False
    """Refund what was charged and charge the accounted time instead; needs credit:write."""


class AccountDifferenceOut(Out):
    """An attempt whose metered time differs by more than a second from what the cluster accounts."""

    attempt: str
    owner: str
    org: str
    cluster_job: str
    """Number of its job on the cluster."""
    start: Time
    end: Time
    account_start: Time
    account_end: Time
    excess_s: float
    """Time metered beyond what the cluster accounts; below 0: less was metered."""
    corrected: bool
    """Whether its charges were corrected by this request."""


class ReconciliationOut(Out):
    """Comparison of metered attempts with the accounting of the engine's cluster."""

    engine: str
    compared: int
    unaccounted: int
    """Metered attempts that the accounting does not have."""
    differences: list[AccountDifferenceOut]


def _difference_out(one: Difference) -> dict[str, object]:
    return {
        "attempt": one.attempt_id,
        "owner": one.owner_id,
        "org": one.org_id,
        "cluster_job": one.job,
        "start": time_of(one.start_us),
        "end": time_of(one.end_us),
        "account_start": time_of(one.account_start_us),
        "account_end": time_of(one.account_end_us),
        "excess_s": round(one.excess_us / US_PER_S, 3),
        "corrected": one.corrected,
    }


@router.post(
    "/{engine}/reconcile", scope="nodes:write", at_center=True, responses={200: {"model": ReconciliationOut}}
)
async def reconcile_engine(
    request: Request,
    engine: str,
    engines: EnginesService,
    body: ReconcileIn | None = None,
    actor: Actor = CurrentActor,
) -> Response:
    """Compare metered attempts with the accounting of the engine's cluster, such as Slurm's, and correct charges if asked."""
    wanted = body or ReconcileIn(hours=RECONCILED_H, correct=False)
    return await command(
        request,
        actor,
        lambda store: engines.on(store).reconcile_engine(
            actor, engine, hours=wanted.hours, correct=wanted.correct
        ),
        lambda found: {
            "engine": engine,
            "compared": found.compared,
            "unaccounted": found.unaccounted,
            "differences": [_difference_out(one) for one in found.differences],
        },
    )
