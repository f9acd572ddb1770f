"""The center while it is replayed: what is free, what runs, what waits, as the arrays that the planner takes.

Nothing is rebuilt from one moment to the next: a start takes amounts out of the nodes' arrays and adds rows, an end gives
them back and cuts the rows. A snapshot is a view of these arrays: it is good until the next change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from pearlstreet.compute.pool.slices import FULL_BP, Share, card_bp
from pearlstreet.compute.replay.constraints import NO_TERMS, Terms
from pearlstreet.compute.replay.growing_table import GrowingTable
from pearlstreet.compute.replay.trace import Trace
from pearlstreet.compute.scheduling.builder import build, split_columns
from pearlstreet.compute.scheduling.model import (
    I64,
    Reservations,
    Running,
    Services,
    Snapshot,
    Waiting,
)
from pearlstreet.compute.scheduling.plan import Placement
from pearlstreet.compute.scheduling.rows import Account, NodeRow, PflopsOf, Request, most_requested
from pearlstreet.compute.scheduling.schema import Column, columns_of, empty_table
from pearlstreet.compute.scheduling.topology_cache import PlannerCache

_ROW = Column("R", "number", "Row of the trace", name="row", dtype=np.int64)
_CARDS = Column("R", "basis points", "Cards that the attempt counts as", name="cards_bp", dtype=np.int64)
_LATELY = 10_000


class State:
    """Mutable: one replay owns it."""

    def __init__(
        self, trace: Trace, nodes: Iterable[NodeRow], pflops_of: PflopsOf, terms: Terms = NO_TERMS
    ) -> None:
        weights = {(one.org, one.project): one for one in terms.accounts}
        accounts = [
            replace(weights.get((trace.orgs[org], name), Account("", "")), org=trace.orgs[org], project=name)
            for org, name in trace.projects
        ]
        # Each row has the number of its reservation as id, by which the replay finds when it begins.
        held = [replace(one.window, id=str(number)) for number, one in enumerate(terms.held)]
        self.empty = build(
            now_us=0,
            nodes=nodes,
            quotas=terms.quotas,
            accounts=accounts,
            reservations=held,
            pflops_of=pflops_of,
        )
        rows = [terms.held[int(number)] for number in self.empty.reservations.ids]
        self.held = replace(self.empty.reservations, ids=tuple(one.window.id for one in rows))
        self._known = np.array([one.known_us for one in rows], dtype=np.int64)
        self._held_seen: tuple[bytes, Reservations] = b"", empty_table(Reservations)
        self.cache = PlannerCache()
        """Values that all plans of the replay reuse."""
        self.trace, self.nodes = trace, self.empty.nodes
        self.know_users(trace.users)
        self.queues = tuple(name for name in trace.queues if name)
        self._queue = _numbers(trace.queues)
        self.usage = self.empty.accounts.usage
        self._position = [
            {int(index): position for position, index in enumerate(row)} for row in self.nodes.device_index
        ]
        self.running = GrowingTable((_ROW, _CARDS, *columns_of(Running, "R")))
        self._tasks = GrowingTable(columns_of(Running, "T"))
        self._devices = GrowingTable(columns_of(Running, "V"))
        self.waiting = GrowingTable((_ROW, *columns_of(Waiting)))
        self.services = empty_table(Services)
        self.workload: tuple[tuple[Request, int], ...] = ()
        self.revision = 0
        self._seen_running: Running | None = None
        self._seen_waiting: Waiting | None = None
        """Views of the present columns; None after rows were added or removed."""

    def know_users(self, names: Sequence[str]) -> None:
        """Names by the trace's numbers; "" is nobody known."""
        self.users = tuple(name for name in names if name) or ()
        self._user = _numbers(names)

    def learn_services(self, ended: I64) -> None:
        """[jobs, 2] rows of jobs that ended lately and their whole device times."""
        rows, device_us = ended.T.copy()
        trace = self.trace
        each = np.array([max(request.count, 1) for request in trace.requests], dtype=np.int64)
        user = np.array(self._user, dtype=np.int32)
        self.services = Services(
            device_us,
            each[trace.request[rows]] * trace.tasks[rows],
            trace.submit_us[rows],
            user[trace.user[rows]],
        )

    def learn_workload(self, rows: int) -> None:
        """Return the recent requests: those of the last `_LATELY` jobs before a job of the trace."""
        trace, lately = self.trace, slice(max(rows - _LATELY, 0), rows)
        counts = np.bincount(
            trace.request[lately], weights=trace.tasks[lately], minlength=len(trace.requests)
        )
        found = [(trace.requests[i], int(counts[i])) for i in np.flatnonzero(counts).tolist()]
        self.workload = most_requested(found)

    def wait(
        self,
        row: int,
        served_device_us: int = 0,
        predicted_us: tuple[int, int, int] = (0, 0, 0),
        limit_us: int = 0,
        resumes_tasks: int = 0,
    ) -> None:
        """A job of the trace goes to the queue."""
        self._seen_waiting = None
        trace = self.trace
        likely, low, high = predicted_us
        self.waiting.add({
            "row": row, "ids": trace.ids[row],
            "org": trace.org[row], "project": trace.project[row], "request": trace.request[row],
            "user": self._user[trace.user[row]], "queue": self._queue[trace.queue[row]],
            "tasks": trace.tasks[row], "min_tasks": trace.min_tasks[row], "max_tasks": trace.max_tasks[row],
            "resumes_tasks": resumes_tasks,
            "priority": trace.priority[row], "submitted_us": trace.submit_us[row], "limit_us": limit_us,
            "predicted_us": likely, "predicted_low_us": low, "predicted_high_us": high,
            "served_device_us": served_device_us, "preemptible": trace.preemptible[row],
        })  # fmt: skip

    def leave(self, rows: Iterable[int]) -> None:
        """Jobs that wait leave the queue."""
        self._seen_waiting = None
        waiting = self.waiting
        for row in rows:
            position = int((waiting["row"] == row).argmax())
            waiting.cut(position, position + 1)

    @property
    def waiting_rows(self) -> I64:
        """Rows of the trace that wait."""
        return self.waiting["row"]

    @property
    def running_rows(self) -> I64:
        """Rows of the trace that run."""
        return self.running["row"]

    def start(
        self,
        row: int,
        attempt: int,
        placement: Placement,
        now_us: int,
        expected_end_us: int = 0,
        served_device_us: int = 0,
        predicted_end_us: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        """Give a job of the trace its place."""
        self._seen_running = None
        trace, nodes, number = self.trace, self.nodes, self.running.count
        request = trace.requests[int(trace.request[row])]
        tasks, devices = [], []
        for task in placement.tasks:
            n = task.node_index
            tasks.append((number, n, request.cpu_milli, request.memory_mib))
            nodes.cpu_free[n] -= request.cpu_milli
            nodes.memory_free[n] -= request.memory_mib
            for given in task.devices:
                d = self._position[n][given.index]
                nodes.device_memory_free[n, d] -= given.memory_mib
                nodes.device_compute_free[n, d] -= given.compute_bp
                devices.append((number, n, d, given.memory_mib, given.compute_bp, self._cards(n, d, given)))
        likely, low, high = predicted_end_us
        count = len(placement.tasks)
        name = trace.ids[row]
        self.running.add({
            "row": row, "ids": f"{name}#{attempt}", "job_ids": name,
            "org": trace.org[row], "project": trace.project[row], "request": trace.request[row],
            "user": self._user[trace.user[row]], "queue": self._queue[trace.queue[row]],
            "priority": trace.priority[row], "submitted_us": trace.submit_us[row], "started_us": now_us,
            "expected_end_us": expected_end_us, "predicted_end_us": likely, "predicted_low_us": low,
            "predicted_high_us": high, "served_device_us": served_device_us,
            "gflops": placement.gflops, "cpu": request.cpu_milli * count, "memory": request.memory_mib * count,
            "cards_bp": sum(device[5] for device in devices),
            "min_tasks": trace.min_tasks[row], "max_tasks": trace.max_tasks[row], "asked_tasks": trace.tasks[row],
            "preemptible": trace.preemptible[row], "ending": False,
        })  # fmt: skip
        self._tasks.add_many(**split_columns(columns_of(Running, "T"), tasks))
        self._devices.add_many(**split_columns(columns_of(Running, "V"), devices))

    def _cards(self, n: int, d: int, given: object) -> int:
        if given.whole:  # type: ignore[attr-defined]
            return FULL_BP
        total = Share(int(self.nodes.device_memory_total[n, d]), FULL_BP)
        return card_bp(Share(given.memory_mib, given.compute_bp), total)  # type: ignore[attr-defined]

    def position_of(self, row: int) -> int:
        """Return the row of a running job of the trace among the running attempts."""
        return int((self.running["row"] == row).argmax())

    def set_ending(self, position: int, resumes_tasks: int = 0) -> None:
        """Stop requested; `resumes_tasks`: the number of tasks to resume with, 0 if it does not resume."""
        self.running["ending"][position] = True
        self.running["resumes_tasks"][position] = resumes_tasks

    def end(self, row: int) -> None:
        """End a running job of the trace: return its resources to the nodes."""
        self._seen_running = None
        position, nodes, tasks, devices = self.position_of(row), self.nodes, self._tasks, self._devices
        low, high = np.searchsorted(tasks["task_attempt"], (position, position + 1)).tolist()
        n = tasks["task_node"][low:high]
        np.add.at(nodes.cpu_free, n, tasks["task_cpu"][low:high])
        np.add.at(nodes.memory_free, n, tasks["task_memory"][low:high])
        tasks.cut(low, high)
        tasks["task_attempt"][low:] -= 1
        low, high = np.searchsorted(devices["device_attempt"], (position, position + 1)).tolist()
        at = (devices["device_node"][low:high], devices["device_position"][low:high])
        np.add.at(nodes.device_memory_free, at, devices["device_memory"][low:high])
        np.add.at(nodes.device_compute_free, at, devices["device_compute"][low:high])
        devices.cut(low, high)
        devices["device_attempt"][low:] -= 1
        self.running.cut(position, position + 1)

    def snapshot(self, now_us: int) -> Snapshot:
        """Return the planner's snapshot; it is valid until the next change of the state."""
        self.revision += 1
        empty = self.empty
        return Snapshot(
            now_us=now_us,
            revision=self.revision,
            models=empty.models,
            model_gflops=empty.model_gflops,
            requests=self.trace.requests,
            arrays=(),
            nodes=self.nodes,
            running=self._seen_running or self._running(),
            waiting=self._seen_waiting or self._waiting(),
            quotas=empty.quotas,
            accounts=empty.accounts,
            users=self.users,
            queues=self.queues,
            reservations=self._held_now(now_us),
            services=self.services,
            workload=self.workload,
            domains=empty.domains,
        )

    def _held_now(self, now_us: int) -> Reservations:
        """Return what is held now or will be, as far as it is known already."""
        if not self.held.count:
            return self.held
        seen = (self._known <= now_us) & (self.held.end_us > now_us)
        key = seen.tobytes()
        if key != self._held_seen[0]:
            rows = np.flatnonzero(seen)
            columns = {column.name: getattr(self.held, column.name) for column in fields(Reservations)}
            ids = columns.pop("ids")
            cut = {name: column[rows] for name, column in columns.items()}
            self._held_seen = key, Reservations(ids=tuple(ids[row] for row in rows.tolist()), **cut)
        return self._held_seen[1]

    def in_the_way(self, now_us: int) -> list[int]:
        """Return the jobs (rows of the trace) that run on nodes under maintenance now."""
        held = self.held
        due = np.flatnonzero((held.org < 0) & (held.start_us <= now_us) & (held.end_us > now_us))
        if not len(due):
            return []
        whole = held.node[due[held.position[due] < 0]]
        tasks, devices = self._tasks, self._devices
        attempts = [tasks["task_attempt"][np.isin(tasks["task_node"], whole)]]
        for row in due[held.position[due] >= 0].tolist():
            there = devices["device_node"] == held.node[row]
            there &= devices["device_position"] == held.position[row]
            attempts.append(devices["device_attempt"][there])
        positions = np.unique(np.concatenate(attempts))
        return [int(row) for row in self.running["row"][positions].tolist()]

    def _running(self) -> Running:
        columns = self.running.columns() | self._tasks.columns() | self._devices.columns()
        self._seen_running = seen = Running(**_of(Running, columns))
        return seen

    def _waiting(self) -> Waiting:
        self._seen_waiting = seen = Waiting(**_of(Waiting, self.waiting.columns()))
        return seen


def _of(table: type, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that a table of a snapshot has."""
    return {column.name: columns[column.name] for column in columns_of(table)}


def _numbers(names: Sequence[str]) -> list[int]:
    """Return the number of each name among those that are not empty; -1 for an empty one."""
    numbers, found = 0, []
    for name in names:
        found.append(numbers if name else -1)
        numbers += bool(name)
    return found
