"""Reads logs and metrics of attempts from their engine, also while they run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import sqlalchemy as sa

from pearlstreet.base.errors import Conflict, NotFound, Unavailable
from pearlstreet.base.outcome import Done, Outcome, Refused
from pearlstreet.base.text import text
from pearlstreet.base.units import format_bytes
from pearlstreet.compute.engines.protocol import Engine, LogChunk, MetricSample
from pearlstreet.compute.execution.model import AttemptState
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs.model import ENDED, JobState
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.compute.jobs.views import check_rank, find_job, latest_attempt
from pearlstreet.compute.jobs.withholding import refuse_withheld
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.tenancy.model import Actor

T = TypeVar("T")


def newest_attempt(store: Store, actor: Actor, job_id: str) -> str | None:
    """Return the id of a job's newest attempt, so that a log follower stays with it; None before the first. Raises NotFound."""
    row = store.read(lambda tx: latest_attempt(tx, actor, job_id))
    return None if row is None else str(row["id"])


def read_log(
    store: Store,
    actor: Actor,
    runtime: Runtime,
    job_id: str,
    attempt_id: str | None,
    rank: int,
    offset: int,
    limit: int,
) -> LogChunk:
    """Return a part of a task's log. A waiting job without an attempt has an empty log that has not ended.

    Raises NotFound, Conflict for an array, Unavailable.
    """

    def query(tx: Tx) -> tuple[bool, str | None, str, int, bool]:
        row = find_job(tx, actor, job_id)
        refuse_withheld(tx, row)
        if row["array_size"] is not None:
            first = tx.scalar(
                sa.select(jobs.c.id).where(jobs.c.array_id == row["id"], jobs.c.array_index == 0)
            )
            raise Conflict(
                text("{job} is an array: each of its elements has a log of its own", job=job_id),
                hint=text("Ask for one element's, such as {element}", element=str(first)),
            )
        over = JobState(row["state"]) in ENDED
        attempt = latest_attempt(tx, actor, job_id, attempt_id)
        if attempt is None:
            return over, None, "", 0, over
        settled = attempt["state"] == AttemptState.ENDED.value
        return over, attempt["id"], attempt["engine"], len(attempt["placement"]["tasks"]), settled

    over, found, engine, tasks, settled = store.read(query)
    if found is None:
        return LogChunk(b"", offset, ended=over)
    check_rank(rank, tasks)
    answer = _engine(runtime, engine).read_log(found, rank, offset=offset, limit=limit)
    if isinstance(answer, Refused):
        return LogChunk(b"", offset, ended=settled)
    chunk = _value(answer)
    return _with_notice(replace(chunk, ended=chunk.ended or (settled and not chunk.data)))


def _with_notice(chunk: LogChunk) -> LogChunk:
    """Prepend a notice where a part of the log is missing; it does not count in log positions."""
    if not chunk.dropped_bytes:
        return chunk
    size = format_bytes(chunk.dropped_bytes)
    notice = f"\n[pearl: {size} of this log were not kept · 此处有 {size} 日志未保留]\n".encode()
    return replace(chunk, data=notice + chunk.data)


@dataclass(frozen=True, slots=True)
class LogPosition:
    """Position of a reader in a task's log. Its creator has checked that the actor may read the job."""

    job_id: str
    attempt_id: str | None
    """Attempt that is read; None: the job had none yet."""
    rank: int
    offset: int


def read_positions(
    store: Store, runtime: Runtime, positions: Sequence[LogPosition], limit: int
) -> Sequence[tuple[LogPosition, LogChunk]]:
    """Read on at many positions with one database transaction, and return the new position with each chunk.

    A position without an attempt takes the job's newest one. An engine that does not answer yields an empty chunk.
    """
    states = store.read(lambda tx: _log_states(tx, positions))
    return [_read_position(runtime, states, position, limit) for position in positions]


@dataclass(frozen=True, slots=True)
class _LogStates:
    over: frozenset[str]
    """Jobs that have ended or no longer exist."""
    newest: Mapping[str, str]
    """Newest attempt by job, for positions without an attempt."""
    engines: Mapping[str, tuple[str, bool]]
    """(Engine, whether it has ended) by attempt."""


def _log_states(tx: Tx, positions: Sequence[LogPosition]) -> _LogStates:
    wanted = sorted({position.job_id for position in positions})
    waiting = sorted({position.job_id for position in positions if position.attempt_id is None})
    known = {
        row["id"]: row["state"]
        for part in _parts(wanted)
        for row in tx.rows(sa.select(jobs.c.id, jobs.c.state).where(jobs.c.id.in_(part)))
    }
    over = {job for job in wanted if job not in known or JobState(known[job]) in ENDED}
    newest = {
        row["owner_id"]: row["id"]
        for part in _parts(waiting)
        for row in tx.rows(
            sa.select(attempts.c.owner_id, attempts.c.id)
            .where(attempts.c.owner_id.in_(part))
            .order_by(attempts.c.number)
        )
    }
    ids = {position.attempt_id for position in positions if position.attempt_id is not None}
    engines = {
        row["id"]: (row["engine"], row["state"] == AttemptState.ENDED.value)
        for part in _parts(sorted({*ids, *newest.values()}))
        for row in tx.rows(
            sa.select(attempts.c.id, attempts.c.engine, attempts.c.state).where(attempts.c.id.in_(part))
        )
    }
    return _LogStates(frozenset(over), newest, engines)


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + 500] for start in range(0, len(ids), 500))


def _read_position(
    runtime: Runtime, states: _LogStates, position: LogPosition, limit: int
) -> tuple[LogPosition, LogChunk]:
    attempt_id = position.attempt_id or states.newest.get(position.job_id)
    nothing = LogChunk(b"", position.offset, ended=position.job_id in states.over)
    if attempt_id is None:
        return position, nothing
    position = replace(position, attempt_id=attempt_id)
    engine, settled = states.engines.get(attempt_id, ("", True))
    if engine not in runtime.engines:
        return position, LogChunk(b"", position.offset, ended=True)
    answer = runtime.engines[engine].read_log(attempt_id, position.rank, offset=position.offset, limit=limit)
    if not isinstance(answer, Done):
        return position, LogChunk(b"", position.offset, ended=settled)
    chunk = answer.value
    ended = chunk.ended or (settled and not chunk.data)
    return replace(position, offset=chunk.next_offset), _with_notice(replace(chunk, ended=ended))


def read_metrics(
    store: Store, actor: Actor, runtime: Runtime, job_id: str, attempt_id: str | None, since_us: int
) -> Sequence[MetricSample]:
    """Return metric samples after `since_us`; none before the first attempt. Raises NotFound, Forbidden, Unavailable."""

    def query(tx: Tx) -> Row | None:
        refuse_withheld(tx, find_job(tx, actor, job_id))
        return latest_attempt(tx, actor, job_id, attempt_id)

    attempt = store.read(query)
    if attempt is None:
        return ()
    answer = _engine(runtime, attempt["engine"]).read_metrics(attempt["id"], since_us=since_us)
    return () if isinstance(answer, Refused) else _value(answer)


def _engine(runtime: Runtime, name: str) -> Engine:
    engine = runtime.engines.get(name)
    if engine is None:
        raise NotFound(
            text(
                "The logs and files of engine {engine} are not available: the center no longer has this engine",
                engine=name,
            )
        )
    return engine


def _value(answer: Outcome[T]) -> T:
    if isinstance(answer, Done):
        return answer.value
    raise Unavailable(text("The engine does not answer: {reason}", reason=answer.reason), retry_after_s=2)
