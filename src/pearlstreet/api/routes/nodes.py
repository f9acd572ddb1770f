"""Routes of nodes, their benchmarks and the catalogue of accelerators."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from fastapi import Query, Request, Response
from pydantic import Field

from pearlstreet.api.models import In, Out, Time, time_of, words
from pearlstreet.api.request_inputs import language_of
from pearlstreet.api.routing import CurrentActor, SecuredRouter, Tied, center_of, command, query
from pearlstreet.compute.hardware.catalogue import catalogue
from pearlstreet.compute.hardware.normalise import NormalisedRate
from pearlstreet.compute.pool import inventory
from pearlstreet.compute.pool.burn_in_records import BurnIn, list_burn_ins
from pearlstreet.compute.pool.health_records import NodeHealth, set_automatic
from pearlstreet.services.nodes import NodesService, NodeUse, PoolView
from pearlstreet.tenancy.model import Actor

router = SecuredRouter("", "nodes")


class DeviceOut(Out):
    """One accelerator."""

    index: int
    vendor: str
    model: str
    memory_gib: float
    uuid: str
    healthy: bool
    health_reason: str | None
    untested: bool
    temperature_c: float | None
    utilization_percent: float | None
    memory_used_gib: float | None
    power_w: float | None
    normalised_pflops: float
    normalised_basis: str
    given_percent: float
    jobs: list[str]
    counters: dict[str, float]
    """Error counters since the driver started, by name; empty where nothing reports them."""


class FindingOut(Out):
    """A health rule that a device breaks."""

    counter: str
    device: int
    level: Literal["warn", "drain"]
    amount: float
    """Increase of the counter within the window of the rule."""
    words: str


class NodeHealthOut(Out):
    """What the health rules found on a node."""

    level: Literal["ok", "warn", "drain"]
    findings: list[FindingOut]
    automatic: bool
    """Whether rules may drain the node."""
    drained_by_rules: Time | None
    """Time at which rules drained the node; null: they did not."""


class NodeOut(Out):
    """One node, its resources and their use."""

    name: str
    engine: str
    present: bool
    healthy: bool
    health_reason: str | None
    drained: bool
    drain_reason: str | None
    health: NodeHealthOut
    cpus: float
    cpus_given: float
    cpu_pflops: float | None
    """Performance of the whole CPU in PFLOPS, measured by `pearl bench node`."""
    memory_gib: float
    memory_given_gib: float
    disk_gib: float
    rack: str
    pod: str
    isolation: str
    """Isolation between jobs: bubblewrap, landlock, none, or simulated."""
    isolation_gaps: list[str]
    """Gaps of that isolation on this node."""
    facts: dict[str, str]
    devices: list[DeviceOut]
    changed: Time


class CapacityOut(Out):
    """Capacity of the pool in cards and PFLOPS."""

    nodes: int
    cards: int
    cards_healthy: int
    cards_given: float
    peak_pflops: float
    measured_pflops: float
    normalised_pflops: float
    measured_cards: int
    assumed_cards: int
    unknown_cards: int
    cpu_pflops: float


class Nodes(Out):
    """All nodes, and the capacity of the pool."""

    items: list[NodeOut]
    capacity: CapacityOut


@router.get("/nodes", tie=Tied.PROJECT, scope="nodes:read", responses={200: {"model": Nodes}})
async def list_nodes(
    request: Request,
    nodes: NodesService,
    engine: Annotated[str | None, Query(max_length=32, description="Only nodes of this engine")] = None,
    actor: Actor = CurrentActor,
) -> Response:
    """List nodes with devices, use and health, and the capacity of all nodes in cards and PFLOPS."""
    mine, language = actor.orgs_with("jobs:read"), language_of(request)
    return await query(lambda: nodes.view_pool(actor), lambda view: _pool_out(view, engine, mine, language))


def _pool_out(
    view: PoolView, engine: str | None, mine: frozenset[str] | None, language: str
) -> dict[str, object]:
    whole = view.capacity
    return {
        "items": [
            _node_out(node, view.rates, view.use(node.report.name), mine, language)
            | {
                "cpu_pflops": view.cpu_pflops[node.report.name],
                "health": _health_out(view.health_of(node.report.name), language),
            }
            for node in view.nodes
            if engine in (None, node.engine)
        ],
        "capacity": {
            "nodes": sum(node.present for node in view.nodes),
            "cards": whole.cards,
            "cards_healthy": whole.healthy_cards,
            "cards_given": view.cards_given,
            "peak_pflops": float(whole.peak_pflops),
            "measured_pflops": float(whole.measured_pflops),
            "normalised_pflops": float(whole.normalised_pflops),
            "measured_cards": whole.measured_cards,
            "assumed_cards": whole.assumed_cards,
            "unknown_cards": whole.unknown_cards,
            "cpu_pflops": sum(
                view.cpu_pflops[node.report.name] or 0.0 for node in view.nodes if node.present
            ),
        },
    }


def _health_out(health: NodeHealth, language: str) -> dict[str, object]:
    return {
        "level": health.level,
        "findings": [
            {
                "counter": finding.counter,
                "device": finding.device,
                "level": finding.level,
                "amount": finding.amount,
                "words": finding.words.render(language),
            }
            for finding in health.findings
        ],
        "automatic": health.automatic,
        "drained_by_rules": None if health.drained_us is None else time_of(health.drained_us),
    }


def _node_out(
    node: inventory.Node,
    rates: Mapping[str, NormalisedRate],
    use: NodeUse,
    mine: frozenset[str] | None,
    language: str,
) -> dict[str, object]:
    report = node.report
    devices = []
    for device in report.devices:
        rate = rates[device.model]
        jobs = [job for job, org in use.jobs.get(device.index, ()) if mine is None or org in mine]
        devices.append(
            {
                "index": device.index,
                "vendor": device.vendor,
                "model": device.model,
                "memory_gib": device.memory_gib,
                "uuid": device.uuid,
                "healthy": device.healthy,
                "health_reason": words(device.health_reason, language),
                "untested": device.untested,
                "temperature_c": device.temperature_c,
                "utilization_percent": device.utilization_percent,
                "memory_used_gib": device.memory_used_gib,
                "power_w": device.power_w,
                "normalised_pflops": float(rate.pflops),
                "normalised_basis": rate.basis.value,
                "given_percent": round(100 * use.given.get(device.index, 0.0), 2),
                "jobs": jobs,
                "counters": dict(device.counters),
            }
        )
    return {
        "name": report.name,
        "engine": node.engine,
        "present": node.present,
        "healthy": report.healthy,
        "health_reason": words(report.health_reason, language),
        "drained": node.drained,
        "drain_reason": node.drain_reason,
        "cpus": report.cpus,
        "cpus_given": use.cpus,
        "memory_gib": report.memory_gib,
        "memory_given_gib": use.memory_gib,
        "disk_gib": report.disk_gib,
        "rack": report.rack,
        "pod": report.pod,
        "isolation": report.isolation or "none",
        "isolation_gaps": [gap.render(language) for gap in report.isolation_gaps],
        "facts": dict(report.facts),
        "devices": devices,
        "changed": time_of(node.changed_us),
    }


class DrainIn(In):
    """Reason for draining a node."""

    reason: str = Field("", max_length=500)


class DrainOut(Out):
    """Whether a node is drained."""

    name: str
    drained: bool
    drain_reason: str | None


def _drain_out(node: inventory.Node) -> dict[str, object]:
    return {"name": node.report.name, "drained": node.drained, "drain_reason": node.drain_reason}


@router.post("/nodes/{node}/drain", scope="nodes:write", responses={200: {"model": DrainOut}})
async def drain_node(request: Request, node: str, body: DrainIn, actor: Actor = CurrentActor) -> Response:
    """Drain a node: no new jobs are placed on it; running jobs continue."""
    return await command(
        request, actor, lambda store: inventory.drain(store, actor, node, body.reason), _drain_out
    )


@router.post("/nodes/{node}/undrain", scope="nodes:write", responses={200: {"model": DrainOut}})
async def undrain_node(request: Request, node: str, actor: Actor = CurrentActor) -> Response:
    """Use a drained node again."""
    return await command(request, actor, lambda store: inventory.undrain(store, actor, node), _drain_out)


class NodeHealthRulesIn(In):
    """Whether health rules may drain a node."""

    automatic: bool


class NodeHealthRulesOut(Out):
    """Whether health rules may drain a node."""

    name: str
    automatic: bool


@router.put("/nodes/{node}/health", scope="nodes:write", responses={200: {"model": NodeHealthRulesOut}})
async def set_node_health_rules(
    request: Request, node: str, body: NodeHealthRulesIn, actor: Actor = CurrentActor
) -> Response:
    """Let health rules drain a node, or only warn of its errors."""
    return await command(
        request,
        actor,
        lambda store: set_automatic(store, actor, node, automatic=body.automatic),
        lambda automatic: {"name": node, "automatic": automatic},
    )


class BurnInsIn(In):
    """Nodes to be measured."""

    nodes: list[Annotated[str, Field(max_length=120)]] = Field(default_factory=list, max_length=10_000)
    all: bool = False
    """Measure every present node."""


class BurnInOut(Out):
    """One burn-in of a node."""

    id: str
    node: str
    state: Literal["waiting", "running", "done", "lost"]
    """`waiting` until nothing runs on the node; `lost`: it left no result."""
    requested: Time
    requested_by: str
    ended: Time | None
    figures: dict[str, float]
    errors: list[str]
    """Wrong results that the node showed."""
    notices: list[str]
    message: str | None


class BurnIns(Out):
    """Burn-ins, newest first."""

    items: list[BurnInOut]


def _burn_ins_out(found: Sequence[BurnIn], language: str) -> dict[str, object]:
    return {
        "items": [
            {
                "id": one.id,
                "node": one.node,
                "state": one.state,
                "requested": time_of(one.requested_us),
                "requested_by": one.requested_by,
                "ended": None if one.ended_us is None else time_of(one.ended_us),
                "figures": dict(one.result.figures) if one.result else {},
                "errors": list(one.result.errors) if one.result else [],
                "notices": list(one.result.notices) if one.result else [],
                "message": words(one.message, language),
            }
            for one in found
        ]
    }


@router.get("/burn-ins", scope="nodes:write", responses={200: {"model": BurnIns}})
async def list_node_burn_ins(
    request: Request,
    node: Annotated[str | None, Query(max_length=120, description="Only burn-ins of this node")] = None,
    actor: Actor = CurrentActor,
) -> Response:
    """List the newest 200 burn-ins of nodes."""
    language, store = language_of(request), center_of(request).store
    return await query(
        lambda: list_burn_ins(store, actor, node=node), lambda found: _burn_ins_out(found, language)
    )


@router.post("/burn-ins", scope="nodes:write", responses={200: {"model": BurnIns}})
async def request_node_burn_ins(
    request: Request, nodes: NodesService, body: BurnInsIn, actor: Actor = CurrentActor
) -> Response:
    """Measure nodes as soon as nothing runs on them. Slow or failing ones are drained by the health rules."""
    language = language_of(request)
    return await command(
        request,
        actor,
        lambda store: nodes.request_burn_ins(store, actor, body.nodes, all_nodes=body.all),
        lambda found: _burn_ins_out(found, language),
    )


class ForgottenNodeOut(Out):
    """Name of the removed node."""

    forgotten: str


@router.delete("/nodes/{node}", scope="nodes:write", responses={200: {"model": ForgottenNodeOut}})
async def forget_node(request: Request, node: str, actor: Actor = CurrentActor) -> Response:
    """Remove a node that its engine no longer reports."""
    return await command(
        request, actor, lambda store: inventory.forget_node(store, actor, node), lambda _: {"forgotten": node}
    )


class BenchmarkIn(In):
    """Result of `pearl bench node`."""

    result: dict[str, object]


class KeptOut(Out):
    """Id of the stored benchmark."""

    id: str


@router.post(
    "/nodes/{node}/benchmarks",
    scope="nodes:write",
    location="/nodes",
    status_code=201,
    responses={201: {"model": KeptOut}},
)
async def add_node_benchmark(
    request: Request, node: str, body: BenchmarkIn, actor: Actor = CurrentActor
) -> Response:
    """Store a benchmark of a node. Its cards then count as measured."""
    return await command(
        request,
        actor,
        lambda store: inventory.keep_benchmark(store, actor, node, body.result),
        lambda bench_id: {"id": bench_id},
        status=201,
    )


class AcceleratorOut(Out):
    """Vendor's ratings of a card; null or a missing precision means unknown."""

    id: str
    family: str
    vendor: str
    name: str
    aliases: list[str]
    form_factor: str
    release: str
    peak_tflops: dict[str, float]
    memory_gib: float | None
    memory_type: str
    bandwidth_gbs: float | None
    link: str
    link_gbs: float | None
    power_w: float | None
    domestic_cn: bool
    dies: int
    source: str
    source_date: str
    notes: str


class Accelerators(Out):
    """The catalogue of accelerators."""

    items: list[AcceleratorOut]


@router.get("/accelerators", tie=Tied.PROJECT, scope="nodes:read", responses={200: {"model": Accelerators}})
async def list_accelerators(
    request: Request,
    name: Annotated[
        str | None, Query(max_length=80, description="Only accelerators that this name matches")
    ] = None,
    actor: Actor = CurrentActor,
) -> Response:
    """List the catalogue of accelerators: peak performance, memory, links and power, with sources."""
    actor.require("nodes:read")
    return await query(
        lambda: catalogue(),
        lambda book: {
            "items": [
                dataclasses.asdict(item)
                for item in book.entries
                if name is None or book.matches(name, item.id)
            ]
        },
    )
