"""The engines of a center for people: what each can do, whether it answers, what it owns and runs, and its checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import Conflict, NotFound, Unavailable
from pearlstreet.base.outcome import Done
from pearlstreet.base.text import Text, text
from pearlstreet.compute.engines.accounts import AccountedEngine
from pearlstreet.compute.engines.checks import CheckedEngine, EngineCheck
from pearlstreet.compute.engines.protocol import Capabilities, Engine
from pearlstreet.compute.execution.engine_states import EngineState
from pearlstreet.compute.execution.model import LIVE_ATTEMPT
from pearlstreet.compute.execution.reconciliation import Difference as Difference
from pearlstreet.compute.execution.reconciliation import Reconciliation as Reconciliation
from pearlstreet.compute.execution.reconciliation import reconcile
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs.nodes import node_uses
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.pool.capacity import pool_capacity
from pearlstreet.compute.pool.inventory import Node, all_nodes, latest_benchmarks
from pearlstreet.store import audit
from pearlstreet.store.core import Tx
from pearlstreet.store.service import StoreService
from pearlstreet.tenancy.model import Actor

OPERATE = "settings:read"
"""Scope with which all of an engine is shown; without it only its name and what it can do."""
CHECK = "nodes:write"
CORRECT = "credit:write"
RECONCILED_H = 168.0
"""Hours of which attempts are compared with their cluster's accounting by default."""
_CAPABILITIES = ("runs_code", "images", "fractions", "multi_node", "shells", "services")


@dataclass(frozen=True, slots=True)
class EngineDetails:
    """What operators see of an engine: its state, what it owns, and what runs on it."""

    state: str
    """`answering`, `silent`, or `unknown` until the first inventory after a start."""
    status: EngineState
    wall: str
    placement: str
    """What the center chooses for an attempt there: `device`, `node` or nothing (`engine`)."""
    notices: Sequence[Text]
    nodes: int
    nodes_available: int
    drained: int
    devices: int
    devices_healthy: int
    cards_given: float
    pflops: float
    """Normalised compute of its healthy devices in PFLOPS."""
    attempts: int
    """Number of its attempts that run or are about to."""


@dataclass(frozen=True, slots=True)
class ListedEngine:
    """An engine; `details` None: the actor may see its name and capabilities only."""

    name: str
    kind: str
    capabilities: Sequence[str]
    details: EngineDetails | None = field(default=None)


@dataclass(frozen=True, slots=True)
class EnginesService(StoreService):
    """Queries on engines and their checks."""

    runtime: Runtime

    def list_engines(self, actor: Actor) -> Sequence[ListedEngine]:
        """Return the engines by name. Raises Forbidden without nodes:read."""
        actor.require("nodes:read")
        if not actor.may(OPERATE):
            return [self._plain(name) for name in sorted(self.runtime.engines)]
        return self.store.read(lambda tx: [self._full(tx, name) for name in sorted(self.runtime.engines)])

    def get_engine(self, actor: Actor, name: str) -> ListedEngine:
        """Return an engine. Raises Forbidden without nodes:read, NotFound."""
        actor.require("nodes:read")
        self._engine(name)
        return self.store.read(lambda tx: self._full(tx, name)) if actor.may(OPERATE) else self._plain(name)

    def check_engine(self, actor: Actor, name: str) -> Sequence[EngineCheck]:
        """Run the checks of an engine now. Raises Forbidden without nodes:write, NotFound."""
        actor.require(CHECK)
        engine = self._engine(name)
        return [answers(engine), *(engine.checks() if isinstance(engine, CheckedEngine) else ())]

    def reconcile_engine(
        self, actor: Actor, name: str, *, hours: float = RECONCILED_H, correct: bool = False
    ) -> Reconciliation:
        """Compare the metered time of attempts that ended in the last hours with the accounting of the engine's cluster.

        `correct`: refund what was charged for attempts that differ, and charge the accounted time instead. Raises Forbidden
        without nodes:write (to correct, credit:write too), NotFound, Conflict for an engine without accounting, Unavailable.
        """
        actor.require(CHECK)
        if correct:
            actor.require(CORRECT)
        engine = self._engine(name)
        if not isinstance(engine, AccountedEngine):
            raise Conflict(
                text("The engine {name} drives nothing that keeps accounts of its own", name=name),
                hint=text("Slurm keeps them, with slurmdbd"),
            )
        since_us = self.store.clock.now_us() - int(hours * 3600 * US_PER_S)
        told = engine.accounts(since_us)
        if not isinstance(told, Done):
            raise Unavailable(told.reason)

        def compare(tx: Tx) -> Reconciliation:
            found = reconcile(tx, name, told.value, since_us, correct=correct)
            corrected = sum(one.corrected for one in found.differences)
            if corrected:
                details = {"attempts": corrected}
                audit.record(
                    tx,
                    actor=actor.label,
                    action="engine.reconcile",
                    target=name,
                    org_id=None,
                    details=details,
                )
            return found

        return self.store.write(compare) if correct else self.store.read(compare)

    def has_accounts(self, name: str) -> bool:
        """Return whether the cluster of an engine keeps accounts of its own."""
        return isinstance(self.runtime.engines.get(name), AccountedEngine)

    def _engine(self, name: str) -> Engine:
        engine = self.runtime.engines.get(name)
        if engine is None:
            raise NotFound(
                text("There is no engine {name}", name=name[:80]), hint=text("pearl engines lists them")
            )
        return engine

    def _plain(self, name: str) -> ListedEngine:
        able = self.runtime.engines[name].capabilities()
        return ListedEngine(name, self.runtime.engine_kinds.get(name, name), _names(able))

    def _full(self, tx: Tx, name: str) -> ListedEngine:
        able, status = self.runtime.engines[name].capabilities(), self.runtime.engine_states.state(name)
        owned = [node for node in all_nodes(tx) if node.engine == name and node.present]
        whole, uses = pool_capacity(owned, latest_benchmarks(tx)), node_uses(tx)
        details = EngineDetails(
            state=_state(status),
            status=status,
            wall=able.wall,
            placement=getattr(able, "placement", "device"),
            notices=able.notices,
            nodes=len(owned),
            nodes_available=sum(node.schedulable for node in owned),
            drained=sum(node.drained for node in owned),
            devices=whole.cards,
            devices_healthy=_healthy_devices(owned),
            cards_given=round(
                sum(uses[node.report.name].cards for node in owned if node.report.name in uses), 4
            ),
            pflops=float(whole.normalised_pflops),
            attempts=_live_attempts(tx, name),
        )
        plain = self._plain(name)
        return ListedEngine(plain.name, plain.kind, plain.capabilities, details)


def _names(able: Capabilities) -> Sequence[str]:
    return [name for name in _CAPABILITIES if getattr(able, name)]


def _state(status: EngineState) -> str:
    if status.answering is None:
        return "unknown"
    return "answering" if status.answering else "silent"


def _healthy_devices(owned: Sequence[Node]) -> int:
    return sum(node.report.healthy and device.healthy for node in owned for device in node.report.devices)


def _live_attempts(tx: Tx, engine: str) -> int:
    live = sa.and_(attempts.c.engine == engine, attempts.c.state.in_(LIVE_ATTEMPT))
    return tx.scalar(sa.select(sa.func.count()).select_from(attempts).where(live)) or 0


def answers(engine: Engine) -> EngineCheck:
    """Return whether the engine tells its nodes."""
    title, told = text("It answers and has nodes"), engine.nodes()
    if not isinstance(told, Done):
        fix = text("See the log of the server, and whether what the engine drives is up")
        return EngineCheck("nodes", title, told.reason, fix, blocking=True)
    if not told.value:
        problem = text("It answers, but has no nodes")
        return EngineCheck(
            "nodes", title, problem, text("Add nodes to what the engine drives"), blocking=True
        )
    return EngineCheck("nodes", title)
