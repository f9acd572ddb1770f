"""A question about a job that nobody submitted: when would the planner start it?"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from pearlstreet.compute.scheduling.builder import build
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.cycle import plan
from pearlstreet.compute.scheduling.model import Accounts, Snapshot, Waiting
from pearlstreet.compute.scheduling.plan import Wait
from pearlstreet.compute.scheduling.rows import WaitingJob


@dataclass(frozen=True, slots=True)
class Supposed:
    """Answer of the planner for a job that is not submitted. `wait` None: it would start at once."""

    wait: Wait | None
    waiting: int
    """Jobs that wait, without it."""


def suppose(snapshot: Snapshot, config: PlannerConfig, job: WaitingJob) -> Supposed:
    """Plan the snapshot with one more waiting job, whose id nobody has. Changes nothing."""
    answer = plan(with_waiting(snapshot, job), config)
    found = next((wait for wait in answer.waits if wait.job_id == job.id), None)
    return Supposed(found, snapshot.waiting.count)


def with_waiting(snapshot: Snapshot, job: WaitingJob) -> Snapshot:
    """Return the same snapshot with one more waiting job, the last of them."""
    alone = build(now_us=snapshot.now_us, nodes=(), waiting=(job,)).waiting
    requests, request = _numbered(snapshot.requests, job.request)
    users, user = _numbered(snapshot.users, job.user or None)
    queues, queue = _numbered(snapshot.queues, job.queue or None)
    accounts, org, project = _account(snapshot.accounts, job.org, job.project)
    numbers = {"request": request, "user": user, "queue": queue, "org": org, "project": project, "array": -1}
    columns: dict[str, Any] = {}
    for column in fields(Waiting):
        before, more = getattr(snapshot.waiting, column.name), getattr(alone, column.name)
        if column.name == "ids":
            columns["ids"] = (*before, *more)
            continue
        value = np.array([numbers[column.name]]) if column.name in numbers else more
        columns[column.name] = np.concatenate([before, value.astype(before.dtype)])
    return replace(
        snapshot,
        waiting=Waiting(**columns),
        requests=requests,
        users=users,
        queues=queues,
        accounts=accounts,
    )


def _numbered(names: tuple[Any, ...], name: Any) -> tuple[tuple[Any, ...], int]:
    """Return the names with this one among them, and its number; -1 for none."""
    if name is None:
        return names, -1
    return (names, names.index(name)) if name in names else ((*names, name), len(names))


def _account(accounts: Accounts, org: str, project: str) -> tuple[Accounts, int, int]:
    """Return the accounts with this one among them: new ones have weight 1 and no use."""
    orgs, o = _numbered(accounts.orgs, org)
    if len(orgs) > len(accounts.orgs):
        accounts = replace(accounts, orgs=orgs, org_weight=np.append(accounts.org_weight, 1.0))
    for p, name in enumerate(accounts.projects):
        if name == project and int(accounts.project_org[p]) == o:
            return accounts, o, p
    added = replace(
        accounts,
        projects=(*accounts.projects, project),
        project_org=np.append(accounts.project_org, o).astype(np.int32),
        project_weight=np.append(accounts.project_weight, 1.0),
        usage=np.concatenate([accounts.usage.reshape(-1, 3), np.zeros((1, 3))]),
    )
    return added, o, len(accounts.projects)
