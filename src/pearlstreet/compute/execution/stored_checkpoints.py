"""Checkpoints in the object store: when one must be there before an attempt starts elsewhere, and what is put back then.

A checkpoint stays on its engine. Only in a center with several engines that have a stager is it also stored: a running attempt's now and
then in the background, and its last state before the next attempt starts on another engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.compute.engines.staging.model import RestoredEntry, StagedFile
from pearlstreet.compute.execution.settings import Execution
from pearlstreet.compute.execution.tables import attempts, checkpoint_files, checkpoints
from pearlstreet.objects.model import Blob
from pearlstreet.storage.levels import change_level
from pearlstreet.store.core import Row, Tx

SAVE = "save"
"""Hint topic: a checkpoint is to be stored."""
VALID_S = 4 * 3600
"""Validity of the addresses of a restored checkpoint's files."""
WAIT_S = 600.0
"""Time after the end of an attempt for which the next one elsewhere waits for its last state; then it goes on from what is stored."""
BYTES_MAX = 1 << 40
BATCH = 500


# Built once, because every end of an attempt runs it.
_END = (
    sa.update(checkpoints)
    .where(checkpoints.c.id == sa.bindparam("owner"), checkpoints.c.attempt_id == sa.bindparam("attempt"))
    .values(is_over=True, due_us=sa.bindparam("due"))
)


@dataclass(frozen=True, slots=True)
class Missing:
    """The last state of an earlier attempt, on another engine, is not stored yet."""

    previous: Row


def may_move(execution: Execution) -> bool:
    """Return whether checkpoints can go from one engine of the center to another."""
    stagers = [engine for engine in execution.engines.values() if engine.capabilities().stager]
    return execution.blobs is not None and len(stagers) > 1


def note_started(tx: Tx, execution: Execution, attempt: Row, bytes_max: int) -> None:
    """Note that an attempt writes its owner's checkpoint folder, which is then stored now and then."""
    if not may_move(execution) or not execution.engines[attempt["engine"]].capabilities().stager:
        return
    due_us = tx.now_us + int(execution.settings.checkpoint_upload_s * US_PER_S)
    _point_to(tx, attempt, is_over=False, bytes_max=bytes_max, due_us=due_us)


def note_ended(tx: Tx, attempt: Row, *, goes_on: bool) -> None:
    """Note that an attempt's work is over; its last state is stored at once if the owner `goes_on`."""
    values = {"owner": attempt["owner_id"], "attempt": attempt["id"], "due": tx.now_us if goes_on else None}
    tx.execute(_END, values)
    if goes_on:
        tx.hint(SAVE)


def request_save(tx: Tx, previous: Row) -> None:
    """Have the last state of an ended attempt stored, since the next one is to start elsewhere."""
    row = tx.first(sa.select(checkpoints).where(checkpoints.c.id == previous["owner_id"]))
    if row is not None and row["attempt_id"] == previous["id"]:
        if row["due_us"] is None:
            here = checkpoints.c.id == row["id"]
            tx.execute(sa.update(checkpoints).where(here).values(is_over=True, due_us=tx.now_us))
    else:
        _point_to(tx, previous, is_over=True, bytes_max=BYTES_MAX, due_us=tx.now_us)
    tx.hint(SAVE)


def _point_to(tx: Tx, attempt: Row, *, is_over: bool, bytes_max: int, due_us: int) -> None:
    """Write which attempt and engine have the newest state. What is stored stays until newer is."""
    values = {
        "attempt_id": attempt["id"],
        "engine": attempt["engine"],
        "is_over": is_over,
        "bytes_max": bytes_max,
        "due_us": due_us,
        "problem": None,
    }
    changed = tx.execute(
        sa.update(checkpoints).where(checkpoints.c.id == attempt["owner_id"]).values(**values)
    )
    if not changed.rowcount:
        same = {name: attempt[name] for name in ("owner_kind", "org_id", "project_id")}
        fresh = {"id": attempt["owner_id"], "saves": 0, "stored_bytes": 0}
        tx.execute(sa.insert(checkpoints).values(**fresh, **same, **values))


def checkpoint_for(tx: Tx, execution: Execution, attempt: Row) -> tuple[RestoredEntry, ...] | Missing | None:
    """Return what is put into the checkpoint folder before an attempt starts; None: its engine has the newest state."""
    if attempt["number"] <= 1:
        return None
    engine = execution.engines.get(attempt["engine"])
    if execution.blobs is None or engine is None or not engine.capabilities().stager:
        return None
    previous = _previous(tx, attempt)
    if previous is None or previous["engine"] == attempt["engine"]:
        return None
    row = tx.first(sa.select(checkpoints).where(checkpoints.c.id == attempt["owner_id"]))
    is_stored = row is not None and row["final_attempt_id"] == previous["id"]
    if not is_stored and previous["saved_us"] is not None and _can_save(tx, execution, previous):
        return Missing(previous)
    if row is None or row["stored_us"] is None:
        return None
    return restored_entries(tx, execution, attempt["owner_id"])


def _previous(tx: Tx, attempt: Row) -> Row | None:
    """Return the last attempt of the same owner that ran before this one."""
    ran = (
        (attempts.c.owner_id == attempt["owner_id"])
        & (attempts.c.number < attempt["number"])
        & attempts.c.started_us.is_not(None)
    )
    return tx.first(sa.select(attempts).where(ran).order_by(attempts.c.number.desc()).limit(1))


def _can_save(tx: Tx, execution: Execution, previous: Row) -> bool:
    """Return whether the engine of an earlier attempt may still give its last state."""
    engine = execution.engines.get(previous["engine"])
    waits_until_us = (previous["ended_us"] or 0) + int(WAIT_S * US_PER_S)
    return engine is not None and engine.capabilities().stager and tx.now_us < waits_until_us


def restored_entries(tx: Tx, execution: Execution, owner_id: str) -> tuple[RestoredEntry, ...]:
    """Return the entries of a stored checkpoint, with where an engine reads their bytes. Raises NotFound if a blob is gone."""
    blobs = execution.blobs
    rows = tx.rows(sa.select(checkpoint_files).where(checkpoint_files.c.owner_id == owner_id))
    return tuple(
        RestoredEntry(
            row["path"],
            row["kind"],
            blobs.reference(Blob(row["sha256"], row["size_bytes"]), valid_s=VALID_S)
            if blobs is not None and row["kind"] == "file"
            else None,
            row["executable"],
            row["link_target"] or "",
        )
        for row in rows
    )


def write_manifest(tx: Tx, row: Row, files: Sequence[StagedFile], left_out: Iterable[str]) -> int:
    """Replace the stored checkpoint of an owner in one transaction; entries that were `left_out` stay as they were stored.

    Returns its size in bytes, which counts towards the project's storage.
    """
    here = checkpoint_files.c.owner_id == row["id"]
    kept = set(left_out)
    old = [line for line in tx.rows(sa.select(checkpoint_files).where(here)) if _entry(line["path"]) in kept]
    lines = [dict(line) for line in old] + [_line(row, file) for file in files]
    tx.execute(sa.delete(checkpoint_files).where(here))
    for start in range(0, len(lines), BATCH):
        tx.execute(sa.insert(checkpoint_files), lines[start : start + BATCH])
    size = sum(int(str(line["size_bytes"])) for line in lines)
    change_level(tx, row["org_id"], row["project_id"], size - row["stored_bytes"])
    return size


def _entry(path: str) -> str:
    return path.split("/")[0]


def _line(row: Row, file: StagedFile) -> dict[str, object]:
    return {
        "owner_id": row["id"],
        "path": file.path,
        "org_id": row["org_id"],
        "kind": file.kind,
        "size_bytes": file.size_bytes,
        "sha256": file.sha256 or None,
        "executable": file.executable,
        "link_target": file.link_target or None,
    }


def drop_stored(tx: Tx, owner_id: str) -> None:
    """Delete a stored checkpoint; its blobs are collected once nothing names them."""
    row = tx.first(sa.select(checkpoints).where(checkpoints.c.id == owner_id))
    if row is None:
        return
    tx.execute(sa.delete(checkpoint_files).where(checkpoint_files.c.owner_id == owner_id))
    tx.execute(sa.delete(checkpoints).where(checkpoints.c.id == owner_id))
    change_level(tx, row["org_id"], row["project_id"], -row["stored_bytes"])
