"""What the planner learns from the past: which requests come, and how much device time jobs take. Read bit by bit.

Ids and numbers of events grow with time, so that each cycle reads what is new since the one before; everything kept is
bounded in rows. Of jobs submitted in one and the same millisecond one may be missed: this is a statistic.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.ids import encode
from pearlstreet.compute.jobs.model import Ask, JobState
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.compute.scheduling.rows import Request
from pearlstreet.store.core import Tx
from pearlstreet.store.tables import state_events

LATELY_US = 3 * 86_400 * US_PER_S
"""What was submitted longer ago says nothing of what comes."""
JOBS_MAX = 5_000
DIFFERENT_MAX = 256
"""Different requests told to the planner, the most frequent first."""
COUNTED_MAX = 1_000
"""Elements of one array that count: one sweep is no trend."""
SERVICES_MAX = 1_000
EVENTS_BACK = 100_000
"""Events looked through when a center starts."""
BATCH = 1_000

_SUBMITTED = (
    sa.select(jobs.c.id, jobs.c.submitted_us, jobs.c.ask, jobs.c.array_size)
    .where(jobs.c.id > sa.bindparam("after"), jobs.c.array_id.is_(None))
    .limit(BATCH)
)
_NEWER = _SUBMITTED.order_by(jobs.c.id)
_NEWEST = _SUBMITTED.order_by(jobs.c.id.desc()).limit(JOBS_MAX)
_LAST_EVENT = sa.select(sa.func.max(state_events.c.seq))
_ENDED = (
    sa.select(state_events.c.seq, jobs.c.served_device_us)
    .join(jobs, jobs.c.id == state_events.c.entity_id)
    .where(state_events.c.seq > sa.bindparam("after"), state_events.c.seq <= sa.bindparam("last"))
    .where(state_events.c.to_state == JobState.SUCCEEDED.value, jobs.c.served_device_us > 0)
    .order_by(state_events.c.seq.desc())
    .limit(SERVICES_MAX)
)


@dataclass(slots=True)
class Demand:
    """Which requests were submitted lately, and how many tasks of each."""

    seen: deque[tuple[int, Request, int]] = field(default_factory=deque)
    counts: Counter[Request] = field(default_factory=Counter)
    newest: str | None = None
    _told: Mapping[Request, int] | None = None

    def learn(self, tx: Tx) -> Mapping[Request, int]:
        """Read what is new; the most frequent requests."""
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
            known = Ask.from_json(ask)
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
class Services:
    """Device time of jobs that succeeded lately, all their attempts together."""

    known: deque[int] = field(default_factory=lambda: deque(maxlen=SERVICES_MAX))
    last: int | None = None

    def learn(self, tx: Tx) -> list[int]:
        """Read what is new; all that is kept."""
        last = int(tx.scalar(_LAST_EVENT) or 0)
        after = max(last - EVENTS_BACK, 0) if self.last is None else self.last
        if last > after:
            found = tx.execute(_ENDED, {"after": after, "last": last}).all()
            self.known.extend(row.served_device_us for row in reversed(found))
        self.last = last
        return list(self.known)
