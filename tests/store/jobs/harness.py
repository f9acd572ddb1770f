"""A whole center without processes: real services, loops, ledger and simulated engine on one virtual clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S, VirtualClock
from pearlstreet.base.money import parse_yuan
from pearlstreet.base.rng import SeededRng
from pearlstreet.compute.engines.protocol import Engine, PlacementMode
from pearlstreet.compute.engines.simulated import Habits, SimulatedEngine, nodes_from
from pearlstreet.compute.execution.inventory_loop import take_inventory
from pearlstreet.compute.execution.owners import Owner
from pearlstreet.compute.execution.tables import allocations, attempts
from pearlstreet.compute.jobs import service
from pearlstreet.compute.jobs.loops import job_loops
from pearlstreet.compute.jobs.model import ENDED, JobView
from pearlstreet.compute.jobs.runtime import DataFolders, JobsSettings, Runtime
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.compute.jobs.views import get_job
from pearlstreet.ledger.loops import ledger_loops
from pearlstreet.ledger.prices import ensure_default_prices
from pearlstreet.ledger.proof import prove
from pearlstreet.ledger.topups import top_up
from pearlstreet.store.core import Store
from pearlstreet.store.database import Database
from pearlstreet.store.loop import Loop
from pearlstreet.store.sealing import Sealer, SealingKey
from pearlstreet.store.tables import metadata
from pearlstreet.tenancy.model import SYSTEM
from pearlstreet.tenancy.orgs import create_org
from pearlstreet.workload.spec.parse import parse_json

ORG = "acme"
WATCHED_CLOSELY_US = 30_000_000

opened: list[Database] = []
"""Databases in memory, closed after each test."""


def _in_memory() -> Database:
    made = Database("sqlite://")
    metadata.create_all(made.engine)
    opened.append(made)
    return made


class Turns:
    """Which loops a server's runner would step now: those that a hint woke, and those whose interval is over."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: set[str] = set()
        self._awake: set[str] = set()
        self._next_us: dict[str, int] = {}

    def take(self, loop: Loop) -> bool:
        """Whether it is this loop's turn; if so, its next one is an interval away."""
        now_us = self._store.clock.now_us()
        if loop.name not in self._known:
            self._known.add(loop.name)
            self._awake.add(loop.name)
            for topic in loop.hints:
                self._store.hints.listen(topic, partial(self._awake.add, loop.name))
        if loop.name not in self._awake and now_us < self._next_us[loop.name]:
            return False
        self._awake.discard(loop.name)
        self._next_us[loop.name] = now_us + int(loop.interval_s * US_PER_S)
        return True

    def wake(self, loop: Loop) -> None:
        """It has more to do."""
        self._awake.add(loop.name)


@dataclass
class Center:
    """One such center. `run(s)` moves time; the loops whose turn it is step in each tick."""

    folder: Path
    cluster: str = "2x8xH100-80G"
    settings: JobsSettings = field(default_factory=JobsSettings)
    balance: str = "9000"
    wrap: Any = None
    """Puts a fake around the engine."""
    tick_s: float = 0.5
    owners: tuple[Owner, ...] = ()
    """Owners of attempts beside jobs and builds."""
    database: Database | None = None
    """One with every table; by default one in memory."""
    placement: PlacementMode = "device"
    submit_window: int | None = None
    others: Mapping[str, str] = field(default_factory=dict)
    """Clusters of further simulated engines by name."""

    def __post_init__(self) -> None:
        import pearlstreet.app.tables  # noqa: F401

        self.clock = VirtualClock()
        rng = SeededRng(11)
        sealer = Sealer((SealingKey(bytes(32)),), rng)
        self.store = Store(self.database or _in_memory(), clock=self.clock, rng=rng, sealer=sealer)
        self.simulated = SimulatedEngine(
            nodes_from(self.cluster),
            clock=self.clock,
            rng=rng,
            habits=Habits(),
            placement=self.placement,
            submit_window=self.submit_window,
        )
        engine: Engine = self.wrap(self.simulated) if self.wrap else self.simulated
        folders = DataFolders(self.folder)
        folders.create()
        further = {
            name: SimulatedEngine(
                [replace(node, name=f"{name}-{node.name}") for node in nodes_from(cluster)],
                name=name,
                clock=self.clock,
                rng=rng,
                habits=Habits(),
            )
            for name, cluster in self.others.items()
        }
        self.runtime = Runtime(
            engines={engine.name: engine, **further}, folders=folders, settings=self.settings
        )
        self.store.write(ensure_default_prices)
        self.org = create_org(self.store, SYSTEM, ORG)
        top_up(self.store, SYSTEM, self.org.id, parse_yuan(self.balance))
        take_inventory(self.store, self.runtime.engines)
        self.loops: tuple[Loop, ...] = (*job_loops(self.runtime, *self.owners), *ledger_loops())
        self._turns = Turns(self.store)

    def submit(self, org: str = ORG, **spec: Any) -> str:
        """Submit a job that takes 60 s by default; returns its id."""
        base = {"command": ["true"], "time_limit": "10m", "simulate": "60s"}
        return service.submit_job(self.store, SYSTEM, self.runtime, org, parse_json(base | spec)).id

    def step(self, tick_s: float | None = None) -> None:
        """Every loop whose turn it is, then a tick of time."""
        for loop in self.loops:
            if self._turns.take(loop) and loop.step(self.store):
                self._turns.wake(loop)
        self.clock.advance(self.tick_s if tick_s is None else tick_s)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(int(seconds / self.tick_s)):
            self.step()

    def sweep(self) -> None:
        """Step the loops that delete what is old or belongs to nothing."""
        for loop in self.loops:
            if loop.name in ("sweep", "sweep_attempts"):
                loop.step(self.store)

    def finish(self, *job_ids: str, within_s: float = 3600) -> list[JobView]:
        """Run until these jobs have ended; who takes long is watched in larger steps."""
        began_us = self.clock.now_us()
        until_us = began_us + int(within_s * 1e6)
        while any(self.job(job_id).state not in ENDED for job_id in job_ids):
            now_us = self.clock.now_us()
            assert now_us < until_us, [self.job(job_id) for job_id in job_ids]
            self.step(self.tick_s * (1 if now_us - began_us < WATCHED_CLOSELY_US else 5))
        return [self.job(job_id) for job_id in job_ids]

    def job(self, job_id: str) -> JobView:
        """One job as it is now."""
        return get_job(self.store, SYSTEM, job_id)

    def attempts(self, job_id: str) -> list[Mapping[str, Any]]:
        """Its attempts, oldest first."""
        query = sa.select(attempts).where(attempts.c.owner_id == job_id).order_by(attempts.c.number)
        return [dict(row) for row in self.store.read(lambda tx: tx.rows(query))]

    def elements(self, array_id: str) -> list[str]:
        """Ids of an array's elements, by index."""
        query = sa.select(jobs.c.id).where(jobs.c.array_id == array_id).order_by(jobs.c.array_index)
        return [row["id"] for row in self.store.read(lambda tx: tx.rows(query))]

    def held_devices(self) -> int:
        """Devices given to live attempts."""
        return int(self.store.read(lambda tx: tx.scalar(sa.select(sa.func.count()).select_from(allocations))))

    def check_books(self) -> None:
        """The books prove, and the simulated cluster never had a device twice."""
        report = self.store.read(prove)
        assert report.is_right, report.problem
        assert self.simulated.cluster.double_grants() == []
