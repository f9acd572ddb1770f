"""Cards in use and jobs waiting over time, and jobs by state, of the center or one organisation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.ids import encode
from pearlstreet.compute.execution.model import LIVE_ATTEMPT
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs.model import ENDED, JobState
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.reach import visible_rows

ROWS_MAX = 20_000
"""Rows read per chart, newest first; the chart of a busier center begins later."""
LONGEST_US = 7 * 86_400 * US_PER_S
"""Longest time before the span that is searched; jobs and attempts that began earlier are left out."""


@dataclass(frozen=True, slots=True)
class History:
    """Mean levels over equal time steps. `at_us`: ends of the steps."""

    at_us: Sequence[int]
    cards: Sequence[float]
    waiting: Sequence[float]


def mean_level(
    intervals: Iterable[tuple[int, int, float]], since_us: int, until_us: int, steps: int
) -> list[float]:
    """PURE: return the mean total weight of the (start, end, weight) intervals in each of `steps` equal time steps."""
    width = (until_us - since_us) / steps
    found = np.zeros(steps)
    edges = since_us + width * np.arange(steps + 1)
    for start, end, weight in intervals:
        low, high = max(start, since_us), min(end, until_us)
        if low >= high:
            continue
        first = int((low - since_us) / width)
        last = min(int((high - since_us) / width), steps - 1)
        found[first : last + 1] += weight * (
            np.minimum(edges[first + 1 : last + 2], high) - np.maximum(edges[first : last + 1], low)
        )
    return [float(value) for value in found / width]


def history(
    store: Store, actor: Actor, *, span_s: int = 24 * 3600, steps: int = 96, org: str | None = None
) -> History:
    """Return cards in use and jobs waiting during the last `span_s` seconds. Raises NotFound, Forbidden."""

    def query(tx: Tx) -> History:
        until = tx.now_us
        since = until - span_s * US_PER_S
        used = [
            (row["started_us"] or row["placed_us"], row["ended_us"] or until, _cards(row))
            for row in _attempts(tx, _visible(tx, actor, org, attempts), since)
        ]
        waited = [
            (row["submitted_us"], row["started_us"] or row["ended_us"] or until, 1.0)
            for row in _jobs(tx, _visible(tx, actor, org, jobs), since)
        ]
        width = (until - since) / steps
        at = [int(since + width * (i + 1)) for i in range(steps)]
        return History(at, mean_level(used, since, until, steps), mean_level(waited, since, until, steps))

    return store.read(query)


def count_jobs(
    store: Store, actor: Actor, *, org: str | None = None, span_s: int = 24 * 3600
) -> Mapping[str, int]:
    """Return job counts by state: all jobs that have not ended, and ended ones submitted within the span.

    Elements of arrays count, arrays do not.
    """

    def query(tx: Tx) -> Mapping[str, int]:
        ended = sa.and_(
            jobs.c.ended_us.is_not(None), jobs.c.id >= _oldest("job", tx.now_us - span_s * US_PER_S)
        )
        alive = jobs.c.state.in_([state.value for state in JobState if state not in ENDED])
        statement = sa.select(jobs.c.state, sa.func.count().label("count")).where(
            sa.or_(alive, ended), jobs.c.array_size.is_(None), *_visible(tx, actor, org, jobs)
        )
        found = {row["state"]: int(row["count"]) for row in tx.rows(statement.group_by(jobs.c.state))}
        return {state.value: found.get(state.value, 0) for state in JobState}

    return store.read(query)


def hourly_now(store: Store, actor: Actor, *, org: str | None = None) -> int:
    """Return the price of an hour of everything that runs, in micro-yuan. Raises NotFound, Forbidden."""

    def query(tx: Tx) -> int:
        statement = sa.select(sa.func.sum(attempts.c.hourly_micro)).where(
            attempts.c.state.in_(LIVE_ATTEMPT),
            attempts.c.started_us.is_not(None),
            *_visible(tx, actor, org, attempts),
        )
        return int(tx.scalar(statement) or 0)

    return store.read(query)


def _visible(tx: Tx, actor: Actor, org: str | None, table: sa.Table) -> list[sa.ColumnElement[bool]]:
    return [visible_rows(tx, actor, "jobs:read", table, org=org)]


def _attempts(tx: Tx, visible: Sequence[sa.ColumnElement[bool]], since_us: int) -> Sequence[Row]:
    columns = (attempts.c.placement, attempts.c.placed_us, attempts.c.started_us, attempts.c.ended_us)
    recent = attempts.c.id >= _oldest("att", since_us - LONGEST_US)
    over = sa.or_(attempts.c.ended_us.is_(None), attempts.c.ended_us > since_us)
    query = sa.select(*columns).where(recent, over, *visible)
    return tx.rows(query.order_by(attempts.c.id.desc()).limit(ROWS_MAX))


def _jobs(tx: Tx, visible: Sequence[sa.ColumnElement[bool]], since_us: int) -> Sequence[Row]:
    columns = (jobs.c.submitted_us, jobs.c.started_us, jobs.c.ended_us)
    recent = jobs.c.id >= _oldest("job", since_us - LONGEST_US)
    over = sa.or_(jobs.c.started_us.is_(None), jobs.c.started_us > since_us)
    query = sa.select(*columns).where(recent, over, jobs.c.array_size.is_(None), *visible)
    return tx.rows(query.order_by(jobs.c.id.desc()).limit(ROWS_MAX))


def _cards(row: Row) -> float:
    return sum(
        1.0 if device["whole"] else device["compute_bp"] / FULL_BP
        for task in row["placement"]["tasks"]
        for device in task["devices"]
    )


def _oldest(prefix: str, at_us: int) -> str:
    """Return the smallest id created at `at_us`; ids sort by time."""
    return f"{prefix}_{encode((max(at_us, 0) // 1000) << 80)}"
