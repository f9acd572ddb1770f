"""What counts against quotas: use of machines, waiting jobs and stored bytes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pearlstreet.base.units import GIB
from pearlstreet.compute.queueing.queue_limits import count_queued
from pearlstreet.compute.queueing.quotas import QUEUED_JOBS, QuotaRow, list_quotas
from pearlstreet.compute.queueing.runtime import QueueingRuntime
from pearlstreet.compute.scheduling.quota import in_use
from pearlstreet.storage.levels import stored_bytes
from pearlstreet.storage.quota import STORAGE
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """A quota and the usage that counts against it. `used` None: the planner has not planned since it was set."""

    quota: QuotaRow
    used: float | None


def quota_uses(
    store: Store, actor: Actor, runtime: QueueingRuntime, org: str | None = None
) -> Sequence[QuotaUse]:
    """Return the quotas of an organisation, or all that the actor may see, with their usage in the last planning cycle."""
    found = list_quotas(store, actor, org)
    snapshot = runtime.planner_status.snapshot()
    used: dict[tuple[str, str, str], float] = dict(in_use(snapshot)) if snapshot is not None else {}
    limited = [row for row in found if row.wish.resource == QUEUED_JOBS]
    if limited:
        used |= store.read(lambda tx: _queued(tx, {row.org_id for row in limited}))
    stored = [row for row in found if row.wish.resource == STORAGE]
    for row in stored:
        count = store.read(lambda tx, row=row: stored_bytes(tx, row.org_id, row.project_id))  # type: ignore[misc]
        used[row.org_id, row.project_id or "", STORAGE] = count / GIB
    return [QuotaUse(row, used.get((row.org_id, row.project_id or "", row.wish.resource))) for row in found]


def _queued(tx: Tx, org_ids: Collection[str]) -> dict[tuple[str, str, str], float]:
    """Return the number of waiting jobs by (organisation, project or "", queued_jobs)."""
    found: dict[tuple[str, str, str], float] = {(org, "", QUEUED_JOBS): 0.0 for org in org_ids}
    for row in tx.rows(count_queued(org_ids)):
        found[row["org_id"], row["project_id"], QUEUED_JOBS] = float(row["waiting"])
        found[row["org_id"], "", QUEUED_JOBS] += row["waiting"]
    return found
