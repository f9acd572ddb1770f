"""Limits the total size of the logs of an organisation by deleting the beginnings of its oldest logs.

Each task's log has its own limit (`limits.log_mib`), but the number of tasks is not limited. A notice in the log replaces a
deleted part, as with the limit of a task.
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
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.loop import CycleLoop, Loop

INTERVAL_S = 15.0
IDS_AT_ONCE = 500
log = structlog.get_logger("logs")


@dataclass(frozen=True, slots=True)
class KeptLog:
    """Size of the logs of all tasks of one attempt."""

    attempt_id: str
    org_id: str
    ended_us: int | None
    """End of the attempt (µs since 1970); None: the log is being written."""
    size_bytes: int


def plan_trims(kept: Sequence[KeptLog], limit_bytes: int) -> Mapping[str, int]:
    """PURE: return the bytes to delete by attempt id, so that no organisation keeps more than `limit_bytes` of logs.

    Logs of the attempts that ended first are deleted first; logs of running attempts last, the largest of them first.
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
    """Return the loop that keeps the logs of every organisation within the limit."""
    return CycleLoop(name="limit_logs", cycle=partial(limit_logs, runtime), interval_s=INTERVAL_S)


def limit_logs(runtime: Runtime, store: Store) -> bool:
    """Delete log parts beyond the limit, engine by engine."""
    limit_bytes = runtime.settings.org_log_bytes_max
    if limit_bytes:
        for engine in runtime.engines.values():
            _limit(engine, store, limit_bytes)
    return False


def _limit(engine: Engine, store: Store, limit_bytes: int) -> None:
    sizes = engine.log_sizes()
    if not isinstance(sizes, Done) or sum(sizes.value.values()) <= limit_bytes:
        return  # then no organisation is above the limit
    for attempt_id, size in plan_trims(store.read(partial(_kept_logs, sizes.value)), limit_bytes).items():
        freed = engine.trim_log(attempt_id, size_bytes=size)
        if isinstance(freed, Done) and freed.value:
            log.warning("log trimmed", attempt=attempt_id, freed_bytes=freed.value)


def _kept_logs(sizes: Mapping[str, int], tx: Tx) -> list[KeptLog]:
    """Return the logs of known attempts; the sweep deletes all others."""
    ids, found = sorted(id_ for id_, size in sizes.items() if size), []
    for start in range(0, len(ids), IDS_AT_ONCE):
        part = ids[start : start + IDS_AT_ONCE]
        columns = (attempts.c.id, attempts.c.org_id, attempts.c.ended_us)
        query = sa.select(*columns).where(attempts.c.id.in_(part))
        found += [
            KeptLog(row["id"], row["org_id"], row["ended_us"], sizes[row["id"]]) for row in tx.rows(query)
        ]
    return found
