"""Online scheduling of one pool: it learns of arrivals and ends as they happen and decides at once, for a judge's protocol.

Nothing is known of the future: no durations unless they are told. Stops and starts take no time here; what they cost is the
judge's to charge. At one moment the planner is asked again until it stops nobody any more, and what is answered is the
difference between before and after, so that a job that comes to stand where it stood was never disturbed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np

from pearlstreet.base.clock import US_PER_S
from pearlstreet.compute.replay.constraints import Terms
from pearlstreet.compute.replay.state import State
from pearlstreet.compute.replay.trace import Trace, make_trace
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.cycle import plan
from pearlstreet.compute.scheduling.model import Snapshot
from pearlstreet.compute.scheduling.plan import Placement
from pearlstreet.compute.scheduling.registry import ORDERS
from pearlstreet.compute.scheduling.rows import DeviceRow, NodeRow, Quota, Request

MODEL = "gpu"
_ROUNDS_MAX = 64
_SERVICES_MAX = 4096
"""Ended jobs whose device time is remembered, the latest."""
_LEARNING = ("gittins", "las")
"""Orders that learn from them."""

Place = dict[str, int]
"""Devices by node."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A job as a judge tells it."""

    id: str
    org: str
    gpus: int
    user: str = ""
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Decisions of one moment; stops come before starts."""

    stop: tuple[str, ...]
    start: dict[str, Place]
    wake_us: int
    """Time at which the ranking changes without an event; 0: not before the next event."""


@dataclass(slots=True)
class _Job:
    """Facts of a job beyond its planner rows."""

    row: int
    shape: tuple[int, int]
    """Devices of a task, tasks."""
    gpus: int
    served_us: int = 0
    """Run time of earlier attempts."""
    left_us: int = 0
    """Told run time still to come; 0: not told."""
    started_us: int = -1
    place: Place = field(default_factory=dict)
    attempts: int = 0


class OnlinePool:
    """Online scheduler of one pool of equal nodes under one configuration."""

    def __init__(
        self,
        nodes: Sequence[str],
        gpus_per_node: int,
        config: PlannerConfig,
        orgs: Sequence[str] = ("all",),
        quotas: Sequence[Quota] = (),
    ) -> None:
        self.config, self._per_node = config, gpus_per_node
        self._jobs: dict[str, _Job] = {}
        self._running: set[str] = set()
        self._before: dict[str, Place | None] = {}
        """Places, before this decision, of the jobs that it starts or stops; None: no place."""
        self._ids: list[str] = []
        self._requests: dict[Request, int] = {}
        self._org = {name: number for number, name in enumerate(orgs)}
        self._services = np.zeros((2 * _SERVICES_MAX, 2), dtype=np.int64)
        self._ended = 0
        """Number of filled rows."""
        self._users: dict[str, int] = {"": 0}
        self._state = State(
            _capacity_for(64, orgs, cast("tuple[str, ...]", self._ids)),
            [
                NodeRow(name, 0, 0, tuple(DeviceRow(i, MODEL, 1) for i in range(gpus_per_node)))
                for name in nodes
            ],
            lambda model: 1.0,
            Terms(tuple(quotas)),
        )

    def arrive(self, job: Arrival, now_us: int) -> None:
        """A job comes to the queue."""
        row = len(self._ids)
        self._ids.append(job.id)
        trace = self._state.trace
        if row >= len(trace.submit_us):
            trace = self._state.trace = _grown(trace)
        each, tasks = shape_of(job.gpus, self._per_node)
        number = self._requests.setdefault(Request(count=each), len(self._requests))
        if number >= len(trace.requests):
            trace = self._state.trace = _asking(trace, tuple(self._requests))
        trace.submit_us[row], trace.tasks[row], trace.request[row] = now_us, tasks, number
        trace.org[row] = trace.project[row] = self._org[job.org]
        trace.user[row] = self._users.setdefault(job.user, len(self._users))
        self._state.know_users(tuple(self._users))
        known = self._jobs[job.id] = _Job(row, (each, tasks), job.gpus)
        if job.duration_s is not None:
            known.left_us = max(round(job.duration_s * US_PER_S), 1)
        self._queue(known)

    def runs(self, job_id: str) -> bool:
        """Return whether the job holds a place."""
        return job_id in self._running

    def finish(self, job_id: str, now_us: int) -> None:
        """A running job ended."""
        job = self._jobs.pop(job_id)
        self._running.discard(job_id)
        self._state.end(job.row)
        if self._ended == len(self._services):
            self._services[:_SERVICES_MAX] = self._services[_SERVICES_MAX:]
            self._ended = _SERVICES_MAX
        self._services[self._ended] = job.row, (job.served_us + now_us - job.started_us) * job.gpus
        self._ended += 1
        if self.config.order in _LEARNING:
            known = slice(max(self._ended - _SERVICES_MAX, 0), self._ended)
            self._state.learn_services(self._services[known])

    def decide(self, now_us: int) -> Answer:
        """Return which jobs stop and which start, and where."""
        self._before.clear()
        snapshot: Snapshot | None = None
        for _ in range(_ROUNDS_MAX):
            if not self._state.waiting.count:
                break
            snapshot = self._state.snapshot(now_us)
            answer = plan(snapshot, self.config, cache=self._state.cache)
            for placement in answer.placements:
                self._start(placement, now_us)
            if answer.placements:
                self._state.leave(self._jobs[placement.job_id].row for placement in answer.placements)
            for item in answer.preemptions:
                self._stop(item.job_id, now_us)
            if answer.placements or answer.preemptions:
                snapshot = None
            if not answer.preemptions:
                break
        before = self._before
        after = {name: self._jobs[name].place for name in before if name in self._running}
        moved = [name for name, place in after.items() if before[name] != place]
        gone = [name for name, place in before.items() if place is not None and after.get(name) != place]
        for name in moved:
            self._pay(self._jobs[name], restarted=before[name] is not None or self._jobs[name].attempts > 1)
        return Answer(tuple(gone), {name: after[name] for name in moved}, self._wake(now_us, snapshot))

    def _wake(self, now_us: int, snapshot: Snapshot | None) -> int:
        """`snapshot`: of this moment, when nothing changed since it was made."""
        if not self._state.waiting.count or not self._running:
            return 0
        seen = snapshot or self._state.snapshot(now_us)
        return ORDERS[self.config.order].changes_us(seen, self.config)

    def _queue(self, job: _Job) -> None:
        self._state.wait(job.row, job.served_us * job.gpus, (job.left_us, job.left_us, job.left_us))

    def _start(self, placement: Placement, now_us: int) -> None:
        job = self._jobs[placement.job_id]
        end = now_us + job.left_us if job.left_us else 0
        self._state.start(
            job.row, job.attempts, placement, now_us, 0, job.served_us * job.gpus, (end, end, end)
        )
        self._before.setdefault(placement.job_id, None)
        job.started_us, job.attempts = now_us, job.attempts + 1
        job.place = {}
        left = job.gpus
        for task in placement.tasks:
            given = min(job.shape[0], left)
            left -= given
            job.place[task.node] = job.place.get(task.node, 0) + given
        self._running.add(placement.job_id)

    def _stop(self, job_id: str, now_us: int) -> None:
        job = self._jobs[job_id]
        self._before.setdefault(job_id, job.place)
        self._state.end(job.row)
        self._running.discard(job_id)
        ran = now_us - job.started_us
        job.served_us += ran
        if job.left_us:
            job.left_us = max(job.left_us - ran, 1)
        self._queue(job)

    def _pay(self, job: _Job, *, restarted: bool) -> None:
        """Add the cost of a restart to the job's remaining run time, if that is known."""
        if not restarted or not job.left_us:
            return
        cost = self.config.restart_gang_s if job.shape[1] > 1 else self.config.restart_s
        job.left_us += round(cost * US_PER_S)
        position = self._state.position_of(job.row)
        for column in ("predicted_end_us", "predicted_low_us", "predicted_high_us"):
            self._state.running[column][position] = job.started_us + job.left_us


def shape_of(gpus: int, per_node: int) -> tuple[int, int]:
    """Return devices of a task and number of tasks: on the fewest nodes, spread as evenly as possible."""
    tasks = -(-gpus // per_node)
    return -(-gpus // tasks), tasks


def _capacity_for(rows: int, orgs: Sequence[str], ids: tuple[str, ...]) -> Trace:
    """Return a trace with capacity for this number of jobs."""
    empty = make_trace(())
    wide, narrow = np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=np.int32)
    flag = np.zeros(rows, dtype=np.bool_)
    return replace(
        empty, ids=ids, submit_us=wide.copy(), duration_us=wide, request=narrow.copy(), tasks=wide.copy(),
        org=narrow.copy(), project=narrow.copy(), user=narrow.copy(), queue=narrow, priority=wide, limit_us=wide,
        preemptible=~flag, stays=flag, min_tasks=wide, max_tasks=wide, orgs=tuple(orgs),
        projects=tuple(enumerate(orgs)), users=("",), queues=("",),
    )  # fmt: skip


def _grown(trace: Trace) -> Trace:
    """Return a copy with capacity for twice as many jobs."""
    larger = _capacity_for(2 * len(trace.submit_us), trace.orgs, trace.ids)
    for name in ("submit_us", "tasks", "request", "org", "project", "user"):
        getattr(larger, name)[: len(trace.submit_us)] = getattr(trace, name)
    return _asking(larger, trace.requests)


def _asking(trace: Trace, requests: tuple[Request, ...]) -> Trace:
    return replace(trace, requests=requests)
