"""The loop that stores checkpoints, so that their owners can go on from them on another engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import NotFound, PearlError
from pearlstreet.base.text import Text, text
from pearlstreet.compute.engines.staging.model import FileRequest, StagerResult, StagerTask, UploadTarget
from pearlstreet.compute.execution.lifecycle import START
from pearlstreet.compute.execution.owners import owner_of
from pearlstreet.compute.execution.settings import Execution
from pearlstreet.compute.execution.stored_checkpoints import BYTES_MAX, SAVE, write_manifest
from pearlstreet.compute.execution.stored_files import FAILED_RETRY_S, NotYet, run_task
from pearlstreet.compute.execution.tables import checkpoint_files, checkpoints
from pearlstreet.objects.model import BlobStore
from pearlstreet.storage.quota import storage_limits, tightest
from pearlstreet.store.core import Row, Tx
from pearlstreet.store.loop import Loop, RowLoop

FILES_MAX = 10_000
LANES = 2


@dataclass(frozen=True, slots=True)
class _Save:
    """One save of a checkpoint."""

    row: Row
    known: frozenset[str]
    """Digests that are stored for this owner already."""
    bytes_max: int
    ended: bool
    """Whether the owner has ended, so that nothing needs to be stored."""


def checkpoint_loop(execution: Execution) -> Loop:
    """Return the loop that has stagers save checkpoints and writes their manifests."""
    return RowLoop[_Save, _Save, "StagerResult | NotYet | None"](
        name="save_checkpoints",
        table=checkpoints,
        conditions=(),
        account=checkpoints.c.org_id,
        load=partial(_load, execution),
        decide=lambda save, now_us: save,
        act=partial(_act, execution),
        apply=partial(_apply, execution),
        hints=(SAVE,),
        interval_s=5.0,
        lease_s=600,
        lanes=LANES,
    )


def _load(execution: Execution, tx: Tx, ids: Sequence[str]) -> Mapping[str, _Save]:
    return {
        row["id"]: _Save(
            row,
            frozenset(tx.execute(_DIGESTS, {"owner": row["id"]}).scalars()),
            _bytes_max(tx, execution, row),
            row["id"] in owner_of(execution.owners, row).ended(tx, [row["id"]]),
        )
        for row in tx.rows(sa.select(checkpoints).where(checkpoints.c.id.in_(ids)))
    }


_DIGESTS = sa.select(checkpoint_files.c.sha256).where(
    checkpoint_files.c.owner_id == sa.bindparam("owner"), checkpoint_files.c.sha256.is_not(None)
)


def _bytes_max(tx: Tx, execution: Execution, row: Row) -> int:
    """Return the largest size that is stored now. The last state may exceed the quota once, as the outputs of a job may."""
    limit = tightest(storage_limits(tx, execution.settings, row["org_id"], row["project_id"]))
    most = min(int(row["bytes_max"]), BYTES_MAX)
    if limit is None or (row["is_over"] and limit.left > 0):
        return most
    return max(min(most, limit.left + int(row["stored_bytes"])), 0)


def _act(execution: Execution, save: _Save) -> StagerResult | NotYet | None:
    """Return the manifest whose files are all stored, or why there is none yet; None: nothing is to be done."""
    engine, blobs, row = execution.engines.get(save.row["engine"]), execution.blobs, save.row
    if engine is None or blobs is None or save.ended:
        return None
    folder = blobs.upload_folder()
    name = f"{row['attempt_id']}-{row['saves']}{'-last' if row['is_over'] else ''}"
    task = StagerTask(
        f"save-{name}",
        "save",
        row["id"],
        is_checkpoint=True,
        target=UploadTarget(folder=str(folder) if folder is not None else ""),
        files_max=FILES_MAX,
        bytes_max=save.bytes_max,
    )
    try:
        result = run_task(engine, task)
        if isinstance(result, NotYet) or result.problem is not None:
            return result
        if folder is None:
            put = _put(name, row, save.known, result)
            sent = run_task(engine, put, blobs)
            if isinstance(sent, NotYet):
                return sent
            result = _without(result, {file.path for file in sent.files if file.problem is not None})
        return _checked(blobs, save.known, result)
    except PearlError as error:
        return NotYet(error.message, FAILED_RETRY_S)


def _put(name: str, row: Row, known: frozenset[str], result: StagerResult) -> StagerTask:
    """Return the task that uploads each digest of a manifest that is not stored, once."""
    fresh = {file.sha256: file for file in result.files if file.kind == "file" and file.sha256 not in known}
    files = tuple(FileRequest(file.path, file.size_bytes, file.sha256) for file in fresh.values())
    return StagerTask(f"put-{name}", "put", row["id"], is_checkpoint=True, files=files)


def _without(result: StagerResult, changed: set[str]) -> StagerResult:
    """Return a manifest without the entries of files that changed before they were sent."""
    digests = {file.sha256 for file in result.files if file.path in changed}
    lost = {file.path.split("/")[0] for file in result.files if file.sha256 and file.sha256 in digests}
    files = tuple(file for file in result.files if file.path.split("/")[0] not in lost)
    return replace(result, files=files, left_out=tuple(sorted({*result.left_out, *lost})))


def _checked(blobs: BlobStore, known: frozenset[str], result: StagerResult) -> StagerResult | NotYet:
    """Return a manifest after a look into the store: a row must never name a blob that is not there."""
    fresh = {
        file.sha256: file.size_bytes for file in result.files if file.sha256 and file.sha256 not in known
    }
    for sha256, size in fresh.items():
        try:
            found = blobs.size_bytes(sha256)
        except NotFound:
            found = -1
        if found != size:
            return NotYet(text("The stager's manifest names a file that is not stored"), FAILED_RETRY_S)
    return result


def _apply(
    execution: Execution,
    tx: Tx,
    row_id: str,
    token: str,
    context: _Save,
    decision: _Save,
    result: StagerResult | NotYet | None,
) -> int | None:
    row = tx.first(sa.select(checkpoints).where(checkpoints.c.id == row_id))
    if row is None or result is None:
        return None
    if row["attempt_id"] != context.row["attempt_id"]:
        return tx.now_us  # another attempt writes the folder: its state is newer
    if isinstance(result, NotYet):
        _note(tx, row, problem=result.reason.to_json())
        return tx.now_us + int(result.after_s * US_PER_S)
    is_last = context.row["is_over"]
    values: dict[str, object] = {"saves": row["saves"] + 1, "problem": _problem(result.problem)}
    if result.problem is None:
        size = write_manifest(tx, row, result.files, result.left_out)
        values |= {"stored_bytes": size, "stored_us": tx.now_us, "saved_us": result.saved_us}
    if is_last:
        values["final_attempt_id"] = row["attempt_id"]
        tx.hint(START)
    _note(tx, row, **values)
    if is_last:
        return None
    return tx.now_us + (0 if row["is_over"] else int(execution.settings.checkpoint_upload_s * US_PER_S))


def _problem(problem: Text | None) -> object:
    return problem.to_json() if problem is not None else sa.null()


def _note(tx: Tx, row: Row, **values: object) -> None:
    tx.execute(sa.update(checkpoints).where(checkpoints.c.id == row["id"]).values(**values))
