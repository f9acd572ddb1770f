"""Limits on environments, sources and uv's cache of an organisation: beyond them what was unused longest is deleted.

Deleted environments are built again for the next job that asks for them. What jobs that have not ended need stays; when
that alone reaches the limit, further builds are refused.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from pearlstreet.base.text import Text, text
from pearlstreet.base.units import GIB, format_bytes
from pearlstreet.compute.engines.local.supervisor.disk import DiskWalk
from pearlstreet.compute.jobs.model import ENDED
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.tables import jobs, preparations
from pearlstreet.store.core import Row, Store, Tx

READY = "ready"
BUILD_BYTES_MAX = 30 * GIB
"""Disk limit of one build."""
BUILD_BYTES_MIN = GIB // 4
"""A build is refused when less than this is left for it."""
MEASURED_AT_ONCE = 20
"""Folders of older versions without a size that one sweep measures."""
_UNLIMITED = 1 << 62


@dataclass(frozen=True, slots=True)
class PreparedUse:
    """What an organisation's environments and sources take, in bytes."""

    ready_bytes: int
    needed_bytes: int
    """Of these, what jobs that have not ended need."""


def folder_bytes(folder: Path, bytes_max: int = _UNLIMITED) -> int:
    """Bytes allocated in a folder; a count beyond `bytes_max` ends there. A folder that is absent has none."""
    walk = DiskWalk(bytes_max, _UNLIMITED)
    walk.add([str(folder)])
    return walk.count.counted_bytes


def needed_ids(tx: Tx, org_id: str | None = None) -> set[str]:
    """Ids of the preparations that jobs need which have not ended: of one organisation, or (None) of all."""
    alive = jobs.c.state.not_in([state.value for state in ENDED]) & jobs.c.array_id.is_(None)
    query = sa.select(jobs.c.preparations).where(alive, jobs.c.preparations.is_not(None))
    if org_id is not None:
        query = query.where(jobs.c.org_id == org_id)
    return {used for wanted in tx.execute(query).scalars() for used in (wanted or {}).values()}


def prepared_use(tx: Tx, org_id: str, limit_bytes: int) -> PreparedUse:
    """What an organisation's preparations take. What is needed is looked up only when half of the limit is used."""
    rows = _ready_rows(tx, org_id)
    ready = sum(row["size_bytes"] or 0 for row in rows)
    if ready <= limit_bytes // 2:
        return PreparedUse(ready, 0)
    needed = needed_ids(tx, org_id)
    return PreparedUse(ready, sum(row["size_bytes"] or 0 for row in rows if row["id"] in needed))


def refuse_build(use: PreparedUse, limit_bytes: int) -> Text | None:
    """PURE: why nothing more may be built, or None."""
    if not limit_bytes or limit_bytes - use.needed_bytes >= BUILD_BYTES_MIN:
        return None
    return text(
        "Environments and sources of the organisation take {used} of at most {limit}, and jobs that have not ended need "
        "them",
        used=format_bytes(use.needed_bytes),
        limit=format_bytes(limit_bytes),
    )


def build_bytes_max(use: PreparedUse, limit_bytes: int) -> int:
    """PURE: the disk limit of a build, in bytes."""
    return min(BUILD_BYTES_MAX, limit_bytes - use.needed_bytes) if limit_bytes else BUILD_BYTES_MAX


def evict_prepared(tx: Tx, org_id: str, limit_bytes: int, keep_id: str) -> Sequence[str]:
    """Drop the rows of what was unused longest until the rest fits; their ids. The sweep deletes their folders."""
    rows = _ready_rows(tx, org_id)
    excess = sum(row["size_bytes"] or 0 for row in rows) - limit_bytes
    if not limit_bytes or excess <= 0:
        return ()
    kept, evicted = needed_ids(tx, org_id) | {keep_id}, []
    for row in rows:
        if excess > 0 and row["id"] not in kept:
            evicted.append(row["id"])
            excess -= row["size_bytes"] or 0
    tx.execute(sa.delete(preparations).where(preparations.c.id.in_(evicted)))
    return evicted


def fit_cache(folder: Path, limit_bytes: int, *, is_alone: bool) -> bool:
    """Whether a cache is within its limit; a larger one is emptied, unless another build uses it (`is_alone` False)."""
    if not limit_bytes or folder_bytes(folder, limit_bytes) <= limit_bytes:
        return True
    if is_alone:
        shutil.rmtree(folder, ignore_errors=True)
    return is_alone


def measure_prepared(runtime: Runtime, store: Store) -> int:
    """Fill in sizes that an older version did not write; how many."""
    unknown = (preparations.c.state == READY) & preparations.c.size_bytes.is_(None)
    query = sa.select(preparations).where(unknown).limit(MEASURED_AT_ONCE)
    rows = store.read(lambda tx: tx.rows(query))
    sizes = {row["id"]: (row["attempt_id"], folder_bytes(prepared_folder(runtime, row))) for row in rows}
    if sizes:
        store.write(lambda tx: _write_sizes(tx, sizes))
    return len(sizes)


def _write_sizes(tx: Tx, sizes: dict[str, tuple[str, int]]) -> None:
    for id_, (attempt_id, size) in sizes.items():
        unchanged = (preparations.c.id == id_) & (preparations.c.attempt_id == attempt_id)
        tx.execute(sa.update(preparations).where(unchanged).values(size_bytes=size))


def drop_stray_prepared(runtime: Runtime, store: Store) -> int:
    """Delete folders that no preparation names: of evicted ones, and what a crash left; how many.

    The folders are listed before the rows are read: a row exists before its folder does.
    """
    try:
        found = {
            folder.name: folder for org in runtime.folders.prepared.iterdir() for folder in org.iterdir()
        }
    except (FileNotFoundError, NotADirectoryError):
        return 0
    if not found:
        return 0
    named = set(store.read(lambda tx: tx.execute(sa.select(preparations.c.attempt_id)).scalars().all()))
    stray = [folder for name, folder in found.items() if name not in named]
    for folder in stray:
        shutil.rmtree(folder, ignore_errors=True)
    return len(stray)


def prepared_folder(runtime: Runtime, row: Row) -> Path:
    """Where a preparation's result lies: a folder of its own for each try."""
    return runtime.folders.prepared / str(row["org_id"]) / str(row["attempt_id"])


def _ready_rows(tx: Tx, org_id: str) -> Sequence[Row]:
    """Of an organisation, the longest unused first."""
    query = sa.select(preparations.c.id, preparations.c.size_bytes).where(
        preparations.c.org_id == org_id, preparations.c.state == READY
    )
    return tx.rows(query.order_by(preparations.c.at_us, preparations.c.id))
