"""Queries on the planner's decisions, for operators."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from pearlstreet.base.errors import Unavailable
from pearlstreet.base.text import text
from pearlstreet.compute.queueing.decisions.record import (
    DecisionHeader,
    ReplayedDecision,
    StoredDecision,
    replay,
)
from pearlstreet.compute.queueing.runtime import QueueingRuntime
from pearlstreet.store.core import Store
from pearlstreet.tenancy.model import Actor

READ = "decisions:read"
PATIENCE_S = 30.0
_one_at_a_time = threading.Lock()
"""Lock for one replay at a time, because a replay costs as much CPU as a planning cycle."""


def list_decisions(
    actor: Actor, runtime: QueueingRuntime, *, before: str | None = None, limit: int = 100
) -> Sequence[DecisionHeader]:
    """Return the headers of recorded decisions, newest first. Raises Forbidden."""
    actor.require(READ)
    return runtime.decisions.headers(before=before, limit=limit)


def read_decision(store: Store, actor: Actor, runtime: QueueingRuntime, decision_id: str) -> StoredDecision:
    """Return the snapshot, configuration and plan of a decision. Raises NotFound, Conflict, Forbidden."""
    actor.require(READ)
    return runtime.decisions.read(decision_id, store.sealer)


def replay_decision(
    store: Store, actor: Actor, runtime: QueueingRuntime, decision_id: str
) -> ReplayedDecision:
    """Plan a decision again and compare. Raises NotFound, Conflict, InvalidInput, Unavailable, Forbidden."""
    decision = read_decision(store, actor, runtime, decision_id)
    if not _one_at_a_time.acquire(timeout=PATIENCE_S):
        raise Unavailable(text("Other decisions are being planned again"), retry_after_s=5)
    try:
        return replay(decision)
    finally:
        _one_at_a_time.release()
