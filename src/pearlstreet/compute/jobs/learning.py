"""Statistics of past jobs for the planner: submitted requests, run times and device time.

Ids and event numbers grow with time, so each cycle reads only what is new since the one before. All statistics are bounded
in rows. Of several jobs submitted in the same millisecond one may be missed, which a statistic tolerates.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.ids import encode
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.planner_rows import user_of
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.compute.queueing.model import ResourceRequest
from pearlstreet.compute.scheduling.predict import Past, Prediction, Predictor
from pearlstreet.compute.scheduling.rows import Request, Service
from pearlstreet.store.core import Tx
from pearlstreet.store.tables import state_events

LATELY_US = 3 * 86_400 * US_PER_S
"""Age beyond which submitted requests no longer count."""
JOBS_MAX = 5_000
DIFFERENT_MAX = 256
"""Number of the most frequent distinct requests that the planner gets."""
COUNTED_MAX = 1_000
"""Elements of one array that count, so that one parameter sweep does not dominate."""
SERVICES_MAX = 1_000
ENDED_MAX = 5_000
LEARNT_MAX = 100_000
REFRESH_US = 60 * US_PER_S
"""Shortest time between two recalculations of the predictions of waiting jobs."""
EVENTS_BACK = 100_000
"""State events read when a server starts."""
BATCH = 1_000

_SUBMITTED = (
    sa.select(jobs.c.id, jobs.c.submitted_us, jobs.c.ask, jobs.c.array_size)
    .where(jobs.c.id > sa.bindparam("after"), jobs.c.array_id.is_(None))
    .limit(BATCH)
)
_NEWER = _SUBMITTED.order_by(jobs.c.id)
_NEWEST = _SUBMITTED.order_by(jobs.c.id.desc()).limit(JOBS_MAX)
_LAST_EVENT = sa.select(sa.func.max(state_events.c.seq))
_parent = jobs.alias("parent")
_ENDED = (
    sa.select(
        state_events.c.seq, jobs.c.org_id, jobs.c.owner, jobs.c.name, jobs.c.served_device_us, jobs.c.submitted_us,
        attempts.c.started_us, attempts.c.ended_us, attempts.c.placement,
        sa.func.coalesce(jobs.c.ask, _parent.c.ask).label("ask"),
    )
    .join(jobs, jobs.c.id == state_events.c.entity_id)
    .join(attempts, attempts.c.id == jobs.c.attempt_id)
    .join(_parent, _parent.c.id == jobs.c.array_id, isouter=True)
    .where(state_events.c.seq > sa.bindparam("after"), state_events.c.seq <= sa.bindparam("last"))
    .where(state_events.c.to_state == JobState.SUCCEEDED.value, attempts.c.started_us.is_not(None))
    .order_by(state_events.c.seq.desc())
    .limit(ENDED_MAX)
)  # fmt: skip


@dataclass(slots=True)
class RequestHistory:
    """Recently submitted requests, and the number of tasks of each."""

    seen: deque[tuple[int, Request, int]] = field(default_factory=deque)
    counts: Counter[Request] = field(default_factory=Counter)
    newest: str | None = None
    _told: Mapping[Request, int] | None = None

    def learn(self, tx: Tx) -> Mapping[Request, int]:
        """Read new submissions and return the tasks of the most frequent requests."""
        if self.newest is None:
            oldest = f"job_{encode((max(tx.now_us - LATELY_US, 0) // 1000) << 80)}"
            found = list(reversed(tx.execute(_NEWEST, {"after": oldest}).all()))
            self.newest = oldest
        else:
            found = list(tx.execute(_NEWER, {"after": self.newest}).all())
        for row in found:
            self.newest = row.id
            self._count(row.submitted_us, row.ask, row.array_size)
        self._forget(tx.now_us - LATELY_US)
        if self._told is None:
            self._told = dict(self.counts.most_common(DIFFERENT_MAX))
        return self._told

    def _count(self, submitted_us: int, ask: Mapping[str, object], elements: int | None) -> None:
        try:
            known = ResourceRequest.from_json(ask)
        except (KeyError, TypeError, ValueError):
            return
        tasks = known.tasks * min(elements or 1, COUNTED_MAX)
        request = known.request()
        self.seen.append((submitted_us, request, tasks))
        self.counts[request] += tasks
        self._told = None

    def _forget(self, before_us: int) -> None:
        while self.seen and (len(self.seen) > JOBS_MAX or self.seen[0][0] < before_us):
            _, request, tasks = self.seen.popleft()
            self.counts[request] -= tasks
            if self.counts[request] <= 0:
                del self.counts[request]
            self._told = None


@dataclass(slots=True)
class RuntimeHistory:
    """Device time of jobs that succeeded recently, and run-time predictions from them."""

    services: deque[Service] = field(default_factory=lambda: deque(maxlen=SERVICES_MAX))
    predictor: Predictor = field(default_factory=Predictor)
    last: int | None = None
    learnt: int = 0
    """Jobs that the predictor has learnt; above `LEARNT_MAX` it starts again, which frees memory of old names."""
    generation: int = 0
    """Counter that grows when predictions may have changed, at most once in `REFRESH_US`."""
    _fresh: bool = False
    _told_us: int = 0

    def learn(self, tx: Tx) -> None:
        """Read the jobs that succeeded since the last call."""
        last = int(tx.scalar(_LAST_EVENT) or 0)
        if self.learnt > LEARNT_MAX:
            self.predictor, self.learnt, self.last = Predictor(), 0, None
            self.services.clear()
        after = max(last - EVENTS_BACK, 0) if self.last is None else self.last
        if last > after:
            self._take(list(reversed(tx.execute(_ENDED, {"after": after, "last": last}).all())))
        self.last = last
        if self._fresh and tx.now_us >= self._told_us + REFRESH_US:
            self.generation, self._fresh, self._told_us = self.generation + 1, False, tx.now_us

    def _take(self, rows: Sequence[Any]) -> None:
        found = []
        for row in rows:
            try:
                request = ResourceRequest.from_json(row.ask).request()
            except (KeyError, TypeError, ValueError):
                continue
            run_s = max((row.ended_us or row.started_us) - row.started_us, 0) / US_PER_S
            tasks = len(row.placement["tasks"])
            if row.served_device_us:
                devices = max(request.count, 1) * tasks
                user = user_of(row.owner)
                self.services.append(Service(row.served_device_us, devices, row.submitted_us, user))
            found.append(Past(row.org_id, user_of(row.owner), plain_name(row.name), request, tasks, run_s))
        self.predictor.learn(found)
        self.learnt += len(found)
        self._fresh = self._fresh or bool(found)

    def predict(self, org_id: str, user: str, name: str, ask: ResourceRequest) -> Prediction | None:
        """Return the predicted run time of a job; None while its organisation has too little history."""
        return self.predictor.predict(org_id, user, plain_name(name), ask.request(), ask.tasks)


def plain_name(name: str) -> str:
    """Return a job's name; for an element of an array, the name of its array."""
    return name.partition("[")[0] or name
