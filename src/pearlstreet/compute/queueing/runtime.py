"""Settings of queueing, what its loops and services use beside the store, and the planner's last results."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pearlstreet.compute.engines.protocol import Engine
from pearlstreet.compute.execution.owners import Owners
from pearlstreet.compute.execution.settings import ExecutionSettings
from pearlstreet.compute.queueing.decisions.log import DecisionLog, DecisionSettings
from pearlstreet.compute.queueing.model import PlanningWindow
from pearlstreet.compute.queueing.policy.model import Policy
from pearlstreet.compute.queueing.policy.rows import PolicyReader
from pearlstreet.compute.scheduling.model import Snapshot
from pearlstreet.compute.scheduling.plan import Wait
from pearlstreet.compute.scheduling.rows import Request


@dataclass(frozen=True, slots=True)
class QueueingSettings(ExecutionSettings):
    """Settings of planning and of the attempts that it places. Times are in seconds."""

    policy: Policy = field(default_factory=Policy)
    """Scheduling policy until another version is set."""
    decisions: DecisionSettings = field(default_factory=DecisionSettings)
    window_ahead_s: float = 24 * 3600
    """Time before maintenance at which the owners of jobs that it will stop are notified."""
    window_notice_s: float = 600
    """Minimum time between that notification and stopping a job."""
    plan_interval_s: float = 5


FEASIBLE_MAX = 10_000


@dataclass(slots=True)
class PlannerStatus:
    """Results of the last planning cycle, in memory: the reason of each waiting job and the snapshot of the pool."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _waits: Mapping[str, Wait] = field(default_factory=dict)
    _snapshot: Snapshot | None = None
    _window: PlanningWindow = field(default_factory=PlanningWindow)
    _pool: bytes = b""
    _feasible: set[tuple[Request, int]] = field(default_factory=set)

    def publish(
        self, snapshot: Snapshot, waits: Mapping[str, Wait], window: PlanningWindow | None = None
    ) -> None:
        """Publish the results of a cycle and the window of jobs that it loaded (None: unchanged)."""
        pool = _pool_digest(snapshot)
        with self._lock:
            self._snapshot, self._waits = snapshot, waits
            self._window = self._window if window is None else window
            if pool != self._pool:
                self._pool, self._feasible = pool, set()

    def is_known_feasible(self, request: Request, tasks: int) -> bool:
        """Return whether the present pool is known to be able to run the request when empty."""
        return (request, tasks) in self._feasible

    def remember_feasible(self, seen: Snapshot, request: Request, tasks: int) -> None:
        """Remember until the pool changes that the pool of `seen` can run the request when empty."""
        with self._lock:
            if len(self._feasible) < FEASIBLE_MAX and _pool_digest(seen) == self._pool:
                self._feasible.add((request, tasks))

    def wait_of(self, job_id: str) -> Wait | None:
        """Return why a job waits, as of the last cycle; None if it was not planned."""
        return self._waits.get(job_id)

    def window(self) -> PlanningWindow:
        """Return the window of waiting jobs that the last cycle loaded."""
        return self._window

    def snapshot(self) -> Snapshot | None:
        """Return the snapshot of the last cycle; None before the first."""
        return self._snapshot


def _pool_digest(snapshot: Snapshot) -> bytes:
    """Return a digest of the nodes and their total resources, independent of what is free."""
    nodes = snapshot.nodes
    digest = hashlib.blake2b("\n".join(snapshot.models).encode(), digest_size=16)
    for column in (
        nodes.cpu_total,
        nodes.memory_total,
        nodes.schedulable,
        nodes.rack,
        nodes.pod,
        nodes.domain,
        nodes.device_model,
        nodes.device_link,
        nodes.device_healthy,
        nodes.device_memory_total,
    ):
        digest.update(column.tobytes())
    return digest.digest()


class QueueingRuntime(Protocol):
    """What queueing uses of the server's runtime."""

    @property
    def engines(self) -> Mapping[str, Engine]:
        """Engines by name."""

    @property
    def settings(self) -> QueueingSettings:
        """Settings of planning."""

    @property
    def planner_status(self) -> PlannerStatus:
        """Results of the last planning cycle."""

    @property
    def policy(self) -> PolicyReader:
        """Reader of the scheduling policy in force."""

    @property
    def decisions(self) -> DecisionLog:
        """Records of the planner's decisions."""

    @property
    def owners(self) -> Owners:
        """Owners of attempts by kind, once the loops are made."""

    @property
    def pace(self) -> float:
        """Speed of attempts as a multiple of real time."""
