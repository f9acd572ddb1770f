"""Checkpoints of a job: what its attempts have saved in $PEARL_CHECKPOINT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pearlstreet.base.errors import Unavailable
from pearlstreet.base.outcome import Done
from pearlstreet.base.text import text
from pearlstreet.compute.engines.protocol import CheckpointEntry
from pearlstreet.compute.execution.tables import checkpoints
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.views import find_job, latest_attempt
from pearlstreet.compute.jobs.withholding import refuse_withheld
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.tenancy.model import Actor


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """What is in place in a job's checkpoint folder, newest first, and the engine that keeps it."""

    engine: str | None
    """None: the job has had no attempt yet."""
    entries: Sequence[CheckpointEntry]
    stored_bytes: int = 0
    """Size of what is in the object store, from which the job goes on elsewhere; it counts towards the storage of the project."""
    stored_us: int | None = None
    """Time at which it was stored, in µs since 1970; None: nothing is."""


def list_checkpoints(store: Store, actor: Actor, runtime: Runtime, job_id: str) -> Checkpoints:
    """Return the checkpoints of a job or of one element of an array. Raises NotFound, Unavailable."""

    def query(tx: Tx) -> tuple[Row | None, Row | None]:
        latest = latest_attempt(tx, actor, job_id)
        refuse_withheld(tx, find_job(tx, actor, job_id))
        owner_id = latest["owner_id"] if latest is not None else ""
        return latest, tx.first(sa.select(checkpoints).where(checkpoints.c.id == owner_id))

    attempt, stored = store.read(query)
    engine = runtime.engines.get(attempt["engine"]) if attempt is not None else None
    if attempt is None or engine is None:
        return Checkpoints(None, ())
    found = engine.list_checkpoint(attempt["owner_id"])
    if not isinstance(found, Done):
        raise Unavailable(text("The engine does not answer: {reason}", reason=found.reason), retry_after_s=2)
    if stored is None:
        return Checkpoints(engine.name, found.value)
    return Checkpoints(engine.name, found.value, stored["stored_bytes"], stored["stored_us"])
