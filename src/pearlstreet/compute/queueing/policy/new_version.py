"""Writes a version of the scheduling policy."""

from __future__ import annotations

from dataclasses import replace

import sqlalchemy as sa

from pearlstreet.compute.execution.fair_use import HALF_LIFE
from pearlstreet.compute.execution.lifecycle import PLAN
from pearlstreet.compute.execution.owners import Owners
from pearlstreet.compute.queueing.owners import QueuedOwner
from pearlstreet.compute.queueing.policy.model import Policy, to_rows
from pearlstreet.compute.queueing.tables import policies, waiting
from pearlstreet.compute.scheduling.rows import BUILDS
from pearlstreet.store.core import Tx
from pearlstreet.store.tables import meta


def write_version(
    tx: Tx, owners: Owners, wanted: Policy, *, made_by: str, note: str, back_to: int | None
) -> Policy:
    """Put a policy in force as a new version. Requests that wait in queues that it does not have move to its default queue."""
    number = (tx.scalar(sa.select(sa.func.max(policies.c.number))) or 0) + 1
    made = replace(wanted, number=number, made_by=made_by, made_us=tx.now_us, note=note, back_to=back_to)
    columns = {"number": number, "made_by": made_by, "made_us": tx.now_us, "note": note, "back_to": back_to}
    tx.execute(sa.insert(policies).values(**to_rows(made), **columns))
    lost = waiting.c.queue.not_in([*sorted(made.queues), BUILDS])
    tx.execute(sa.update(waiting).where(lost).values(queue=made.default_queue))
    for owner in owners.values():
        if isinstance(owner, QueuedOwner):
            owner.on_queues(tx, made.queues.keys(), made.default_queue)
    _keep_half_life(tx, made.planner.half_life_s)
    tx.hint(PLAN)
    return made


def _keep_half_life(tx: Tx, half_life_s: float) -> None:
    """Store the half-life for `fairness`, which also decays usage when it is added."""
    here = meta.c.name == HALF_LIFE
    if not tx.execute(sa.update(meta).where(here).values(value=repr(half_life_s))).rowcount:
        tx.execute(sa.insert(meta).values(name=HALF_LIFE, value=repr(half_life_s)))
