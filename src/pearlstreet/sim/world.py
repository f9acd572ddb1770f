"""One world: machines, servers, clients, faults and the checker, on one clock and one seed, step by step.

In each step time advances, delayed requests arrive, a client acts, a fault may be injected, and every due loop runs.
`interleave` lets other events happen in the middle of a loop's step, between two of its transactions or around its call of
the engine. Threads could interleave at no other points.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from pearlstreet.base.outcome import Done
from pearlstreet.base.rng import Rng
from pearlstreet.compute.engines.simulated import Habits, SimulatedEngine, nodes_from
from pearlstreet.compute.jobs.runtime import DataFolders
from pearlstreet.sim.chance import Chance, stream
from pearlstreet.sim.checker import Checker
from pearlstreet.sim.clients import Clients
from pearlstreet.sim.clock import WorldClock, WorldTime
from pearlstreet.sim.contracts import SimulatedServer
from pearlstreet.sim.convergence import converge
from pearlstreet.sim.database import memory
from pearlstreet.sim.faults.injector import FaultInjector
from pearlstreet.sim.faults.kind import FaultContext
from pearlstreet.sim.faults.points import InjectionPoint
from pearlstreet.sim.in_flight import InFlight
from pearlstreet.sim.promises import Crash
from pearlstreet.sim.scenario import draw_scenario
from pearlstreet.sim.server import Server
from pearlstreet.sim.trace import Trace
from pearlstreet.store.loop import Loop
from pearlstreet.store.sealing import Sealer, SealingKey

CONTENDS_STEPS = 12
"""Number of steps for which a second server works beside the first."""


class World:
    """The simulated world of one seed."""

    def __init__(self, seed: int, folder: Path, trace: Trace | None = None) -> None:
        self.seed = seed
        self.scenario = draw_scenario(seed)
        self.trace = trace or Trace()
        self.number = 0
        self.time = WorldTime()
        self.rng: Rng = stream(seed, "ids")
        self.luck = Chance(seed, "luck")
        self._chance = Chance(seed, "steps")
        self.sealer = Sealer((SealingKey(bytes(32)),), stream(seed, "seals"))
        self.memory = memory()
        self.memory.empty()
        self.folders = DataFolders(folder)
        self.folders.create()
        self.nodes = nodes_from(self.scenario.cluster)
        self.engine = SimulatedEngine(
            self.nodes,
            clock=WorldClock(self.time),
            rng=stream(seed, "engine"),
            habits=Habits(),
        )
        self.in_flight = InFlight()
        self.faults = FaultInjector(Chance(seed, "faults"), self.scenario.kinds, self.scenario.rates)
        self.checker = Checker(self)
        self._clock = WorldClock(self.time)
        self._depth = 0
        self._repairs_s: list[float] = []
        self._contends_until = 0
        self._inside: list[str] = []
        self._named = 0
        self.servers: list[Server] = []
        with self.faults.suspended():
            self.servers.append(self._boot(alone=True))
            self.clients = Clients(self)
            self.clients.create_tenants()

    @property
    def active_server(self) -> Server:
        """The server that clients use."""
        return self.servers[-1]

    def run(self) -> int:
        """Run all steps and then until the world rests. Return the number of cycles to rest. Raises Violation."""
        for _ in range(self.scenario.steps):
            self.step()
        return converge(self)

    def step(self) -> None:
        """Run one step. Raises Violation."""
        self.number += 1
        self.time.advance(self._chance.pick((0.1, 0.5, 1.0, 1.0, 2.0, 5.0)))
        self._arrivals()
        if self._chance.happens(0.6):
            self.on(self.active_server, self.clients.act)
        self._trouble()
        if self._contends_until == self.number and len(self.servers) > 1:
            self.note(self.servers[0].name, "is killed")
            del self.servers[0]
        for server in list(self.servers):
            self.round(server)
        self.checker.after_step()

    def round(self, server: Server) -> None:
        """Run every due loop of a server, in random order."""
        for loop in self._chance.shuffled(server.due()):
            if server in self.servers:
                self.on(server, lambda loop=loop: server.step(loop))  # type: ignore[misc]

    def on(self, server: Server, work: Callable[[], object]) -> None:
        """Do `work` in a server's process, and replace the server if it dies."""
        self._inside.append(server.name)
        try:
            work()
        except Crash as crash:
            # The dead server may not be `server`: one that took over while `server` was paused answers the clients.
            # Its crash ends here, unless its own work is in progress in an outer call.
            if crash.server in self._inside[:-1]:
                raise
            self.note(crash.server, "died")
            self._replace(crash.server)
        finally:
            self._inside.pop()

    def interleave(self, server: SimulatedServer) -> None:
        """Let another event happen, with some probability, in the middle of this server's work."""
        if self._depth or self.faults.is_suspended or not self._chance.happens(self.scenario.race):
            return
        self._depth += 1
        try:
            others = [(other, loop) for other in self.servers for loop in other.due()]
            what = self._chance.pick(("loop", "loop", "people", "fault"))
            if what == "loop" and others:
                self._step_of(*self._chance.pick(others))
            elif what == "fault":
                self._trouble()
            else:
                self.on(self.active_server, self.clients.act)
        finally:
            self._depth -= 1

    def take_over(self, server: SimulatedServer) -> bool:
        """Pause `server` while another takes over and works. Return False if that is not possible now."""
        if self._depth or server not in self.servers or server.doomed:
            return False
        self._depth += 1
        try:
            self.note(server.name, "stands still")
            server.doomed = True
            self.servers = [self._boot(alone=True)]
            for _ in range(self.luck.whole(1, 3)):
                self.time.advance(self.luck.between(1, 60))
                self._arrivals()
                with self.faults.suspended():
                    self.round(self.active_server)
            self.time.advance(self.luck.between(0, 60))
            self.note(server.name, "goes on")
        finally:
            self._depth -= 1
        return True

    def start_second_server(self) -> bool:
        """Start a second server on the same database for some steps; only leases separate the two. Returns False if that is not possible now."""
        if self._depth or len(self.servers) > 1:
            return False
        self.servers.append(self._boot(alone=False))
        self._contends_until = self.number + CONTENDS_STEPS
        return True

    def repair_later(self, after_s: float) -> None:
        """Repair all broken parts after `after_s`."""
        self._repairs_s.append(self.time.elapsed_ns() / 1e9 + after_s)

    def heal(self) -> None:
        """Stop the faults, repair the machines, deliver delayed requests, keep one server, undo operators' changes."""
        self.faults.over = True
        self.note("world", "heals")
        self.engine.set_faults(None)
        self.engine.cluster.repair()
        self._repairs_s.clear()
        self.time.advance(200)
        self._arrivals()
        self.servers = [self._boot(alone=True)]
        self.clients.undo_changes()
        self.clients.resend_unanswered()

    def note(self, who: str, what: str) -> None:
        """Add an event to the trace."""
        self.trace.note(self.number, self._clock.now_us(), who, what)

    def _trouble(self) -> None:
        """Inject a fault, with some probability, between two steps."""
        kind = self.faults.draw(InjectionPoint.WORLD)
        if kind is not None:
            self.on(
                self.active_server, lambda: self.faults.inject(kind, FaultContext(self, self.active_server))
            )

    def _step_of(self, server: Server, loop: Loop) -> None:
        self.on(server, lambda: server.step(loop))

    def _arrivals(self) -> None:
        now_s = self.time.elapsed_ns() / 1e9
        for method, key, answer in self.in_flight.arrived(now_s):
            self.note("wire", f"{method} {key} arrives: {type(answer).__name__}")
        if any(at_s <= now_s for at_s in self._repairs_s):
            self._repairs_s = [at_s for at_s in self._repairs_s if at_s > now_s]
            if not self._repairs_s and isinstance(self.engine.cluster.repair(), Done):
                self.note("machines", "repaired")

    def _replace(self, name: str) -> None:
        """Restart a server that died, unless another has taken over."""
        names = [server.name for server in self.servers]
        if name in names:
            self.servers[names.index(name)] = self._boot(alone=len(names) == 1)

    def _boot(self, *, alone: bool) -> Server:
        self._named += 1
        with ExitStack() as stack:
            stack.enter_context(self.faults.suspended())
            return Server(self, f"s{self._named}", alone=alone)
