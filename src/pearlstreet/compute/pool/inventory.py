"""The pool's list of machines: what engines report, what operators drained, what was measured. Rows only."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from pearlstreet.base.clock import to_rfc3339
from pearlstreet.base.errors import Conflict, NotFound
from pearlstreet.base.text import Text, from_json, text
from pearlstreet.compute.hardware.model import DeviceReport, NodeReport
from pearlstreet.compute.pool.health_records import release_from_rules
from pearlstreet.compute.pool.tables import benchmarks, node_health, nodes
from pearlstreet.store import audit, outbox
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.tenancy.model import Actor

CHANGED = "nodes"
"""Hint topic: a node came, went, or changed what it offers."""
_ALL = sa.select(
    nodes.c.engine,
    nodes.c.present,
    nodes.c.drained,
    nodes.c.drain_reason,
    nodes.c.changed_us,
    sa.cast(nodes.c.report, sa.Text).label("written"),
).order_by(nodes.c.name)
_NAMED = _ALL.where(nodes.c.name.in_(sa.bindparam("names", expanding=True)))
_READINGS = ("temperature_c", "utilization_percent", "memory_used_gib", "power_w", "counters")


@dataclass(frozen=True, slots=True)
class Node:
    """A machine as the pool keeps it."""

    report: NodeReport
    engine: str
    present: bool
    drained: bool
    drain_reason: str | None
    changed_us: int

    @property
    def schedulable(self) -> bool:
        """Whether new work may be placed on the node."""
        return self.present and self.report.healthy and not self.drained


def record_nodes(tx: Tx, engine: str, reports: Sequence[NodeReport]) -> bool:
    """Bring the rows of one engine in line with what it reports. True when anything but a reading changed."""
    known = {row["name"]: row for row in tx.rows(sa.select(nodes).where(nodes.c.engine == engine))}
    changed = False
    for report in reports:
        row = known.pop(report.name, None)
        values = {"report": node_to_json(report), "healthy": report.healthy, "present": True}
        if row is None:
            changed |= _add_node(tx, engine, report.name, values)
            if not report.healthy:
                _tell_ill(tx, report.name, "unhealthy", report.health_reason)
        elif row["report"] != values["report"] or not row["present"]:
            tx.execute(
                sa.update(nodes).where(nodes.c.name == report.name).values(changed_us=tx.now_us, **values)
            )
            changed = True
            if row["healthy"] and row["present"] and not report.healthy:
                _tell_ill(tx, report.name, "unhealthy", report.health_reason)
    for name, row in known.items():
        if row["present"]:
            _tell_ill(tx, name, "absent", None)
            tx.execute(
                sa.update(nodes).where(nodes.c.name == name).values(present=False, changed_us=tx.now_us)
            )
            changed = True
    if changed:
        tx.hint(CHANGED)
    return changed


def suspend_nodes(tx: Tx, engine: str, reports: Sequence[NodeReport], reason: Text) -> None:
    """Write the reports of nodes that all became unhealthy because their engine is silent: one event instead of one each."""
    for report in reports:
        values = {"report": node_to_json(report), "healthy": report.healthy, "changed_us": tx.now_us}
        tx.execute(
            sa.update(nodes).where(nodes.c.name == report.name, nodes.c.engine == engine).values(**values)
        )
    since = to_rfc3339(tx.now_us)[:16].replace("T", " ")
    outbox.emit(
        tx,
        "engine.silent",
        {"engine": engine, "nodes": len(reports), "since": since, "reason": reason.to_json()},
    )
    tx.hint(CHANGED)


def _tell_ill(tx: Tx, name: str, state: str, reason: Text | None) -> None:
    since = to_rfc3339(tx.now_us)[:16].replace("T", " ")
    told = {"node": name, "state": state, "since": since, "reason": reason.to_json() if reason else None}
    outbox.emit(tx, "node.unhealthy", told)


def _add_node(tx: Tx, engine: str, name: str, values: Row) -> bool:
    """Add a machine seen for the first time, or one that its former engine no longer has.

    Returns False if another engine has it.
    """
    owner = tx.first(sa.select(nodes.c.present).where(nodes.c.name == name))
    if owner is None:
        fresh = {"name": name, "engine": engine, "drained": False, "changed_us": tx.now_us}
        tx.execute(sa.insert(nodes).values(**fresh, **values))
        return True
    if owner["present"]:
        return False
    taken = sa.update(nodes).where(nodes.c.name == name)
    tx.execute(taken.values(engine=engine, changed_us=tx.now_us, **values))
    return True


def all_nodes(tx: Tx) -> list[Node]:
    """Return every machine the pool has ever had, by name."""
    return [_node_of(row) for row in tx.execute(_ALL)]


def nodes_named(tx: Tx, names: Collection[str]) -> list[Node]:
    """Return the machines of these names, as their rows are now, by name; one that the pool has forgotten is left out."""
    return [_node_of(row) for row in tx.execute(_NAMED, {"names": sorted(names)})]


def _node_of(row: Any) -> Node:
    return Node(
        report=_read_report(row.written),
        engine=row.engine,
        present=row.present,
        drained=row.drained,
        drain_reason=row.drain_reason,
        changed_us=row.changed_us,
    )


@lru_cache(maxsize=10_000)
def _read_report(written: str) -> NodeReport:
    """Return a parsed report; cached, since reports seldom change and the planner reads all of them in every cycle."""
    return node_from_json(json.loads(written))


STATES = ("healthy", "unhealthy", "drained", "gone")


def states_of(node: Node) -> Sequence[str]:
    """Return what holds of a node, the worst first; `healthy` when nothing else does."""
    well = node.report.healthy and all(device.healthy for device in node.report.devices)
    found = [
        name
        for name, holds in (
            ("gone", not node.present),
            ("unhealthy", node.present and not well),
            ("drained", node.drained),
        )
        if holds
    ]
    return found or ["healthy"]


def list_nodes(store: Store, actor: Actor) -> list[Node]:
    """Return every machine. Raises Forbidden without nodes:read."""
    actor.require("nodes:read")
    return store.read(all_nodes)


def get_node(store: Store, actor: Actor, name: str) -> Node:
    """Return a node. Raises Forbidden without nodes:read, NotFound."""
    actor.require("nodes:read")
    row = store.read(lambda tx: tx.first(sa.select(nodes).where(nodes.c.name == name)))
    if row is None:
        raise NotFound(text("There is no node {name}", name=name), hint=text("pearl nodes lists them"))
    return _node(row)


def drain(store: Store, actor: Actor, name: str, reason: str) -> Node:
    """Place no new work on a node; what runs there goes on. Raises Forbidden without nodes:write, NotFound."""
    return _set_drained(store, actor, name, drained=True, reason=reason)


def undrain(store: Store, actor: Actor, name: str) -> Node:
    """Use a drained node again. Raises Forbidden without nodes:write, NotFound."""
    return _set_drained(store, actor, name, drained=False, reason=None)


def forget_node(store: Store, actor: Actor, name: str) -> None:
    """Drop a machine that its engine no longer has. Raises Forbidden, NotFound, Conflict while it is there."""
    actor.require("nodes:write")

    def command(tx: Tx) -> None:
        row = tx.first(sa.select(nodes).where(nodes.c.name == name))
        if row is None:
            raise NotFound(text("There is no node {name}", name=name))
        if row["present"]:
            raise Conflict(text("Node {name} is still there; drain it instead", name=name))
        tx.execute(sa.delete(nodes).where(nodes.c.name == name))
        tx.execute(sa.delete(node_health).where(node_health.c.node == name))
        audit.record(tx, actor=actor.label, action="node.forget", target=name)

    store.write(command)


def keep_benchmark(store: Store, actor: Actor, node: str, result: Mapping[str, Any]) -> str:
    """Keep what was measured on a node; returns its id. Raises Forbidden without nodes:write, NotFound."""
    actor.require("nodes:write")

    def command(tx: Tx) -> str:
        if tx.first(sa.select(nodes.c.name).where(nodes.c.name == node)) is None:
            raise NotFound(text("There is no node {name}", name=node), hint=text("pearl nodes lists them"))
        bench_id = tx.new_id("bench")
        tx.execute(sa.insert(benchmarks).values(id=bench_id, node=node, result=dict(result), at_us=tx.now_us))
        audit.record(tx, actor=actor.label, action="node.bench", target=node, details={"benchmark": bench_id})
        tx.hint(CHANGED)
        return bench_id

    return store.write(command)


def latest_benchmarks(tx: Tx) -> dict[str, Mapping[str, Any]]:
    """Return node → its newest benchmark result."""
    newest = sa.select(sa.func.max(benchmarks.c.id)).group_by(benchmarks.c.node)
    return {
        row["node"]: row["result"]
        for row in tx.rows(sa.select(benchmarks).where(benchmarks.c.id.in_(newest)))
    }


def _set_drained(store: Store, actor: Actor, name: str, *, drained: bool, reason: str | None) -> Node:
    actor.require("nodes:write")

    def command(tx: Tx) -> Node:
        changed = tx.execute(
            sa.update(nodes)
            .where(nodes.c.name == name)
            .values(drained=drained, drain_reason=reason, changed_us=tx.now_us)
        ).rowcount
        if not changed:
            raise NotFound(text("There is no node {name}", name=name), hint=text("pearl nodes lists them"))
        release_from_rules(tx, name, forgive_errors=not drained)
        action = "node.drain" if drained else "node.undrain"
        audit.record(tx, actor=actor.label, action=action, target=name, details={"reason": reason})
        tx.hint(CHANGED)
        row = tx.first(sa.select(nodes).where(nodes.c.name == name))
        assert row is not None
        return _node(row)

    return store.write(command)


def _node(row: Row) -> Node:
    return Node(
        report=node_from_json(row["report"]),
        engine=row["engine"],
        present=row["present"],
        drained=row["drained"],
        drain_reason=row["drain_reason"],
        changed_us=row["changed_us"],
    )


def node_to_json(report: NodeReport) -> dict[str, Any]:
    """Return what is kept of a report: everything but the readings that change by the second."""
    value = {name: getattr(report, name) for name in report.__slots__ if name != "devices"}
    value["health_reason"] = report.health_reason.to_json() if report.health_reason else None
    value["facts"] = dict(report.facts)
    value["isolation_gaps"] = [gap.to_json() for gap in report.isolation_gaps]
    value["disk_gib"] = round(report.disk_gib, -1)  # free space moves all the time; tens of GiB matter
    value["devices"] = [
        {
            name: item.to_json() if isinstance(item := getattr(device, name), Text) else item
            for name in device.__slots__
            if name not in _READINGS
        }
        for device in report.devices
    ]
    return value


def node_from_json(value: Mapping[str, Any]) -> NodeReport:
    """Return the report `node_to_json` wrote."""
    devices = tuple(DeviceReport(**_with_reason(device)) for device in value["devices"])
    gaps = tuple(from_json(gap) for gap in value.get("isolation_gaps", ()))
    return NodeReport(**{**_with_reason(value), "devices": devices, "isolation_gaps": gaps})


def _with_reason(value: Mapping[str, Any]) -> dict[str, Any]:
    reason = value.get("health_reason")
    return {**value, "health_reason": from_json(reason) if reason else None}


def with_readings(node: Node, live: NodeReport | None) -> Node:
    """Return the kept node with the momentary readings (temperature, use, power) of a live report."""
    return dataclasses.replace(node, report=live) if live is not None else node
