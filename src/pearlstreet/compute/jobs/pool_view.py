"""The pool for people: nodes with their sensor readings, what is allocated on them, and the totals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pearlstreet.compute.hardware.normalise import Capacity, NormalisedRate
from pearlstreet.compute.jobs.nodes import NodeUse, node_uses
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.pool import inventory
from pearlstreet.compute.pool.capacity import cpu_pflops, pool_capacity, rates_by_model
from pearlstreet.compute.pool.health_records import NodeHealth, read_health
from pearlstreet.compute.pool.inventory import Node
from pearlstreet.store.core import Store
from pearlstreet.tenancy.model import Actor


@dataclass(frozen=True, slots=True)
class EngineUse:
    """Nodes and devices of one engine, and what is allocated on them."""

    name: str
    nodes: int
    nodes_available: int
    cards: int
    cards_given: float


@dataclass(frozen=True)
class PoolView:
    """All nodes and the totals. The caller must remove other tenants' jobs from `uses`."""

    nodes: Sequence[Node]
    uses: Mapping[str, NodeUse]
    rates: Mapping[str, NormalisedRate]
    """Normalised compute rate of one card, by model."""
    cpu_pflops: Mapping[str, float | None]
    """Measured PFLOPS of the CPU by node; None: not measured."""
    capacity: Capacity
    cards_given: float
    health: Mapping[str, NodeHealth]
    """Findings of the health rules by node; without those that were never sampled."""

    def use(self, name: str) -> NodeUse:
        """Return what is allocated on a node."""
        return self.uses.get(name) or NodeUse()

    def health_of(self, name: str) -> NodeHealth:
        """Return what the health rules know of a node."""
        return self.health.get(name) or NodeHealth()

    def by_engine(self) -> Sequence[EngineUse]:
        """Return the use of each engine that has nodes, by name."""
        found = []
        for name in sorted({node.engine for node in self.nodes if node.present}):
            own = [node for node in self.nodes if node.present and node.engine == name]
            found.append(
                EngineUse(
                    name,
                    len(own),
                    sum(node.schedulable for node in own),
                    sum(len(node.report.devices) for node in own),
                    round(sum(self.use(node.report.name).cards for node in own), 4),
                )
            )
        return found

    @property
    def pflops_given(self) -> float:
        """Normalised compute of the allocated devices in PFLOPS."""
        total = 0.0
        for node in self.nodes:
            given = self.use(node.report.name).given
            total += sum(
                float(self.rates[device.model].pflops) * given.get(device.index, 0.0)
                for device in node.report.devices
            )
        return total


def look(store: Store, actor: Actor, runtime: Runtime) -> PoolView:
    """Return the state of the pool as the last inventory saw it, without a call of an engine. Raises Forbidden."""
    found = inventory.list_nodes(store, actor)
    benchmarks, uses, health = store.read(
        lambda tx: (inventory.latest_benchmarks(tx), node_uses(tx), read_health(tx))
    )
    seen = runtime.engine_states.reports()
    shown = [inventory.with_readings(node, seen.get(node.report.name)) for node in found]
    return PoolView(
        nodes=shown,
        uses=uses,
        health=health,
        rates=rates_by_model(shown, benchmarks),
        cpu_pflops={node.report.name: cpu_pflops(node, benchmarks) for node in shown},
        capacity=pool_capacity(shown, benchmarks),
        cards_given=round(sum(use.cards for use in uses.values()), 4),
    )
