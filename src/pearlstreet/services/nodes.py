"""The service of nodes: the pool with what is allocated on it, and the engines that run its attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pearlstreet.compute.engines.protocol import Capabilities
from pearlstreet.compute.jobs.burn_ins import refuse_without_org
from pearlstreet.compute.jobs.gauges import CenterGauges, read_gauges
from pearlstreet.compute.jobs.nodes import NodeUse
from pearlstreet.compute.jobs.pool_view import PoolView, look
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.pool.burn_in_records import BurnIn, request_burn_ins
from pearlstreet.store.core import Store
from pearlstreet.store.service import StoreService
from pearlstreet.tenancy.model import Actor

__all__ = ["CenterGauges", "NodeUse", "NodesService", "PoolView"]


@dataclass(frozen=True, slots=True)
class NodesService(StoreService):
    """Commands and queries about nodes and engines."""

    runtime: Runtime

    @property
    def minimum_isolation(self) -> str:
        """Weakest isolation that a node must offer to get jobs."""
        return self.runtime.settings.minimum_isolation

    def engines(self) -> Mapping[str, Capabilities]:
        """Return what each engine of the center can do, by its name."""
        return {name: engine.capabilities() for name, engine in self.runtime.engines.items()}

    def request_burn_ins(
        self, store: Store, actor: Actor, names: Sequence[str], *, all_nodes: bool = False
    ) -> Sequence[BurnIn]:
        """Request a burn-in of nodes. Raises Forbidden, NotFound, Conflict if the settings name no organisation for them."""
        actor.require("nodes:write")
        refuse_without_org(self.runtime)
        return request_burn_ins(store, actor, names, all_nodes=all_nodes)

    def view_pool(self, actor: Actor) -> PoolView:
        """Return the present state of all nodes with what is allocated on them. Raises Forbidden."""
        return look(self.store, actor, self.runtime)

    def read_gauges(self, actor: Actor) -> CenterGauges:
        """Return the current counts of jobs, nodes and cards. Raises Forbidden without metrics:read."""
        return read_gauges(self.store, actor)
