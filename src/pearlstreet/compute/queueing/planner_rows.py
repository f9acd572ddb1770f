"""Reads running attempts and quotas as rows of the planner."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.compute.execution.limits import time_left_s
from pearlstreet.compute.execution.model import LIVE_ATTEMPT, AttemptState, StopReason
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.queueing.model import ResourceRequest
from pearlstreet.compute.queueing.owners import Lane
from pearlstreet.compute.queueing.quotas import QUEUED_JOBS
from pearlstreet.compute.scheduling.predict import Prediction
from pearlstreet.compute.scheduling.rows import DeviceRow, DeviceUse, NodeRow, Quota, RunningAttempt, TaskUse
from pearlstreet.storage.quota import STORAGE
from pearlstreet.storage.tables import quotas
from pearlstreet.store.core import Row, Tx

_LIVE = sa.select(
    attempts.c.id,
    attempts.c.engine,
    attempts.c.started_us,
    attempts.c.placed_us,
    attempts.c.stop_reason,
).where(attempts.c.state.in_(LIVE_ATTEMPT))
_WHOLE = sa.select(
    attempts.c.id, attempts.c.owner_id, attempts.c.org_id, attempts.c.project_id, attempts.c.placement, attempts.c.started_us,
    attempts.c.placed_us, attempts.c.time_limit_s, attempts.c.usage, attempts.c.stop_reason, attempts.c.planned, attempts.c.array_id,
    attempts.c.owner_kind,
).where(attempts.c.id.in_(sa.bindparam("ids", expanding=True)))  # fmt: skip
NEXT_TASKS = "next_tasks"
"""Key in the placement of an attempt stopped for a resize: number of tasks with which its job continues."""
_RESIZED = sa.select(attempts).where(
    attempts.c.owner_id.in_(sa.bindparam("ids", expanding=True)),
    attempts.c.stop_reason == StopReason.RESIZED.value,
)
_KEPT = (
    sa.select(attempts.c.id)
    .where(attempts.c.state == AttemptState.COLLECTING.value)
    .where(attempts.c.stop_reason == StopReason.RESIZED.value)
)
Predict = Callable[[str, str, str, ResourceRequest], Prediction | None]
"""Run-time prediction of a job from its organisation, user, name and resource request."""
CHUNK = 500
"""Number of ids in one IN list."""


@dataclass(slots=True)
class LiveAttempts:
    """Cache of the attempts that hold resources, as rows of the planner.

    A placement is parsed once, and once more at the start if its engine chooses nodes or devices itself; the columns that change
    are read every time.
    """

    self_placing: Collection[str] = frozenset()
    """Engines that choose nodes or devices themselves."""
    lanes: Mapping[str, Lane] = field(default_factory=dict)
    """Lanes of the center's own work by kind of owner; each limits how many attempts run at once."""
    known: dict[str, RunningAttempt] = field(default_factory=dict)
    _limit_us: dict[str, int] = field(default_factory=dict)
    """Time limit of each attempt in µs of real time, by attempt."""

    def load(self, tx: Tx, predict: Predict = lambda *_: None) -> list[RunningAttempt]:
        """Return all attempts that hold resources now; new ones get a run-time prediction."""
        rows = tx.execute(_LIVE).all()
        resized = {row.id for row in rows if row.stop_reason == StopReason.RESIZED.value}
        told = {row_id for row_id in resized if row_id in self.known and self.known[row_id].resumes_tasks}
        for row_id in resized - told:
            self.known.pop(
                row_id, None
            )  # the stop for a resize added the number of tasks of the next attempt
        for row in rows:
            if row.engine in self.self_placing and self._has_started(row):
                del self.known[row.id]
        self.known = {row.id: self.known[row.id] for row in rows if row.id in self.known}
        self._limit_us = {row_id: self._limit_us[row_id] for row_id in self.known}
        unknown = [row.id for row in rows if row.id not in self.known]
        for start in range(0, len(unknown), CHUNK):
            for whole in tx.execute(_WHOLE, {"ids": unknown[start : start + CHUNK]}).mappings():
                self.known[whole["id"]] = one = self._with_lane(whole, _running(whole, predict))
                self._limit_us[one.id] = (one.expected_end_us or 0) - one.started_us
        for row in rows:
            kept, started_us = self.known[row.id], row.started_us or row.placed_us
            ending = row.stop_reason is not None
            end_us = self._limit_us[row.id] + _expected_start_us(row, tx.now_us)
            if (kept.started_us, kept.expected_end_us, kept.ending) != (started_us, end_us, ending):
                self.known[row.id] = replace(
                    kept, started_us=started_us, expected_end_us=end_us, ending=ending
                )
        return [*self.known.values(), *self._kept(tx, predict)]

    def _has_started(self, row: Any) -> bool:
        """Return whether an attempt has started since it was read, so that its placement may be another."""
        known = self.known.get(row.id)
        return known is not None and known.started_us != (row.started_us or row.placed_us)

    def _with_lane(self, row: Row, attempt: RunningAttempt) -> RunningAttempt:
        lane = self.lanes.get(row["owner_kind"])
        return attempt if lane is None else replace(attempt, array=lane.name, queue=lane.name)

    def _kept(self, tx: Tx, predict: Predict) -> list[RunningAttempt]:
        """Return attempts stopped for a resize whose outputs are being stored: they hold no devices, but keep their place."""
        ids, found = list(tx.execute(_KEPT).scalars()), list[RunningAttempt]()
        for start in range(0, len(ids), CHUNK):
            rows = tx.execute(_WHOLE, {"ids": ids[start : start + CHUNK]}).mappings()
            found += (_running(whole, predict) for whole in rows)
        return [replace(one, tasks=()) for one in found if one.resumes_tasks]


def _expected_start_us(row: Any, now_us: int) -> int:
    """Return when an attempt started or, before that, its expected start: now plus the time since its placement.

    The time limit counts from the start. When it was counted from the placement, an attempt with a slow start looked overdue and
    its devices nearly free, and nothing was backfilled onto idle devices beside it for up to an hour.
    """
    if row.started_us is not None:
        return int(row.started_us)
    return int(now_us + max(0, now_us - row.placed_us))


def planned_of(request: Any, ask: ResourceRequest) -> dict[str, object]:
    """Return what an attempt keeps of its waiting request, so that it can be planned further while it runs."""
    return {
        "request": ask.to_json(),
        "priority": request["priority"],
        "submitted_us": request["submitted_us"],
        "user": request["user_digest"],
        "name": request["name"],
        "queue": request["queue"],
        "served_device_us": request["served_device_us"],
    }


def user_of(owner: str) -> str:
    """Return a digest of the job owner for orders that are fair between users; all API keys of a user have the same."""
    return hashlib.blake2b(owner.split(" ")[0].encode(), digest_size=8).hexdigest()


def _occupied(row: Row, started_us: int) -> RunningAttempt:
    """Return an attempt that was not planned: it holds resources until its time limit and is never stopped for others."""
    return RunningAttempt(
        id=row["id"],
        job_id=row["owner_id"],
        org=row["org_id"],
        project=row["project_id"],
        tasks=_tasks(row["placement"]),
        started_us=started_us,
        expected_end_us=_limit_end_us(row, started_us),
        ending=row["stop_reason"] is not None,
        model=row["placement"].get("model", ""),
    )


def _limit_end_us(row: Row, started_us: int) -> int:
    """Return when an attempt reaches its time limit (µs since 1970), in real time."""
    return started_us + int(row["time_limit_s"] / row["usage"].get("pace", 1.0) * US_PER_S)


def _tasks(placement: Row) -> tuple[TaskUse, ...]:
    return tuple(
        TaskUse(
            node=task["node"],
            cpu_milli=task["cpu_milli"],
            memory_mib=task["memory_mib"],
            devices=tuple(
                DeviceUse(d["index"], None, None)
                if d["whole"]
                else DeviceUse(d["index"], d["memory_mib"], d["compute_bp"])
                for d in task["devices"]
            ),
        )
        for task in placement["tasks"]
    )


def _running(row: Row, predict: Predict) -> RunningAttempt:
    started_us = row["started_us"] or row["placed_us"]
    planned = row["planned"]
    if planned is None:
        return _occupied(row, started_us)
    ask = ResourceRequest.from_json(planned["request"])
    guess = predict(row["org_id"], planned["user"], planned["name"], ask)
    return RunningAttempt(
        id=row["id"],
        job_id=row["owner_id"],
        org=row["org_id"],
        project=row["project_id"],
        tasks=_tasks(row["placement"]),
        priority=planned["priority"],
        started_us=started_us,
        expected_end_us=_limit_end_us(row, started_us),
        preemptible=ask.preemptible,
        ending=row["stop_reason"] is not None,
        array=row["array_id"] or "",
        model=row["placement"].get("model", ""),
        submitted_us=planned["submitted_us"],
        request=ask.request(),
        user=planned["user"],
        predicted_s=guess.likely_s if guess else None,
        predicted_low_s=guess.low_s if guess else None,
        predicted_high_s=guess.high_s if guess else None,
        queue=planned["queue"],
        served_device_us=planned["served_device_us"],
        deadline_us=ask.deadline_us or 0,
        min_tasks=ask.min_tasks,
        max_tasks=ask.max_tasks,
        asked_tasks=ask.tasks,
        resumes_tasks=_resumes(row["stop_reason"], row["placement"]),
    )


def _resumes(stop_reason: str | None, placement: Row) -> int:
    return int(placement.get(NEXT_TASKS, 0)) if stop_reason == StopReason.RESIZED.value else 0


@dataclass(frozen=True, slots=True)
class ResumedJob:
    """Number of tasks and remaining time limit of a job that was stopped for a resize."""

    tasks: int
    limit_s: float
    """Remaining time limit in seconds."""


def load_resumes(tx: Tx, attempts_of: Mapping[str, int]) -> dict[str, ResumedJob]:
    """Return those waiting jobs whose last attempt was stopped for a resize. `attempts_of`: number of attempts by job."""
    ids, found = list(attempts_of), {}
    for start in range(0, len(ids), CHUNK):
        for row in tx.execute(_RESIZED, {"ids": ids[start : start + CHUNK]}).mappings():
            tasks = _resumes(row["stop_reason"], row["placement"])
            if row["number"] == attempts_of[row["owner_id"]] and tasks:
                found[row["owner_id"]] = ResumedJob(tasks, time_left_s(row["time_limit_s"], row))
    return found


def with_devices_in_use(rows: Sequence[NodeRow], running: Iterable[RunningAttempt]) -> list[NodeRow]:
    """Add devices that are allocated but no longer reported to the nodes, as unhealthy devices.

    They count for quotas and shares until their attempt ends. A device of a model that no node reports is left out.
    """
    known = {row.name: {device.index for device in row.devices} for row in rows}
    gone: dict[str, dict[int, str]] = {}
    for attempt in running:
        for task in attempt.tasks:
            for use in task.devices:
                if use.index not in known.get(task.node, ()):
                    gone.setdefault(task.node, {})[use.index] = attempt.model
    if not gone:
        return list(rows)
    memory_mib = {device.model: device.memory_mib for row in rows for device in row.devices}
    return [
        replace(
            row,
            devices=row.devices
            + tuple(
                DeviceRow(index, model, memory_mib[model], healthy=False)
                for index, model in sorted(gone.get(row.name, {}).items())
                if model in memory_mib
            ),
        )
        for row in rows
    ]


def load_quotas(tx: Tx) -> list[Quota]:
    """Return the quotas that the planner applies; those on queued jobs and storage are checked elsewhere."""
    return [
        Quota(
            org=row["org_id"],
            resource=row["resource"],
            project=row["project_id"],
            guaranteed=row["guaranteed"],
            maximum=row["maximum"],
            borrow=row["borrow"],
        )
        for row in tx.rows(sa.select(quotas).where(quotas.c.resource.not_in((QUEUED_JOBS, STORAGE))))
    ]
