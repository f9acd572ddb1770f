"""Checkpoints of a job: what its attempts have saved in $PEARL_CHECKPOINT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pearlstreet.base.errors import Unavailable
from pearlstreet.base.outcome import Done
from pearlstreet.base.text import text
from pearlstreet.compute.engines.protocol import CheckpointEntry
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.views import latest_attempt
from pearlstreet.store.core import Store
from pearlstreet.tenancy.model import Actor


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """What is in place in a job's checkpoint folder, newest first, and the engine that keeps it."""

    engine: str | None
    """None: the job has had no attempt yet."""
    entries: Sequence[CheckpointEntry]


def list_checkpoints(store: Store, actor: Actor, runtime: Runtime, job_id: str) -> Checkpoints:
    """Return the checkpoints of a job or of one element of an array. Raises NotFound, Unavailable."""
    attempt = store.read(lambda tx: latest_attempt(tx, actor, job_id))
    engine = runtime.engines.get(attempt["engine"]) if attempt is not None else None
    if attempt is None or engine is None:
        return Checkpoints(None, ())
    found = engine.list_checkpoint(attempt["owner_id"])
    if not isinstance(found, Done):
        raise Unavailable(text("The engine does not answer: {reason}", reason=found.reason), retry_after_s=2)
    return Checkpoints(engine.name, found.value)
