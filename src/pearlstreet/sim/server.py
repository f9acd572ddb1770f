"""One server process of a world: its store, services, loops and caches, all of which a crash discards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import sqlalchemy as sa

from pearlstreet.base.errors import Unavailable
from pearlstreet.compute.execution.inventory_loop import take_inventory
from pearlstreet.compute.jobs.loops import job_loops
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.startup_recovery import recover
from pearlstreet.ledger.loops import ledger_loops
from pearlstreet.ledger.prices import ensure_default_prices
from pearlstreet.sim.clock import WorldClock
from pearlstreet.sim.contracts import SimulatedWorld
from pearlstreet.sim.database import WorldDatabase
from pearlstreet.sim.engine_proxy import FaultyEngine
from pearlstreet.sim.faults.kind import FaultContext
from pearlstreet.sim.faults.points import InjectionPoint
from pearlstreet.sim.promises import Violation
from pearlstreet.store import leases
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.loop import Loop, RowLoop
from pearlstreet.store.tables import state_events

AGAIN_S = 1.0
"""Time after which a loop whose step failed runs again."""


class Server:
    """A server, set up as by `app.wiring` and `app.serve`. `alone`: the only server of its database frees all leases."""

    def __init__(self, world: SimulatedWorld, name: str, *, alone: bool) -> None:
        self.name = name
        self.world = world
        self.doomed = False
        """Whether another server has taken over while this one was paused; it dies after its pending write."""
        self.busy: set[str] = set()
        """Names of the loops in the middle of a step."""
        clock = WorldClock(world.time)
        database = WorldDatabase(world.memory, _InjectionPoints(self))
        self.store = Store(database, clock=clock, rng=world.rng, sealer=world.sealer)
        newest_us = self.store.read(lambda tx: tx.scalar(sa.select(sa.func.max(state_events.c.at_us))))
        clock.not_before(newest_us or 0)
        if alone:
            self.store.write(leases.free_all)
        self.store.write(ensure_default_prices)
        proxy = FaultyEngine(world, self)
        self.runtime = Runtime({proxy.name: proxy}, world.folders, world.scenario.settings)
        self.store.write(lambda tx: recover(tx, self.runtime))
        take_inventory(self.store, self.runtime.engines, self.runtime.settings.minimum_isolation)
        self.loops: list[Loop] = [self._watched(loop) for loop in (*job_loops(self.runtime), *ledger_loops())]
        self._due_s = {loop.name: 0.0 for loop in self.loops}
        for loop in self.loops:
            for topic in loop.hints:
                self.store.hints.listen(topic, partial(self._hinted, loop.name))

    def due(self) -> list[Loop]:
        """Return the loops whose interval has elapsed or that were woken."""
        now_s = self.world.time.elapsed_ns() / 1e9
        return [loop for loop in self.loops if self._due_s[loop.name] <= now_s and loop.name not in self.busy]

    def wake_all(self) -> None:
        """Make every loop due."""
        self._due_s = dict.fromkeys(self._due_s, 0.0)

    def step(self, loop: Loop) -> None:
        """Run one step of a loop, as its thread would. Raises Violation if it fails without an injected fault."""
        world = self.world
        self.busy.add(loop.name)
        self._due_s[loop.name] = world.time.elapsed_ns() / 1e9 + loop.interval_s
        try:
            if loop.step(self.store):
                self._due_s[loop.name] = 0.0
        except Unavailable:
            self._due_s[loop.name] = world.time.elapsed_ns() / 1e9 + AGAIN_S
        except Exception as error:
            raise Violation("a loop fails only when its store does", f"{loop.name}: {error!r}") from error
        finally:
            self.busy.discard(loop.name)

    def _watched(self, loop: Loop) -> Loop:
        """Return a row loop with one worker, for a deterministic order, and a check before each write."""
        if not isinstance(loop, RowLoop):
            return loop
        starts, name, table, apply = self.world.checker.starts, loop.name, loop.table.name, loop.apply

        def looked_at(tx: Tx, row_id: str, token: str, *rest: Any) -> Any:
            starts.applied(name, table, row_id, token)
            return apply(tx, row_id, token, *rest)

        watched: Loop = replace(loop, workers=1, apply=looked_at)
        return watched

    def _hinted(self, loop: str) -> None:
        kind = self.world.faults.draw(InjectionPoint.HINT)
        if kind is not None:
            self.world.faults.inject(kind, FaultContext(self.world, self, loop))
            return
        self._due_s[loop] = 0.0


class _InjectionPoints:
    """Injection points around a server's transactions."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def before_write(self) -> None:
        self._server.world.interleave(self._server)
        self._inject(InjectionPoint.BEFORE_WRITE)

    def before_commit(self) -> None:
        self._inject(InjectionPoint.BEFORE_COMMIT)

    def after_commit(self) -> None:
        self._server.world.checker.after_commit(self._server.name)
        self._inject(InjectionPoint.AFTER_COMMIT)

    def before_read(self) -> None:
        self._inject(InjectionPoint.BEFORE_READ)

    def _inject(self, point: InjectionPoint) -> None:
        world = self._server.world
        kind = world.faults.draw(point)
        if kind is not None:
            world.faults.inject(kind, FaultContext(world, self._server))


Work = Callable[[], object]
