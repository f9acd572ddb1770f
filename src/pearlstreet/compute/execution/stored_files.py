"""Has an engine's stager store files that an ended attempt left, so that their bytes do not pass through this process."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pearlstreet.base.errors import NotFound, Unavailable
from pearlstreet.base.outcome import Done, Refused, Retry
from pearlstreet.base.text import Text, text
from pearlstreet.compute.engines.protocol import Engine, OutputFile
from pearlstreet.compute.engines.staging.model import (
    FileRequest,
    StagerResult,
    StagerTask,
    UploadTarget,
)
from pearlstreet.objects.model import Blob, BlobStore, UploadGrant

RUNNING_RETRY_S = 1.0
FAILED_RETRY_S = 60.0
GRANT_S = 3600
"""Validity of signed addresses in seconds; a transfer that takes longer goes on with new ones."""


@dataclass(frozen=True, slots=True)
class NotYet:
    """The stager is not through: why, and when to ask again."""

    reason: Text
    after_s: float


@dataclass(frozen=True, slots=True)
class StoredFiles:
    """Files that are stored as blobs, by path, and reasons why others never will be."""

    files: tuple[tuple[str, Blob], ...] = ()
    lost: tuple[tuple[str, Text], ...] = ()


def store_files(
    engine: Engine, blobs: BlobStore, attempt_id: str, files: Sequence[OutputFile]
) -> StoredFiles | NotYet:
    """Have files of an attempt stored. To be called again until it is through; each call is cheap. Raises Unavailable."""
    wanted = tuple(FileRequest(file.path, file.size_bytes) for file in files)
    folder = blobs.upload_folder()
    if folder is not None:
        task = _task("put", attempt_id, wanted, UploadTarget(folder=str(folder)))
        done = run_task(engine, task)
        return done if isinstance(done, NotYet) else _checked(blobs, done)
    hashed = run_task(engine, _task("hash", attempt_id, wanted))
    if isinstance(hashed, NotYet):
        return hashed
    known = tuple(
        FileRequest(file.path, file.size_bytes, file.sha256) for file in hashed.files if file.problem is None
    )
    unreadable = tuple((file.path, file.problem) for file in hashed.files if file.problem is not None)
    done = run_task(engine, _task("put", attempt_id, known), blobs)
    if isinstance(done, NotYet):
        return done
    stored = _checked(blobs, done)
    return stored if isinstance(stored, NotYet) else replace(stored, lost=unreadable + stored.lost)


def run_task(engine: Engine, task: StagerTask, granting: BlobStore | None = None) -> StagerResult | NotYet:
    """Start a task unless it runs or is done, and return its result. `granting`: store that signs addresses for its files."""
    asked = engine.stager_report(task)
    if isinstance(asked, Done) and asked.value.state in ("absent", "done"):
        result = asked.value.result
        if result is not None and result.again is None:
            return result
        if granting is not None:
            task = replace(task, target=UploadTarget(grants=_grants(granting, task.files)))
        started = engine.start_stager(task)
        if not isinstance(started, Done):
            return NotYet(started.reason, started.after_s if isinstance(started, Retry) else FAILED_RETRY_S)
        asked = engine.stager_report(task)
    if not isinstance(asked, Done):
        return NotYet(asked.reason, FAILED_RETRY_S if isinstance(asked, Refused) else RUNNING_RETRY_S)
    result = asked.value.result
    if result is None:
        return NotYet(text("The files are being stored"), RUNNING_RETRY_S)
    return result if result.again is None else NotYet(result.again, FAILED_RETRY_S)


def _task(
    action: str, attempt_id: str, files: tuple[FileRequest, ...], target: UploadTarget | None = None
) -> StagerTask:
    """Return a task whose id depends on the files, so that another listing is another task."""
    digest = hashlib.sha256("\0".join(f"{file.path}\0{file.size_bytes}" for file in files).encode())
    name = f"{action}-{digest.hexdigest()[:24]}"
    chosen = target or UploadTarget()
    if action == "hash":
        return StagerTask(name, "hash", attempt_id, files=files)
    return StagerTask(name, "put", attempt_id, files=files, target=chosen)


def _grants(blobs: BlobStore, files: Sequence[FileRequest]) -> Mapping[str, UploadGrant]:
    found: dict[str, UploadGrant] = {}
    for sha256, size in dict.fromkeys((file.sha256, file.size_bytes) for file in files):
        grant = blobs.grant_upload(Blob(sha256, size), valid_s=GRANT_S)
        if grant is not None:
            found[sha256] = grant
    return found


def _checked(blobs: BlobStore, result: StagerResult) -> StoredFiles | NotYet:
    """Return what is stored, after a look into the store: a row must never name a blob that is not there."""
    stored: list[tuple[str, Blob]] = []
    lost: list[tuple[str, Text]] = []
    for file in result.files:
        if file.problem is not None:
            lost.append((file.path, file.problem))
            continue
        try:
            size = blobs.size_bytes(file.sha256)
        except NotFound:
            size = -1
        if size != file.size_bytes:
            raise Unavailable(
                text("The stager's manifest names a file that is not stored"),
                retry_after_s=int(FAILED_RETRY_S),
            )
        stored.append((file.path, Blob(file.sha256, file.size_bytes)))
    return StoredFiles(tuple(stored), tuple(lost))
