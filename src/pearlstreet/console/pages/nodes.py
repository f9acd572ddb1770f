"""Pages of nodes: the list with a filter, and one node with its devices, jobs and benchmarks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pearlstreet.base.errors import InvalidInput, NotFound, Problem
from pearlstreet.base.text import Text, text
from pearlstreet.compute.hardware.catalogue import catalogue
from pearlstreet.compute.hardware.model import DeviceReport
from pearlstreet.compute.hardware.normalise import Basis
from pearlstreet.compute.pool import inventory
from pearlstreet.compute.pool.burn_in_records import list_burn_ins
from pearlstreet.compute.pool.health_records import set_automatic
from pearlstreet.compute.pool.inventory import STATES, Node, states_of
from pearlstreet.compute.pool.measurements import list_benchmarks
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PER_PAGE, PageRequest, PageResponse, Redirect, View
from pearlstreet.console.pages.home import org_slugs
from pearlstreet.console.paging import cut, page_number
from pearlstreet.services.jobs import JobsService, JobView
from pearlstreet.services.nodes import NodesService, NodeUse, PoolView

JOBS_SHOWN = 200
REASON_MAX = 500
BASES: Mapping[Basis, Text] = {
    Basis.MEASURED: text("measured"),
    Basis.ASSUMED: text("assumed"),
    Basis.UNKNOWN: text("unknown"),
}


@dataclass(frozen=True, slots=True)
class NodeListRow:
    """A node in the list."""

    node: Node
    states: Sequence[str]
    """States of the node, the worst first; a drained node may also be unhealthy."""
    use: NodeUse
    cards: Sequence[tuple[str, int]]
    """Device models and their numbers of devices."""
    pflops: float
    basis: Text | None
    """Basis of the PFLOPS; None without devices."""
    ill: Sequence[DeviceReport] = field(default_factory=tuple)
    finding: Text | None = None
    """Worst finding of the health rules; None: there is none."""


def show(request: PageRequest, nodes: NodesService) -> PageResponse:
    """Show the nodes that match the filter, by name."""
    pool = nodes.view_pool(request.actor)
    state, words = request.query.get("state", ""), request.query.get("q", "")[:120].strip()
    engine, engines = request.query.get("engine", ""), sorted({node.engine for node in pool.nodes})
    states = {node.report.name: states_of(node) for node in pool.nodes}
    counts = Counter(state for found in states.values() for state in found)
    fitting = [
        node
        for node in pool.nodes
        if (state not in STATES or state in states[node.report.name])
        and engine in ("", node.engine)
        and _says(node, words)
    ]
    shown = cut(fitting, page_number(request), PER_PAGE)
    return View(
        "nodes.html",
        {
            "pool": pool,
            "counts": counts,
            "states": STATES,
            "state": state if state in STATES else "",
            "words": words,
            "engine": engine,
            "engines": engines,
            "rows": [_row(pool, node, states[node.report.name]) for node in shown.rows],
            "shown": shown,
            "filters": {
                name: value for name, value in (("state", state), ("engine", engine), ("q", words)) if value
            },
        },
    )


def show_one(request: PageRequest, nodes: NodesService, jobs: JobsService) -> PageResponse:
    """Show one node."""
    pool = nodes.view_pool(request.actor)
    name = request.path_params["node"]
    node = next((node for node in pool.nodes if node.report.name == name), None)
    if node is None:
        raise NotFound(text("There is no node {name}", name=name[:120]))
    use = pool.use(name)
    mine = request.actor.orgs_with("jobs:read")
    seen = [job for job, org in use.all_jobs.items() if mine is None or org in mine]
    found = jobs.find_jobs(request.actor, seen[-JOBS_SHOWN:])
    several = mine is None and request.actor.may("orgs:read")
    return View(
        "node.html",
        {
            "title": name,
            "line": _row(pool, node, states_of(node)),
            "node": node,
            "report": node.report,
            "use": use,
            "health": pool.health_of(name),
            "cpu_pflops": pool.cpu_pflops[name],
            "devices": [_device(pool, use, device, found) for device in node.report.devices],
            "jobs": found,
            "job_count": len(seen),
            "others": len(use.all_jobs) - len(seen),
            "org_slugs": org_slugs(request) if several else {},
            "burn_ins": list_burn_ins(request.store, request.actor, node=name, limit=5),
            "benchmarks": list_benchmarks(request.store, request.actor, name),
            "minimum_isolation": nodes.minimum_isolation,
            "may_write": request.actor.may("nodes:write"),
        },
    )


def drain(request: PageRequest) -> PageResponse:
    """Drain a node."""
    name = request.path_params["node"]
    reason = request.value("reason")
    if len(reason) > REASON_MAX:
        message = text("At most 500 characters are allowed")
        raise InvalidInput(message, problems=[Problem("reason", message)])
    inventory.drain(request.store, request.actor, name, reason)
    return Redirect(request.path, text("{node} is drained; running jobs continue", node=name))


def resume(request: PageRequest) -> PageResponse:
    """Undrain a node."""
    name = request.path_params["node"]
    inventory.undrain(request.store, request.actor, name)
    return Redirect(request.path, text("{node} is no longer drained", node=name))


def burn_in(request: PageRequest, nodes: NodesService) -> PageResponse:
    """Request a burn-in of a node."""
    name = request.path_params["node"]
    nodes.request_burn_ins(request.store, request.actor, [name])
    return Redirect(request.path, text("{node} is measured as soon as nothing runs on it", node=name))


def rules_on(request: PageRequest) -> PageResponse:
    """Let health rules drain a node."""
    return _set_rules(request, automatic=True)


def rules_off(request: PageRequest) -> PageResponse:
    """Let health rules only warn of errors of a node."""
    return _set_rules(request, automatic=False)


def _set_rules(request: PageRequest, *, automatic: bool) -> PageResponse:
    name = request.path_params["node"]
    set_automatic(request.store, request.actor, name, automatic=automatic)
    if automatic:
        return Redirect(request.path, text("Health rules may drain {node}", node=name))
    return Redirect(request.path, text("Health rules only warn of errors of {node}", node=name))


def forget(request: PageRequest) -> PageResponse:
    """Remove a node that its engine no longer reports."""
    name = request.path_params["node"]
    inventory.forget_node(request.store, request.actor, name)
    return Redirect("/nodes", text("{node} is removed", node=name))


def _says(node: Node, words: str) -> bool:
    """Return whether every word occurs in the node's name, engine, rack, pod or device models."""
    report = node.report
    said = " ".join(
        (report.name, node.engine, report.rack, report.pod, *{device.model for device in report.devices})
    ).lower()
    return all(word in said for word in words.lower().split())


def _row(pool: PoolView, node: Node, states: Sequence[str]) -> NodeListRow:
    working = [pool.rates[device.model] for device in node.report.devices if device.healthy]
    kinds = {rate.basis for rate in working}
    basis = next(
        (BASES[kind] for kind in (Basis.UNKNOWN, Basis.ASSUMED, Basis.MEASURED) if kind in kinds), None
    )
    return NodeListRow(
        node=node,
        states=states,
        use=pool.use(node.report.name),
        cards=sorted(Counter(device.model for device in node.report.devices).items()),
        pflops=sum(float(rate.pflops) for rate in working),
        basis=basis,
        ill=[device for device in node.report.devices if not device.healthy],
        finding=next((finding.words for finding in pool.health_of(node.report.name).findings), None),
    )


def _device(pool: PoolView, use: NodeUse, device: DeviceReport, jobs: Sequence[JobView]) -> dict[str, object]:
    rate, known = pool.rates[device.model], catalogue().find(device.model)
    names = {job.id: job.name for job in jobs}
    here = dict.fromkeys(job for job, _ in use.jobs.get(device.index, ()))
    return {
        "report": device,
        "name": known.name if known is not None else device.model,
        "pflops": float(rate.pflops),
        "basis": BASES[rate.basis],
        "given": use.given.get(device.index, 0.0),
        "jobs": [(job, names[job]) for job in here if job in names],
    }


PAGES = (
    ConsolePage(
        "/nodes", text("Nodes"), show, scope="nodes:read", menu=MenuPlace(MenuGroup.CENTER, 1, "nodes", "n")
    ),
    ConsolePage(
        "/nodes/{node}",
        text("Node"),
        show_one,
        scope="nodes:read",
        actions={
            "drain": drain,
            "resume": resume,
            "forget": forget,
            "burn_in": burn_in,
            "rules_on": rules_on,
            "rules_off": rules_off,
        },
    ),
)
