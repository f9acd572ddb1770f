"""What a request for machines needs, and the requests that one planning cycle loads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pearlstreet.compute.pool.slices import ShareRequest
from pearlstreet.compute.scheduling.rows import Request
from pearlstreet.store.core import Row

AccountId = tuple[str, str]
"""Ids of an organisation and a project."""


@dataclass(frozen=True, slots=True)
class ResourceRequest:
    """Resources, limits and retry rules of a job, stored as the column `ask` so that planning need not parse specifications."""

    tasks: int
    accelerators: tuple[str, ...]
    count: int
    share_memory_mib: int
    share_compute_bp: int
    cpu_milli: int
    memory_mib: int
    time_limit_s: float
    preemptible: bool
    retries: int
    retry_on: tuple[str, ...] = ("failure", "engine_lost", "preemption")
    grace_s: float = 30.0
    simulate_s: float | None = None
    deadline_us: int | None = None
    min_tasks: int = 0
    """Minimum number of tasks of an elastic job; 0: it always has `tasks`."""
    max_tasks: int = 0
    engines: tuple[str, ...] = ()
    """Engines that alone may run it; empty: all."""

    @property
    def min_tasks_effective(self) -> int:
        """Minimum number of tasks with which the job can run."""
        return self.min_tasks or self.tasks

    @property
    def max_tasks_effective(self) -> int:
        """Maximum number of tasks that the job can use."""
        return self.max_tasks or self.tasks

    def request(self) -> Request:
        """Return the planner's request for one task."""
        share = None
        if self.share_memory_mib or self.share_compute_bp:
            share = ShareRequest(self.share_memory_mib, self.share_compute_bp)
        return Request(
            self.accelerators, self.count, share, self.cpu_milli, self.memory_mib, domains=self.engines
        )

    def to_json(self) -> dict[str, object]:
        """Return the value stored in the job's row."""
        return {name: getattr(self, name) for name in self.__slots__}

    @staticmethod
    def from_json(value: Row) -> ResourceRequest:
        """Read the value stored in a job's row."""
        lists = ("accelerators", "retry_on", "engines")
        return ResourceRequest(**{**value, **{name: tuple(value.get(name, ())) for name in lists}})


class WaitingRow(Protocol):
    """Columns of a waiting job that the planner reads."""

    id: str
    owner_kind: str
    org_id: str
    project_id: str
    priority: int
    submitted_us: int
    not_before_us: int
    array_id: str | None
    array_index: int | None
    array_max_running: int | None
    reason_code: str | None
    queue: str
    served_device_us: int
    attempts: int


@dataclass(frozen=True, slots=True)
class PlanningWindow:
    """The waiting jobs of one cycle, and the accounts that have more jobs than were loaded."""

    rows: Sequence[WaitingRow] = ()
    """Rows of `jobs` that are planned, without those held back."""
    ids: frozenset[str] = frozenset()
    """Ids of the loaded jobs, including those held back."""
    limits: Mapping[AccountId, int] = field(default_factory=dict)
    """Places of each account that has more waiting jobs than places."""
    waiting: int = 0
    """Number of jobs that could be planned, loaded or not, including elements beyond their array's limit."""
    at_us: int = 0
    """Time of reading (µs since 1970)."""

    def leaves_out(self, row: Row) -> bool:
        """Return whether a queued job existed when the window was filled and got no place in it."""
        return row["id"] not in self.ids and row["submitted_us"] <= self.at_us
