"""The limit on the logs that are kept of an organisation: beyond it the oldest parts of its oldest logs are deleted.

Each task's log has a limit of its own (`limits.log_mib`), but nothing limits how many tasks an organisation runs. What was
deleted reads as a notice in the log, like what a task's own limit drops.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa
import structlog

from pearlstreet.base.outcome import Done
from pearlstreet.compute.engines.protocol import Engine
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.tables import attempts, preparations
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.loop import CycleLoop, Loop

INTERVAL_S = 15.0
IDS_AT_ONCE = 500
log = structlog.get_logger("logs")


@dataclass(frozen=True, slots=True)
class KeptLog:
    """The log of one attempt, all its tasks together."""

    attempt_id: str
    org_id: str
    ended_us: int | None
    """None: it is still being written."""
    size_bytes: int


def plan_trims(kept: Sequence[KeptLog], limit_bytes: int) -> Mapping[str, int]:
    """PURE: attempt id → bytes to delete of its log, so that no organisation keeps more than `limit_bytes`.

    Logs that ended first go first; logs that are still being written go last, the largest of them first.
    """
    by_org: dict[str, list[KeptLog]] = defaultdict(list)
    for item in kept:
        by_org[item.org_id].append(item)
    trims: dict[str, int] = {}
    for logs in by_org.values():
        excess = sum(item.size_bytes for item in logs) - limit_bytes
        for item in sorted(logs, key=_deletion_order):
            if excess <= 0:
                break
            trims[item.attempt_id] = min(item.size_bytes, excess)
            excess -= item.size_bytes
    return trims


def _deletion_order(item: KeptLog) -> tuple[bool, int, str]:
    running = item.ended_us is None
    return (running, -item.size_bytes if running else item.ended_us or 0, item.attempt_id)


def log_limit_loop(runtime: Runtime) -> Loop:
    """Keeps the logs of every organisation within the limit."""
    return CycleLoop(name="limit_logs", cycle=partial(limit_logs, runtime), interval_s=INTERVAL_S)


def limit_logs(runtime: Runtime, store: Store) -> bool:
    """Delete what is beyond the limit, engine by engine."""
    limit_bytes = runtime.settings.org_log_bytes_max
    if limit_bytes:
        for engine in runtime.engines.values():
            _limit(engine, store, limit_bytes)
    return False


def _limit(engine: Engine, store: Store, limit_bytes: int) -> None:
    sizes = engine.log_sizes()
    if not isinstance(sizes, Done) or sum(sizes.value.values()) <= limit_bytes:
        return  # then nobody's are beyond it
    for attempt_id, size in plan_trims(store.read(partial(_kept_logs, sizes.value)), limit_bytes).items():
        freed = engine.trim_log(attempt_id, size_bytes=size)
        if isinstance(freed, Done) and freed.value:
            log.warning("log trimmed", attempt=attempt_id, freed_bytes=freed.value)


def _kept_logs(sizes: Mapping[str, int], tx: Tx) -> list[KeptLog]:
    """The logs whose organisation is known; those of others are forgotten by the sweep."""
    ids, found = sorted(id_ for id_, size in sizes.items() if size), []
    for start in range(0, len(ids), IDS_AT_ONCE):
        part = ids[start : start + IDS_AT_ONCE]
        jobs_ = sa.select(attempts.c.id, attempts.c.org_id, attempts.c.ended_us)
        builds = sa.select(preparations.c.attempt_id.label("id"), preparations.c.org_id, sa.null())
        query = jobs_.where(attempts.c.id.in_(part)).union_all(
            builds.where(preparations.c.attempt_id.in_(part))
        )
        found += [
            KeptLog(row["id"], row["org_id"], row["ended_us"], sizes[row["id"]]) for row in tx.rows(query)
        ]
    return found
