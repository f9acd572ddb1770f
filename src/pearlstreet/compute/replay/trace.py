"""A trace: jobs as columns, in the order they were submitted. A million of them fit into a few hundred MB."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pearlstreet.base.clock import US_PER_S
from pearlstreet.compute.scheduling.model import I32, I64, Bools
from pearlstreet.compute.scheduling.rows import Request


@dataclass(frozen=True, slots=True)
class Job:
    """A job as read from a trace. Times are seconds from an arbitrary origin of the trace."""

    id: str
    submit_s: float
    duration_s: float
    """Run time in seconds with all of its tasks."""
    request: Request
    """Resources of one task."""
    tasks: int = 1
    org: str = "all"
    """The virtual cluster, account or organisation that it belongs to."""
    project: str = ""
    user: str = ""
    queue: str = ""
    priority: int = 0
    limit_s: float = 0.0
    """Enforced run time; 0: none is known."""
    preemptible: bool = True
    stays: bool = False
    """Whether it never ends, and is dropped if it cannot start at once (arrival experiment)."""
    min_tasks: int = 0
    max_tasks: int = 0
    """Largest number of tasks of an elastic job; 0: it runs only with `tasks`."""


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Jobs by submit time, ties in the order of the file. Times are µs from the first submission."""

    ids: tuple[str, ...]
    submit_us: I64
    duration_us: I64
    request: I32
    tasks: I64
    org: I32
    project: I32
    user: I32
    queue: I32
    priority: I64
    limit_us: I64
    preemptible: Bools
    stays: Bools
    min_tasks: I64
    """Smallest number of tasks of each elastic job; 0: the job is not elastic."""
    max_tasks: I64
    requests: tuple[Request, ...]
    orgs: tuple[str, ...]
    projects: tuple[tuple[int, str], ...]
    """(organisation, name)"""
    users: tuple[str, ...]
    queues: tuple[str, ...]
    origin_s: float = 0.0
    """Submit time of the first job, in the trace's own time."""

    @property
    def count(self) -> int:
        """Number of jobs."""
        return len(self.ids)

    def only(self, rows: I64) -> Trace:
        """Return some of the jobs, in the same order; names keep their numbers."""
        picked = rows.tolist()
        return Trace(
            ids=tuple(self.ids[row] for row in picked),
            submit_us=self.submit_us[rows],
            duration_us=self.duration_us[rows],
            request=self.request[rows],
            tasks=self.tasks[rows],
            org=self.org[rows],
            project=self.project[rows],
            user=self.user[rows],
            queue=self.queue[rows],
            priority=self.priority[rows],
            limit_us=self.limit_us[rows],
            preemptible=self.preemptible[rows],
            stays=self.stays[rows],
            min_tasks=self.min_tasks[rows],
            max_tasks=self.max_tasks[rows],
            requests=self.requests,
            orgs=self.orgs,
            projects=self.projects,
            users=self.users,
            queues=self.queues,
            origin_s=self.origin_s,
        )


class _Names:
    def __init__(self) -> None:
        self.numbers: dict[object, int] = {}

    def __call__(self, name: object) -> int:
        return self.numbers.setdefault(name, len(self.numbers))


def make_trace(jobs: Iterable[Job]) -> Trace:
    """Return columns of the jobs, one job in memory at a time."""
    ids: list[str] = []
    wide = [array("q") for _ in range(7)]
    narrow = [array("i") for _ in range(5)]
    flags = [array("b") for _ in range(2)]
    requests, orgs, projects, users, queues = (_Names() for _ in range(5))
    for job in jobs:
        ids.append(job.id)
        org = orgs(job.org)
        elastic = (job.min_tasks, job.max_tasks)
        times = (_us(job.submit_s), _us(job.duration_s), job.tasks, job.priority, _us(job.limit_s), *elastic)
        names = (
            requests(job.request),
            org,
            projects((org, job.project or job.org)),
            users(job.user),
            queues(job.queue),
        )
        for column, value in zip(wide, times, strict=True):
            column.append(value)
        for numbers, name in zip(narrow, names, strict=True):
            numbers.append(name)
        flags[0].append(job.preemptible)
        flags[1].append(job.stays)
    submit = np.array(wide[0], dtype=np.int64)
    order = np.argsort(submit, kind="stable")
    submit = submit[order]
    w = [np.array(column, dtype=np.int64)[order] for column in wide]
    n = [np.array(numbers, dtype=np.int32)[order] for numbers in narrow]
    f = [np.array(flag, dtype=np.int8)[order].astype(np.bool_) for flag in flags]
    return Trace(
        ids=tuple(ids[row] for row in order.tolist()),
        submit_us=submit - (submit[0] if len(submit) else 0),
        duration_us=w[1],
        request=n[0],
        tasks=w[2],
        org=n[1],
        project=n[2],
        user=n[3],
        queue=n[4],
        priority=w[3],
        limit_us=w[4],
        preemptible=f[0],
        stays=f[1],
        min_tasks=w[5],
        max_tasks=w[6],
        requests=tuple(requests.numbers),  # type: ignore[arg-type]
        orgs=tuple(str(name) for name in orgs.numbers),
        projects=tuple(projects.numbers),  # type: ignore[arg-type]
        users=tuple(str(name) for name in users.numbers),
        queues=tuple(str(name) for name in queues.numbers),
        origin_s=float(submit[0]) / US_PER_S if len(submit) else 0.0,
    )


def _us(seconds: float) -> int:
    return round(seconds * US_PER_S)
