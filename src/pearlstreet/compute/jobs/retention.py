"""Deletes from the data folder: preparations that were not used for long, and blobs that no row names."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.compute.execution.tables import checkpoint_files
from pearlstreet.compute.jobs.preparing import FAILED
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.storage.prepared_limit import READY, needed_ids, prepared_folder
from pearlstreet.compute.jobs.tables import artefacts, preparations, uploads
from pearlstreet.hub.tables import contents, xorbs
from pearlstreet.store.core import Row, Store, Tx

ORPHAN_S = 86_400.0
"""Minimum age in seconds of an orphan blob, because a blob is stored before the row that names it."""


def drop_prepared(runtime: Runtime, store: Store) -> int:
    """Delete environments and sources that were not requested for `kept_s` and that no job needs; return their number."""
    before_us = store.clock.now_us() - int(runtime.settings.kept_s * US_PER_S)
    old = preparations.c.state.in_((READY, FAILED)) & (preparations.c.at_us < before_us)
    query = sa.select(preparations).where(old).limit(100)
    if not store.read(lambda tx: tx.rows(query)):
        return 0
    dropped = store.write(lambda tx: _drop_rows(tx, query))
    for row in dropped:
        shutil.rmtree(prepared_folder(runtime, row), ignore_errors=True)
    return len(dropped)


def _drop_rows(tx: Tx, query: sa.Select[tuple[object]]) -> Sequence[Row]:
    needed = needed_ids(tx)
    dropped = [row for row in tx.rows(query) if row["id"] not in needed]
    ids = [row["id"] for row in dropped]
    tx.execute(sa.delete(preparations).where(preparations.c.id.in_(ids)))
    return dropped


def drop_orphans(runtime: Runtime, store: Store, shard: int) -> int:
    """Delete the blobs of one shard that no upload, artefact, checkpoint, repository or xorb names, and stray temporary files.

    Returns the number of deleted blobs.
    """
    before_s = store.clock.now_us() / US_PER_S - ORPHAN_S
    runtime.blobs.drop_stray(before_s)
    old = runtime.blobs.stored_before(shard, before_s)
    if not old:
        return 0
    orphans = set(old) - store.read(lambda tx: _named(tx, sorted(old)))
    return sum(runtime.blobs.delete_older(name, before_s) for name in orphans)


def _named(tx: Tx, names: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(names), 500):
        part = names[start : start + 500]
        for table in (uploads, artefacts, checkpoint_files, xorbs):
            found |= set(tx.execute(sa.select(table.c.sha256).where(table.c.sha256.in_(part))).scalars())
        stored = contents.c.sha256.in_(part) & contents.c.segments.is_(None)
        found |= set(tx.execute(sa.select(contents.c.sha256).where(stored)).scalars())
    return found
