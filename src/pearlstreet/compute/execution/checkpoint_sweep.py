"""Deletes the checkpoints of ended owners: after a time, and beyond a size for each organisation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa
import structlog

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.outcome import Done
from pearlstreet.compute.engines.protocol import Engine
from pearlstreet.compute.execution.settings import Execution, ExecutionSettings
from pearlstreet.compute.execution.stored_checkpoints import drop_stored
from pearlstreet.compute.execution.tables import attempts, checkpoints
from pearlstreet.store.core import Store, Tx

BATCH = 500
"""Number of owners looked up at once."""
log = structlog.get_logger("checkpoints")


@dataclass(frozen=True, slots=True)
class KeptCheckpoint:
    """The checkpoint folder of one owner."""

    key: str
    org_id: str
    size_bytes: int
    ended_us: int | None
    """End of its owner (µs since 1970); None: it may go on from it."""


def drop_checkpoints(execution: Execution, store: Store, engine: Engine) -> None:
    """Delete the checkpoints of an engine that are not needed, and those of owners that no attempt names any more."""
    found = engine.checkpoint_sizes()
    sizes = found.value if isinstance(found, Done) else {}
    kept: list[KeptCheckpoint] = []
    keys = sorted(sizes)
    for start in range(0, len(keys), BATCH):
        part = keys[start : start + BATCH]
        kept += store.read(partial(_owned, execution, {key: sizes[key] for key in part}))
    known = {one.key for one in kept}
    unneeded = plan_deletions(kept, execution.settings, store.clock.now_us())
    for key in [*(key for key in keys if key not in known), *unneeded]:
        if isinstance(engine.delete_checkpoint(key), Done):
            log.info("checkpoint deleted", owner=key, size_bytes=sizes[key])


def plan_deletions(kept: Sequence[KeptCheckpoint], settings: ExecutionSettings, now_us: int) -> list[str]:
    """PURE: return the keys of the checkpoints to delete: of owners that ended long ago, and the oldest beyond the limit."""
    before_us = now_us - int(settings.checkpoints_kept_s * US_PER_S)
    chosen: list[str] = []
    by_org: dict[str, list[KeptCheckpoint]] = defaultdict(list)
    for one in kept:
        if one.ended_us is not None and one.ended_us < before_us:
            chosen.append(one.key)
        else:
            by_org[one.org_id].append(one)
    for of_org in by_org.values() if settings.org_checkpoint_bytes_max else ():
        excess = sum(one.size_bytes for one in of_org) - settings.org_checkpoint_bytes_max
        for one in sorted(of_org, key=lambda one: (one.ended_us or 0, one.key)):
            if excess > 0 and one.ended_us is not None:
                chosen.append(one.key)
                excess -= one.size_bytes
    return chosen


def _owned(execution: Execution, sizes: Mapping[str, int], tx: Tx) -> list[KeptCheckpoint]:
    columns = (attempts.c.owner_kind, attempts.c.owner_id, attempts.c.org_id)
    rows = tx.rows(sa.select(*columns).where(attempts.c.owner_id.in_(list(sizes))).distinct())
    of_kind: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        of_kind[row["owner_kind"]].append(row["owner_id"])
    ended: dict[str, int] = {}
    for kind, ids in of_kind.items():
        ended |= execution.owners[kind].ended(tx, ids) if kind in execution.owners else {}
    return [
        KeptCheckpoint(row["owner_id"], row["org_id"], sizes[row["owner_id"]], ended.get(row["owner_id"]))
        for row in rows
    ]


def drop_stored_checkpoints(execution: Execution, store: Store) -> None:
    """Delete the checkpoints in the object store of owners that ended long ago."""
    before_us = store.clock.now_us() - int(execution.settings.checkpoints_kept_s * US_PER_S)
    ids: list[str] = []
    for kind, owner_ids in store.read(_stored).items():
        for start in range(0, len(owner_ids), BATCH):
            part = owner_ids[start : start + BATCH]
            owner = execution.owners.get(kind)
            ended = store.read(partial(owner.ended, owner_ids=part)) if owner is not None else {}
            ids += [owner_id for owner_id, ended_us in ended.items() if ended_us < before_us]
    for owner_id in ids:
        store.write(partial(drop_stored, owner_id=owner_id))
        log.info("stored checkpoint deleted", owner=owner_id)


def _stored(tx: Tx) -> Mapping[str, list[str]]:
    """Return the owners with a checkpoint in the object store, by kind."""
    of_kind: dict[str, list[str]] = defaultdict(list)
    for row in tx.rows(sa.select(checkpoints.c.id, checkpoints.c.owner_kind)):
        of_kind[row["owner_kind"]].append(row["id"])
    return of_kind
