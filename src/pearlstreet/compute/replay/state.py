"""The center while it is replayed: what is free, what runs, what waits, as the arrays that the planner takes.

Nothing is rebuilt from one moment to the next: a start takes amounts out of the nodes' arrays and adds rows, an end gives
them back and cuts the rows. A snapshot is a view of these arrays: it is good until the next change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace

import numpy as np

from pearlstreet.compute.pool.slices import FULL_BP, Share, card_bp
from pearlstreet.compute.replay.columns import Columns
from pearlstreet.compute.replay.constraints import NO_TERMS, Terms
from pearlstreet.compute.replay.trace import Trace
from pearlstreet.compute.scheduling.builder import build
from pearlstreet.compute.scheduling.model import (
    I64,
    NO_LIMIT,
    Reservations,
    Running,
    Services,
    Snapshot,
    Waiting,
    no_reservations,
    no_services,
)
from pearlstreet.compute.scheduling.plan import Placement
from pearlstreet.compute.scheduling.rows import Account, NodeRow, PflopsOf, Request, most_requested
from pearlstreet.compute.scheduling.topology_cache import topology_cache_of

_NONE = -1
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
        self._held_seen: tuple[bytes, Reservations] = b"", no_reservations()
        self._topology_cache = topology_cache_of(self.empty)
        self.trace, self.nodes = trace, self.empty.nodes
        self.know_users(trace.users)
        self.queues = tuple(name for name in trace.queues if name)
        self._queue = _numbers(trace.queues)
        self.usage = self.empty.accounts.usage
        self._position = [
            {int(index): position for position, index in enumerate(row)} for row in self.nodes.device_index
        ]
        self._running_ids: list[str] = []
        self._running_jobs: list[str] = []
        self.running = Columns((np.int64, 18), (np.int32, 6), (np.bool_, 2))
        self._tasks = Columns((np.int32, 2), (np.int64, 2))
        self._devices = Columns((np.int32, 3), (np.int64, 3))
        self._waiting_ids: list[str] = []
        self.waiting = Columns((np.int64, 16), (np.int32, 6), (np.bool_, 1))
        self.services = no_services()
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
        self.waiting.add(
            (
                row, trace.tasks[row], trace.priority[row], trace.submit_us[row], limit_us, likely, 0, 0, 0, NO_LIMIT,
                served_device_us, low, high, trace.min_tasks[row], trace.max_tasks[row], resumes_tasks,
            ),
            (
                trace.org[row], trace.project[row], trace.request[row], _NONE,
                self._user[trace.user[row]], self._queue[trace.queue[row]],
            ),
            (trace.preemptible[row],),
        )  # fmt: skip
        self._waiting_ids.append(trace.ids[row])

    def leave(self, rows: Iterable[int]) -> None:
        """Jobs that wait leave the queue."""
        self._seen_waiting = None
        waiting = self.waiting
        for row in rows:
            position = int((waiting.column(0, 0) == row).argmax())
            waiting.cut(position, position + 1)
            del self._waiting_ids[position]

    @property
    def waiting_rows(self) -> I64:
        """Rows of the trace that wait."""
        return self.waiting.column(0, 0)

    @property
    def running_rows(self) -> I64:
        """Rows of the trace that run."""
        return self.running.column(0, 0)

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
        self.running.add(
            (
                row, trace.priority[row], now_us, expected_end_us, placement.gflops, request.cpu_milli * count,
                request.memory_mib * count, trace.submit_us[row], served_device_us, 0, likely, low, high,
                trace.min_tasks[row], trace.max_tasks[row], sum(device[5] for device in devices), trace.tasks[row], 0,
            ),
            (
                trace.org[row], trace.project[row], _NONE, trace.request[row],
                self._user[trace.user[row]], self._queue[trace.queue[row]],
            ),
            (trace.preemptible[row], False),
        )  # fmt: skip
        name = trace.ids[row]
        self._running_ids.append(f"{name}#{attempt}")
        self._running_jobs.append(name)
        table = np.array(tasks, dtype=np.int64).T
        self._tasks.add_many(table[:2], table[2:])
        if devices:
            table = np.array(devices, dtype=np.int64).T
            self._devices.add_many(table[:3], table[3:])

    def _cards(self, n: int, d: int, given: object) -> int:
        if given.whole:  # type: ignore[attr-defined]
            return FULL_BP
        total = Share(int(self.nodes.device_memory_total[n, d]), FULL_BP)
        return card_bp(Share(given.memory_mib, given.compute_bp), total)  # type: ignore[attr-defined]

    def position_of(self, row: int) -> int:
        """Return the row of a running job of the trace among the running attempts."""
        return int((self.running.column(0, 0) == row).argmax())

    def set_ending(self, position: int, resumes_tasks: int = 0) -> None:
        """Stop requested; `resumes_tasks`: the number of tasks to resume with, 0 if it does not resume."""
        self.running.blocks[2][1, position] = True
        self.running.blocks[0][17, position] = resumes_tasks

    def end(self, row: int) -> None:
        """End a running job of the trace: return its resources to the nodes."""
        self._seen_running = None
        position, nodes = self.position_of(row), self.nodes
        low, high = np.searchsorted(self._tasks.column(0, 0), (position, position + 1)).tolist()
        n = self._tasks.blocks[0][1, low:high]
        np.add.at(nodes.cpu_free, n, self._tasks.blocks[1][0, low:high])
        np.add.at(nodes.memory_free, n, self._tasks.blocks[1][1, low:high])
        self._tasks.cut(low, high)
        self._tasks.column(0, 0)[low:] -= 1
        low, high = np.searchsorted(self._devices.column(0, 0), (position, position + 1)).tolist()
        at = (self._devices.blocks[0][1, low:high], self._devices.blocks[0][2, low:high])
        np.add.at(nodes.device_memory_free, at, self._devices.blocks[1][0, low:high])
        np.add.at(nodes.device_compute_free, at, self._devices.blocks[1][1, low:high])
        self._devices.cut(low, high)
        self._devices.column(0, 0)[low:] -= 1
        self.running.cut(position, position + 1)
        del self._running_ids[position], self._running_jobs[position]

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
            topology_cache=self._topology_cache,
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
        attempts = [self._tasks.column(0, 0)[np.isin(self._tasks.column(0, 1), whole)]]
        for row in due[held.position[due] >= 0].tolist():
            device, node, position = (self._devices.column(0, column) for column in range(3))
            attempts.append(device[(node == held.node[row]) & (position == held.position[row])])
        positions = np.unique(np.concatenate(attempts))
        return [int(row) for row in self.running.column(0, 0)[positions].tolist()]

    def _running(self) -> Running:
        count = self.running.count
        wide, narrow, flags = (block[:, :count] for block in self.running.blocks)
        tasks, devices = self._tasks, self._devices
        self._seen_running = seen = Running(
            ids=tuple(self._running_ids),
            job_ids=tuple(self._running_jobs),
            org=narrow[0],
            project=narrow[1],
            array=narrow[2],
            priority=wide[1],
            started_us=wide[2],
            expected_end_us=wide[3],
            preemptible=flags[0],
            ending=flags[1],
            gflops=wide[4],
            cpu=wide[5],
            memory=wide[6],
            task_attempt=tasks.column(0, 0),
            task_node=tasks.column(0, 1),
            task_cpu=tasks.column(1, 0),
            task_memory=tasks.column(1, 1),
            device_attempt=devices.column(0, 0),
            device_node=devices.column(0, 1),
            device_position=devices.column(0, 2),
            device_memory=devices.column(1, 0),
            device_compute=devices.column(1, 1),
            device_card_bp=devices.column(1, 2),
            submitted_us=wide[7],
            request=narrow[3],
            user=narrow[4],
            queue=narrow[5],
            served_device_us=wide[8],
            deadline_us=wide[9],
            predicted_end_us=wide[10],
            predicted_low_us=wide[11],
            predicted_high_us=wide[12],
            min_tasks=wide[13],
            max_tasks=wide[14],
            asked_tasks=wide[16],
            resumes_tasks=wide[17],
        )
        return seen

    def _waiting(self) -> Waiting:
        count = self.waiting.count
        wide, narrow, flags = (block[:, :count] for block in self.waiting.blocks)
        self._seen_waiting = seen = Waiting(
            ids=tuple(self._waiting_ids),
            org=narrow[0],
            project=narrow[1],
            request=narrow[2],
            tasks=wide[1],
            priority=wide[2],
            submitted_us=wide[3],
            limit_us=wide[4],
            predicted_us=wide[5],
            preemptible=flags[0],
            not_before_us=wide[6],
            deadline_us=wide[7],
            array=narrow[3],
            element=wide[8],
            array_limit=wide[9],
            user=narrow[4],
            queue=narrow[5],
            served_device_us=wide[10],
            predicted_low_us=wide[11],
            predicted_high_us=wide[12],
            min_tasks=wide[13],
            max_tasks=wide[14],
            resumes_tasks=wide[15],
        )
        return seen


def _numbers(names: Sequence[str]) -> list[int]:
    """Return the number of each name among those that are not empty; -1 for an empty one."""
    numbers, found = 0, []
    for name in names:
        found.append(numbers if name else _NONE)
        numbers += bool(name)
    return found
