"""Limits environments, sources and uv's cache of an organisation by deleting those that were unused longest.

A deleted environment is built again for the next job that requests it. Preparations of jobs that have not ended are kept; if
these alone reach the limit, further builds are refused.
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
"""Minimum disk space of a build; with less it is refused."""
MEASURED_AT_ONCE = 20
"""Number of folders that one sweep measures, of those whose size an older version did not record."""
_UNLIMITED = 1 << 62


@dataclass(frozen=True, slots=True)
class PreparedUse:
    """Bytes used by the environments and sources of an organisation."""

    ready_bytes: int
    needed_bytes: int
    """Bytes of preparations that jobs need which have not ended."""


def folder_bytes(folder: Path, bytes_max: int = _UNLIMITED) -> int:
    """Return the bytes allocated in a folder; counting stops above `bytes_max`. A missing folder has 0."""
    walk = DiskWalk(bytes_max, _UNLIMITED)
    walk.add([str(folder)])
    return walk.count.counted_bytes


def needed_ids(tx: Tx, org_id: str | None = None) -> set[str]:
    """Return the ids of preparations needed by jobs that have not ended, of one organisation or (None) of all."""
    alive = jobs.c.state.not_in([state.value for state in ENDED]) & jobs.c.array_id.is_(None)
    query = sa.select(jobs.c.preparations).where(alive, jobs.c.preparations.is_not(None))
    if org_id is not None:
        query = query.where(jobs.c.org_id == org_id)
    return {used for wanted in tx.execute(query).scalars() for used in (wanted or {}).values()}


def prepared_use(tx: Tx, org_id: str, limit_bytes: int) -> PreparedUse:
    """Return the bytes used by an organisation's preparations; `needed_bytes` is 0 below half of the limit, to save a query."""
    rows = _ready_rows(tx, org_id)
    ready = sum(row["size_bytes"] or 0 for row in rows)
    if ready <= limit_bytes // 2:
        return PreparedUse(ready, 0)
    needed = needed_ids(tx, org_id)
    return PreparedUse(ready, sum(row["size_bytes"] or 0 for row in rows if row["id"] in needed))


def refuse_build(use: PreparedUse, limit_bytes: int) -> Text | None:
    """PURE: return why no further build is allowed; None if one is."""
    if not limit_bytes or limit_bytes - use.needed_bytes >= BUILD_BYTES_MIN:
        return None
    return text(
        "Environments and sources of the organisation take {used} of at most {limit}, and jobs that have not ended need "
        "them",
        used=format_bytes(use.needed_bytes),
        limit=format_bytes(limit_bytes),
    )


def build_bytes_max(use: PreparedUse, limit_bytes: int) -> int:
    """PURE: return the disk limit of a build in bytes."""
    return min(BUILD_BYTES_MAX, limit_bytes - use.needed_bytes) if limit_bytes else BUILD_BYTES_MAX


def evict_prepared(tx: Tx, org_id: str, limit_bytes: int, keep_id: str) -> Sequence[str]:
    """Delete the rows of the longest unused preparations until the others fit, and return their ids.

    The sweep deletes their folders.
    """
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
    """Empty a cache above its limit, unless another build uses it (`is_alone` False); return whether it fits now."""
    if not limit_bytes or folder_bytes(folder, limit_bytes) <= limit_bytes:
        return True
    if is_alone:
        shutil.rmtree(folder, ignore_errors=True)
    return is_alone


def measure_prepared(runtime: Runtime, store: Store) -> int:
    """Record sizes that an older version did not write, and return their number."""
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
    """Delete folders that no preparation names (evicted, or left by a crash), and return their number.

    The folders are listed before the rows are read, because a row exists before its folder.
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
    """Return the folder of a preparation's result; each attempt has its own."""
    return runtime.folders.prepared / str(row["org_id"]) / str(row["attempt_id"])


def _ready_rows(tx: Tx, org_id: str) -> Sequence[Row]:
    """Return the ready preparations of an organisation, the longest unused first."""
    query = sa.select(preparations.c.id, preparations.c.size_bytes).where(
        preparations.c.org_id == org_id, preparations.c.state == READY
    )
    return tx.rows(query.order_by(preparations.c.at_us, preparations.c.id))
