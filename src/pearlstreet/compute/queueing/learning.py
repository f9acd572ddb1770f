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
from pearlstreet.compute.engines.protocol import EndReason
from pearlstreet.compute.execution.model import AttemptState
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.compute.queueing.model import ResourceRequest
from pearlstreet.compute.queueing.tables import waiting
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

_SUBMITTED = sa.select(waiting.c.id, waiting.c.submitted_us, waiting.c.request, waiting.c.array_size).where(
    waiting.c.submitted_us > sa.bindparam("after"), waiting.c.array_id.is_(None)
)
_NEWER = _SUBMITTED.order_by(waiting.c.submitted_us).limit(BATCH)
_NEWEST = _SUBMITTED.order_by(waiting.c.submitted_us.desc()).limit(JOBS_MAX)
_PLACED = (
    sa.select(attempts.c.array_id, attempts.c.planned)
    .where(attempts.c.id > sa.bindparam("after"), attempts.c.number == 1, attempts.c.planned.is_not(None))
    .order_by(attempts.c.id.desc())
    .limit(JOBS_MAX)
)
_LAST_EVENT = sa.select(sa.func.max(state_events.c.seq))
_ENDED = (
    sa.select(
        state_events.c.seq, attempts.c.org_id, attempts.c.started_us, attempts.c.ended_us, attempts.c.placement, attempts.c.planned,
        attempts.c.usage,
    )
    .join(attempts, attempts.c.id == state_events.c.entity_id)
    .where(state_events.c.seq > sa.bindparam("after"), state_events.c.seq <= sa.bindparam("last"))
    .where(state_events.c.to_state == AttemptState.ENDED.value, attempts.c.started_us.is_not(None))
    .where(attempts.c.end_reason == EndReason.EXITED.value, attempts.c.exit_code == 0, attempts.c.planned.is_not(None))
    .order_by(state_events.c.seq.desc())
    .limit(ENDED_MAX)
)  # fmt: skip


@dataclass(slots=True)
class RequestHistory:
    """Recently submitted requests, and the number of tasks of each."""

    seen: deque[tuple[int, Request, int]] = field(default_factory=deque)
    counts: Counter[Request] = field(default_factory=Counter)
    last_us: int | None = None
    """Submit time of the newest request that was read."""
    _told: Mapping[Request, int] | None = None

    def learn(self, tx: Tx) -> Mapping[Request, int]:
        """Read new submissions and return the tasks of the most frequent requests."""
        if self.last_us is None:
            self.last_us = max(tx.now_us - LATELY_US, 0)
            self._learn_past(tx, self.last_us)
        else:
            for row in tx.execute(_NEWER, {"after": self.last_us}).all():
                self.last_us = max(self.last_us, row.submitted_us)
                self._count(row.submitted_us, row.request, min(row.array_size or 1, COUNTED_MAX))
        self._forget(tx.now_us - LATELY_US)
        if self._told is None:
            self._told = dict(self.counts.most_common(DIFFERENT_MAX))
        return self._told

    def _learn_past(self, tx: Tx, after_us: int) -> None:
        """Read what was submitted before this server started: what waits, and what was placed."""
        rows = tx.execute(_NEWEST, {"after": after_us}).all()
        found = [(row.submitted_us, row.request, min(row.array_size or 1, COUNTED_MAX)) for row in rows]
        self.last_us = max((after_us, *(row.submitted_us for row in rows)))
        arrays, elements = {row.id for row in rows}, Counter[str]()
        for row in tx.execute(_PLACED, {"after": f"att_{encode((after_us // 1000) << 80)}"}):
            elements[row.array_id] += 1
            if row.array_id is None or (row.array_id not in arrays and elements[row.array_id] <= COUNTED_MAX):
                found.append((row.planned["submitted_us"], row.planned["request"], 1))
        for submitted_us, request, count in sorted(found, key=lambda item: item[0]):
            if submitted_us > after_us:
                self._count(submitted_us, request, count)

    def _count(self, submitted_us: int, ask: Mapping[str, object], count: int) -> None:
        try:
            known = ResourceRequest.from_json(ask)
        except (KeyError, TypeError, ValueError):
            return
        tasks, request = known.tasks * count, known.request()
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
                request = ResourceRequest.from_json(row.planned["request"]).request()
            except (KeyError, TypeError, ValueError):
                continue
            run_us = max((row.ended_us or row.started_us) - row.started_us, 0)
            served_us = row.planned["served_device_us"] + run_us * row.usage["card_bp"] // FULL_BP
            tasks = len(row.placement["tasks"])
            user, name = row.planned["user"], plain_name(row.planned["name"])
            if served_us:
                devices = max(request.count, 1) * tasks
                self.services.append(Service(served_us, devices, row.planned["submitted_us"], user))
            found.append(Past(row.org_id, user, name, request, tasks, run_us / US_PER_S))
        self.predictor.learn(found)
        self.learnt += len(found)
        self._fresh = self._fresh or bool(found)

    def predict(self, org_id: str, user: str, name: str, ask: ResourceRequest) -> Prediction | None:
        """Return the predicted run time of a job; None while its organisation has too little history."""
        return self.predictor.predict(org_id, user, plain_name(name), ask.request(), ask.tasks)


def plain_name(name: str) -> str:
    """Return a job's name; for an element of an array, the name of its array."""
    return name.partition("[")[0] or name
