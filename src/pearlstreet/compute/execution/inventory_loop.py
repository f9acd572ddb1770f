"""The loop that updates the pool's nodes from what engines report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import structlog

from pearlstreet.base.outcome import Done, Outcome
from pearlstreet.compute.engines.protocol import Engine
from pearlstreet.compute.execution.engine_states import EngineStates, silence_reason
from pearlstreet.compute.execution.lifecycle import NODES
from pearlstreet.compute.execution.settings import Execution
from pearlstreet.compute.hardware.isolation import Isolation, shortfall
from pearlstreet.compute.hardware.model import NodeReport
from pearlstreet.compute.pool.inventory import all_nodes, node_to_json, record_nodes, suspend_nodes
from pearlstreet.store.core import Store
from pearlstreet.store.loop import CycleLoop, Loop

log = structlog.get_logger("inventory")


def inventory_loop(execution: Execution) -> Loop:
    """Return the loop that updates the pool's nodes from what engines report."""
    return CycleLoop(
        name="inventory", cycle=partial(_cycle, execution), hints=(NODES,), interval_s=3.0, rest=5.0
    )


def _cycle(execution: Execution, store: Store) -> bool:
    take_inventory(store, execution.engines, execution.settings.minimum_isolation, execution.states)
    return False


def take_inventory(
    store: Store,
    engines: Mapping[str, Engine],
    minimum: Isolation = "none",
    states: EngineStates | None = None,
) -> None:
    """Read the nodes of every engine once, and write them if anything but a sensor reading changed.

    Nodes of an engine that has been silent for `SILENT_S` become unhealthy until it answers; what runs there goes on.
    """
    states = EngineStates() if states is None else states
    for name, engine in engines.items():
        seen = read_nodes(engine, minimum)
        if not isinstance(seen, Done):
            log.warning("engine does not answer", engine=name, reason=str(seen.reason))
            states.note_failure(name, seen.reason, store.clock.now_us())
            if states.is_silent(name, store.clock.now_us()):
                _suspend_nodes(store, name)
            continue
        states.note_answer(name, store.clock.now_us(), seen.value)
        kept = {
            node.report.name: node_to_json(node.report)
            for node in store.read(all_nodes)
            if node.engine == name and node.present
        }
        if kept != {report.name: node_to_json(report) for report in seen.value}:
            store.write(lambda tx, name=name, seen=seen: record_nodes(tx, name, seen.value))  # type: ignore[misc]
    for gone in {node.engine for node in store.read(all_nodes) if node.present} - engines.keys():
        store.write(lambda tx, gone=gone: record_nodes(tx, gone, ()))  # type: ignore[misc]


def _suspend_nodes(store: Store, engine: str) -> None:
    """Mark the nodes of a silent engine unhealthy, so that no work is placed there."""
    kept = [node.report for node in store.read(all_nodes) if node.engine == engine and node.present]
    if any(report.healthy for report in kept):
        reason = silence_reason(engine)
        ill = [
            replace(report, healthy=False, health_reason=reason) if report.healthy else report
            for report in kept
        ]
        store.write(lambda tx: suspend_nodes(tx, engine, ill, reason))


def read_nodes(engine: Engine, minimum: Isolation) -> Outcome[Sequence[NodeReport]]:
    """Return an engine's nodes; those that isolate jobs less than `minimum` are marked unhealthy with the reason."""
    seen = engine.nodes()
    return Done([demand_isolation(node, minimum) for node in seen.value]) if isinstance(seen, Done) else seen


def demand_isolation(node: NodeReport, minimum: Isolation) -> NodeReport:
    """Return the node's report, marked unhealthy if the node isolates jobs less than `minimum`."""
    reason = shortfall(node.name, node.isolation, minimum)
    if reason is None or not node.healthy:
        return node
    return replace(node, healthy=False, health_reason=reason)
