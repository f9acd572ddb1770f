"""Reading what attempts write while they run: logs and metrics, straight from their engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import sqlalchemy as sa

from pearlstreet.base.errors import Conflict, NotFound, Unavailable
from pearlstreet.base.outcome import Done, Outcome, Refused
from pearlstreet.base.text import text
from pearlstreet.compute.engines.protocol import Engine, LogChunk, MetricSample
from pearlstreet.compute.jobs.model import ENDED, AttemptState, JobState
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.compute.jobs.views import find_job, latest_attempt
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor

T = TypeVar("T")


def newest_attempt(store: Store, actor: Actor, job_id: str) -> str | None:
    """The id of a job's newest attempt: who follows a log stays with one. None before the first. Raises NotFound."""
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
    """A part of a task's log. A job without an attempt has an empty log that has not ended. Raises NotFound."""

    def query(tx: Tx) -> tuple[bool, str | None, str, int, bool]:
        row = find_job(tx, actor, job_id)
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
    if rank >= tasks:
        raise NotFound(text("The job has {count} tasks; there is no task {rank}", count=tasks, rank=rank))
    answer = _engine(runtime, engine).read_log(found, rank, offset=offset, limit=limit)
    if isinstance(answer, Refused):
        return LogChunk(b"", offset, ended=settled)
    chunk = _value(answer)
    return LogChunk(
        chunk.data, chunk.next_offset, chunk.dropped_bytes, chunk.ended or (settled and not chunk.data)
    )


def read_metrics(
    store: Store, actor: Actor, runtime: Runtime, job_id: str, attempt_id: str | None, since_us: int
) -> Sequence[MetricSample]:
    """Samples after `since_us`; none before the first attempt. Raises NotFound."""
    attempt = store.read(lambda tx: latest_attempt(tx, actor, job_id, attempt_id))
    if attempt is None:
        return ()
    answer = _engine(runtime, attempt["engine"]).read_metrics(attempt["id"], since_us=since_us)
    return () if isinstance(answer, Refused) else _value(answer)


def _engine(runtime: Runtime, name: str) -> Engine:
    engine = runtime.engines.get(name)
    if engine is None:
        raise NotFound(text("What engine {engine} kept is not here: the center has it no more", engine=name))
    return engine


def _value(answer: Outcome[T]) -> T:
    if isinstance(answer, Done):
        return answer.value
    raise Unavailable(text("The engine does not answer: {reason}", reason=answer.reason), retry_after_s=2)
