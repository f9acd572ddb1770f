"""What the parts of a simulated world see of each other, so that none of them imports the world that is made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from pearlstreet.base.rng import Rng
from pearlstreet.compute.engines.protocol import AttemptOrder, NodeReport
from pearlstreet.compute.engines.simulated import SimulatedEngine
from pearlstreet.compute.jobs.runtime import DataFolders, JobsSettings, Runtime
from pearlstreet.sim.chance import Chance
from pearlstreet.sim.clock import WorldTime
from pearlstreet.sim.database import Memory
from pearlstreet.sim.faults.points import InjectionPoint
from pearlstreet.sim.in_flight import InFlight
from pearlstreet.store.core import Store
from pearlstreet.store.loop import Loop
from pearlstreet.store.sealing import Sealer


class SimulatedServer(Protocol):
    """A server of the world; `server.Server` is one."""

    name: str
    doomed: bool
    busy: set[str]
    store: Store
    runtime: Runtime

    def due(self) -> list[Loop]:
        """Return the loops whose interval has elapsed or that were woken."""

    def wake_all(self) -> None:
        """Make every loop due."""

    def step(self, loop: Loop) -> None:
        """Run one step of a loop."""


class Faults(Protocol):
    """The injector of faults; `faults.injector.FaultInjector` is one. Kinds and contexts are those of `faults.kind`."""

    def draw(self, point: InjectionPoint, method: str = "", trait: str = "") -> Any:
        """Return the fault kind to inject at this visit, or None."""

    def inject(self, kind: Any, context: Any) -> Any:
        """Inject a fault and count it if it took effect."""


class Starts(Protocol):
    """The rules about starts; `start_rules.StartRules` are they."""

    def ordered(self, order: AttemptOrder) -> None:
        """Check a start request."""

    def applied(self, loop: str, table: str, row_id: str, token: str) -> None:
        """Check that a loop writes under its own lease."""


class Judge(Protocol):
    """The checker of invariants; `checker.Checker` is one."""

    @property
    def starts(self) -> Starts:
        """Rules about starts."""

    def promised_job(self, job_id: str, body: Any) -> None:
        """Remember a job whose submission was acknowledged."""

    def after_commit(self, who: str) -> None:
        """Check what a commit wrote."""

    def after_step(self) -> None:
        """Check the world between two steps."""


class People(Protocol):
    """The tenants and operators (`clients.Clients`). Each action returns whether it took effect."""

    @property
    def tenants(self) -> Sequence[Any]:
        """The tenants (`clients.Tenant`)."""

    @property
    def revoke_key(self) -> Callable[[], bool]:
        """Revoke a tenant's key."""

    @property
    def cut_quota(self) -> Callable[[], bool]:
        """Lower a quota."""

    @property
    def take_money(self) -> Callable[[], bool]:
        """Correct a balance down."""

    @property
    def change_prices(self) -> Callable[[], bool]:
        """Publish another price list."""

    @property
    def set_budget(self) -> Callable[[], bool]:
        """Set a budget."""

    @property
    def submit_urgent(self) -> Callable[[], bool]:
        """Submit a job of high priority."""

    @property
    def submit_burst(self) -> Callable[[], bool]:
        """Submit many jobs."""

    @property
    def drain(self) -> Callable[[], bool]:
        """Drain a node."""

    @property
    def suspend(self) -> Callable[[], bool]:
        """Suspend an organisation."""

    def cancel_attempt(self, attempt_id: str) -> bool:
        """Cancel the job of an attempt."""


class ScenarioFacts(Protocol):
    """What parts ask of a scenario; `scenario.Scenario` has more."""

    @property
    def tenants(self) -> int:
        """Number of tenants."""

    @property
    def waiting_max(self) -> int:
        """Maximum number of open jobs per tenant."""

    @property
    def runs_code(self) -> bool:
        """Whether the engine reports that it runs code."""

    @property
    def settings(self) -> JobsSettings:
        """Settings of jobs."""

    @property
    def forgives(self) -> bool:
        """Whether quotas are deleted and credit is raised after the faults stop."""


class SimulatedWorld(Protocol):
    """The world as its parts see it; `world.World` is one."""

    seed: int
    number: int
    """Number of the step."""
    time: WorldTime
    rng: Rng
    luck: Chance
    memory: Memory
    sealer: Sealer
    folders: DataFolders
    nodes: list[NodeReport]
    engine: SimulatedEngine
    in_flight: InFlight

    @property
    def scenario(self) -> ScenarioFacts:
        """The scenario drawn from the seed."""

    @property
    def faults(self) -> Faults:
        """The injector of faults."""

    @property
    def checker(self) -> Judge:
        """The checker of invariants."""

    @property
    def clients(self) -> People:
        """The tenants and operators."""

    @property
    def active_server(self) -> SimulatedServer:
        """The server that clients use."""

    def note(self, who: str, what: str) -> None:
        """Add an event to the trace."""

    def interleave(self, server: SimulatedServer) -> None:
        """Let another event happen, with some probability, in the middle of this server's work."""

    def take_over(self, server: SimulatedServer) -> bool:
        """Pause a server while another takes over. Return False if that is not possible now."""

    def start_second_server(self) -> bool:
        """Start a second server for some steps. Return False if that is not possible now."""

    def repair_later(self, after_s: float) -> None:
        """Repair all broken parts after `after_s`."""

    def heal(self) -> None:
        """Stop the faults and repair everything."""
