"""Invariants of starts: gangs start whole, ended attempts never start, a server without the lease writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pearlstreet.compute.engines.protocol import AttemptOrder, AttemptReport, TaskState
from pearlstreet.sim.contracts import SimulatedWorld
from pearlstreet.sim.promises import must

OVER = frozenset({"collecting", "ended"})
PLANNER = "planner"
"""Name of the lease under which a server writes plans."""


class StartRules:
    """Invariants of one world's starts, checked against the submitted jobs and the machines."""

    def __init__(self, world: SimulatedWorld) -> None:
        self._world = world
        self._raw = world.memory.raw
        self._promised: dict[str, tuple[int, int]] = {}
        """Acknowledged job or array → minimum and maximum number of tasks of each attempt."""
        self._sizes: dict[str, dict[str, int]] = {}
        """Job or array → attempt → number of tasks placed."""
        self._nodes: dict[str, Sequence[str]] = {}
        """Attempt → node of each placed task."""
        self._planners: dict[str, str] = {}
        """Token of the planner's lease → server that wrote plans under it."""

    def acknowledged(self, job_id: str, body: Mapping[str, Any]) -> None:
        """Record a job that was acknowledged to a tenant, with the number of tasks in `body`."""
        tasks = int(body.get("tasks", 1))
        elastic = body.get("elastic")
        low, high = (elastic["min_tasks"], elastic["max_tasks"]) if elastic else (tasks, tasks)
        self._promised[job_id] = (low, high)
        for attempt, size in self._sizes.get(job_id, {}).items():
            self._has_its_tasks(job_id, attempt, size)

    def placed(
        self, who: str, job_id: str, attempt: str, nodes: Sequence[str], *, planned: bool = True
    ) -> None:
        """Check the placement of an attempt by the server `who`. `job_id`: the job or, for an element, its array.

        `planned`: the planner placed it, so that the server must hold the planner's lease.
        """
        self._nodes[attempt] = nodes
        self._sizes.setdefault(job_id, {})[attempt] = len(nodes)
        self._has_its_tasks(job_id, attempt, len(nodes))
        if not planned:
            return
        row = self._raw.execute("SELECT token FROM named_leases WHERE name = ?", (PLANNER,)).fetchone()
        must(row is not None, "a plan is written under the planner's lease", f"{who}: nobody has it")
        holder = self._planners.setdefault(row[0], who)
        must(holder == who, "a plan is written under the planner's lease", f"{who}: {holder} has it")

    def _has_its_tasks(self, job_id: str, attempt: str, size: int) -> None:
        low, high = self._promised.get(job_id, (size, size))
        must(low <= size <= high, "a gang has the tasks that it was promised", f"{attempt}: {size}")

    def ordered(self, order: AttemptOrder) -> None:
        """Check that a start order contains every task that was placed, on the node where it was placed."""
        placed = self._nodes.get(order.attempt_id, ())
        nodes = [task.node for task in order.tasks]
        must(nodes == list(placed), "a gang starts whole", f"{order.attempt_id}: {nodes} of {list(placed)}")

    def running(self, report: AttemptReport, state: str | None) -> None:
        """Check the machines' report of a living attempt against the state of its row."""
        attempt = report.attempt_id
        must(
            state not in OVER or attempt in self._world.in_flight.forgotten,
            "what is over does not run",
            f"{attempt} is {state} and {report.state}",
        )
        whole = report.state is not TaskState.STARTING or state != "running"
        must(
            whole or attempt in self._world.in_flight.misreported,
            "a gang runs whole",
            f"{attempt} lacks tasks",
        )

    def applied(self, loop: str, table: str, row_id: str, token: str) -> None:
        """Check that a loop that writes a row still holds the row's lease `token`."""
        # The names of tables come from the product's own metadata.
        query = f"SELECT lease_token FROM {table} WHERE id = ?"  # noqa: S608
        row = self._raw.execute(query, (row_id,)).fetchone()
        held = row is not None and row[0] == token
        must(held, "who lost a lease writes nothing", f"{loop}: {row_id} is leased by another, or by nobody")
