"""Stores the files in the outputs folder of a job's ended attempt as artefacts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import PearlError, Unavailable
from pearlstreet.base.outcome import Done, Refused
from pearlstreet.base.text import Text, from_json, plural, text
from pearlstreet.base.units import GIB, format_bytes
from pearlstreet.compute.engines.protocol import Engine, OutputFile
from pearlstreet.compute.execution.owners import Kept
from pearlstreet.compute.execution.stored_files import NotYet, store_files
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.runtime import JobsSettings, Runtime
from pearlstreet.compute.jobs.storage.retention_rules import expiry_us
from pearlstreet.compute.jobs.tables import artefacts, jobs
from pearlstreet.objects.model import CHUNK, Blob
from pearlstreet.storage.levels import change_level
from pearlstreet.storage.quota import StorageLimit, storage_limits, tightest
from pearlstreet.store.core import Row, Tx
from pearlstreet.workload.spec.model import JobLimits
from pearlstreet.workload.spec.patterns import is_kept

FILES_MAX = 10_000
READ_BYTES_MAX = 1 << 20
"""Bytes of outputs up to which this process reads them itself, since starting a stager costs more; more never pass through it."""
PATH_MAX = 1024
"""Characters of an artefact's path, limited by the width of its column."""
RETRY_S = 5.0
DISK_RETRY_S = 60.0
SPACE_RETRY_S = 60.0
STORAGE_FULL = "storage_full"
"""Reason code of a finished job that waits for free storage quota for its outputs."""
WAITING_MAX = 4
"""Jobs of one organisation that may wait for storage quota, with their outputs on the node's disk; more lose their outputs."""
GIVE_UP_S = 86_400.0
"""Seconds after which a job ends although an engine does not answer or a disk is full."""


@dataclass(frozen=True, slots=True)
class StoredOutputs:
    """Outputs of an attempt that are stored as blobs, and why others are not."""

    files: tuple[tuple[str, Blob], ...] = ()
    problem: Text | None = None
    again_s: float | None = None
    """Seconds until everything is tried again because some files could not be read or stored; None: it is complete."""
    is_refused: bool = False
    """Whether a limit prevented outputs from being stored; then the job has not succeeded."""
    lacks_space: bool = False
    """Whether that limit is the storage quota, which outputs may exceed by at most one disk limit."""


def load_outputs(runtime: Runtime, tx: Tx, attempt: Row) -> Row:
    """Return the specification of an attempt's job (`spec`), and the tightest storage limit for its outputs (`space`)."""
    parent = jobs.alias("parent")
    query = (
        sa.select(sa.func.coalesce(jobs.c.spec, parent.c.spec))
        .join(parent, parent.c.id == jobs.c.array_id, isouter=True)
        .where(jobs.c.id == attempt["owner_id"])
    )
    return {"spec": tx.scalar(query), "space": _space(tx, runtime.settings, attempt)}


def _space(tx: Tx, settings: JobsSettings, attempt: Row) -> StorageLimit | None:
    """Return the tightest storage limit for the outputs of a job; None if there is none."""
    return tightest(storage_limits(tx, settings, attempt["org_id"], attempt["project_id"]))


def keep_outputs(runtime: Runtime, attempt: Row, loaded: Row) -> StoredOutputs:
    """Copy the outputs of an attempt from its engine into blobs."""
    row = {**attempt, **loaded}
    engine = runtime.engines[row["engine"]]
    listed = engine.list_outputs(row["id"])
    if isinstance(listed, Refused):
        return StoredOutputs(problem=listed.reason)
    if not isinstance(listed, Done):
        return StoredOutputs(problem=listed.reason, again_s=RETRY_S)
    wanted, space = _wanted(listed.value, row["spec"]), row["space"]
    most = outputs_bytes_max(runtime.settings, row["spec"])
    size = min(sum(file.size_bytes for file in wanted), most)
    if space is not None and size > space.left + most:
        return StoredOutputs(
            problem=_no_space(space, size), again_s=SPACE_RETRY_S, is_refused=True, lacks_space=True
        )
    return _keep_files(runtime, engine, row, wanted)


def _no_space(space: StorageLimit, size: int) -> Text:
    return text(
        "{owner} stores {used} of at most {limit}, so {size} of outputs do not fit; delete what is not needed",
        owner=space.owner,
        used=format_bytes(space.used),
        limit=format_bytes(space.limit),
        size=format_bytes(size),
    )


@dataclass(frozen=True, slots=True)
class _Choice:
    """Outputs that are kept within the limits, and those that are not: unreadable ones, and those beyond a limit."""

    files: Sequence[OutputFile]
    lost: Sequence[tuple[str, Text]]
    refused: Sequence[tuple[str, Text]]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


def _choose(wanted: Sequence[OutputFile], limit: int) -> _Choice:
    """PURE: choose outputs in their order until a limit is reached; smaller ones after a large one may still fit."""
    files: list[OutputFile] = []
    lost: list[tuple[str, Text]] = []
    refused: list[tuple[str, Text]] = []
    left = limit
    for file in wanted:
        if (problem := file.problem or _path_problem(file)) is not None:
            (refused if file.stands_for_more else lost).append((file.path[:80], problem))
        elif len(files) >= FILES_MAX:
            refused.append((file.path, text("at most {most} files are kept", most=FILES_MAX)))
        elif file.size_bytes > left:
            refused.append((file.path, _too_large(file, limit)))
        else:
            files.append(file)
            left -= file.size_bytes
    return _Choice(files, lost, refused)


def _keep_files(runtime: Runtime, engine: Engine, row: Row, wanted: Sequence[OutputFile]) -> StoredOutputs:
    """Store outputs as blobs until a limit is reached, and name in the result the files beyond it."""
    choice = _choose(wanted, outputs_bytes_max(runtime.settings, row["spec"]))
    if engine.capabilities().stager and choice.size_bytes > READ_BYTES_MAX:
        return _stage_files(runtime, engine, row, choice)
    return _read_files(runtime, engine, row, choice)


def _stage_files(runtime: Runtime, engine: Engine, row: Row, choice: _Choice) -> StoredOutputs:
    """Have the engine's stager store the chosen outputs."""
    try:
        stored = store_files(engine, runtime.blobs, row["id"], choice.files)
    except Unavailable as error:
        return StoredOutputs(problem=error.message, again_s=DISK_RETRY_S)
    if isinstance(stored, NotYet):
        return StoredOutputs(problem=stored.reason, again_s=stored.after_s)
    summary = _summary([*choice.refused, *choice.lost, *stored.lost])
    return StoredOutputs(stored.files, summary, is_refused=bool(choice.refused))


def _read_files(runtime: Runtime, engine: Engine, row: Row, choice: _Choice) -> StoredOutputs:
    """Read the chosen outputs from the engine and store them."""
    kept: list[tuple[str, Blob]] = []
    lost = list(choice.lost)
    for file in choice.files:
        chunks = _chunks(runtime, engine, row["id"], file)
        try:
            blob = runtime.blobs.keep(chunks, f"{row['id']}-{len(kept)}", limit_bytes=file.size_bytes)
        except _Unreadable as error:
            lost.append((file.path, error.reason))
        except _Interrupted as stop:
            return StoredOutputs(tuple(kept), stop.reason, RETRY_S)
        except Unavailable as error:
            return StoredOutputs(tuple(kept), error.message, DISK_RETRY_S)
        except PearlError as error:
            lost.append((file.path, error.message))
        else:
            kept.append((file.path, blob))
    return StoredOutputs(tuple(kept), _summary([*choice.refused, *lost]), is_refused=bool(choice.refused))


def outputs_bytes_max(settings: JobsSettings, spec: Row | None) -> int:
    """Return how many bytes of outputs are stored per attempt: its disk limit, at most the center's own limit."""
    limits = (spec or {}).get("limits") or {}
    disk_gib = float(limits.get("disk_gib", JobLimits().disk_gib))
    return min(int(disk_gib * GIB), settings.artefacts_bytes_max)


def _path_problem(file: OutputFile) -> Text | None:
    if len(file.path) > PATH_MAX:
        return text("its path is longer than {most} characters", most=PATH_MAX)
    return None


def _too_large(file: OutputFile, limit: int) -> Text:
    return text(
        "its apparent size is {size}; of one job {limit} of outputs are kept",
        size=format_bytes(file.size_bytes),
        limit=format_bytes(limit),
    )


def _summary(lost: Sequence[tuple[str, Text]]) -> Text | None:
    if not lost:
        return None
    path, reason = lost[0]
    return plural(
        "{count} output could not be kept, {path}: {reason}",
        "{count} outputs could not be kept, such as {path}: {reason}",
        count=len(lost),
        path=path,
        reason=reason,
    )


def _wanted(files: Sequence[OutputFile], spec: Row | None) -> list[OutputFile]:
    said = (spec or {}).get("outputs") or ()
    patterns = tuple(
        one if isinstance(one, str) else one["path"] for one in ([said] if isinstance(said, str) else said)
    )
    return [file for file in files if file.problem is not None or is_kept(patterns, file.path)]


class _Unreadable(Exception):
    """Raised for a file that the engine will never return, such as one without read permission."""

    def __init__(self, reason: Text) -> None:
        self.reason = reason


class _Interrupted(Exception):
    """Raised when nothing can be read now but may be later."""

    def __init__(self, reason: Text) -> None:
        self.reason = reason


def _chunks(runtime: Runtime, engine: Engine, attempt_id: str, file: OutputFile) -> Iterator[bytes]:
    offset = 0
    while offset < file.size_bytes:
        if runtime.stopping.is_set():
            raise _Interrupted(text("The server is ending"))
        answer = engine.read_output(attempt_id, file.path, offset=offset, limit=CHUNK)
        if isinstance(answer, Refused):
            raise _Unreadable(answer.reason)
        if not isinstance(answer, Done):
            raise _Interrupted(answer.reason)
        if not answer.value:
            return
        offset += len(answer.value)
        yield answer.value


def note_outputs(runtime: Runtime, tx: Tx, attempt: Row, loaded: Row, kept: StoredOutputs) -> Kept:
    """Record stored outputs as artefacts of the attempt's job."""
    context, settings = {**attempt, **loaded}, runtime.settings
    ended_us = context["ended_us"] or tx.now_us
    waits = kept.again_s is not None and tx.now_us < ended_us + int(GIVE_UP_S * US_PER_S)
    if kept.lacks_space and kept.problem is not None:
        waits = waits and _may_wait(tx, context, kept.problem)
    elif _was_filled(tx, settings, context, kept):
        return Kept(again_us=tx.now_us)
    if waits and kept.again_s is not None:
        return Kept(again_us=tx.now_us + int(kept.again_s * US_PER_S))
    _write_artefacts(tx, settings, context, kept)
    if kept.problem is not None:
        message = kept.problem
        if context["message"] is not None:
            message = text("{first}; {then}", first=from_json(context["message"]), then=message)
        here = attempts.c.id == attempt["id"]
        tx.execute(sa.update(attempts).where(here).values(message=message.to_json()))
    return Kept(refused=kept.is_refused)


def _write_artefacts(tx: Tx, settings: JobsSettings, context: Row, kept: StoredOutputs) -> None:
    wish = (context["spec"] or {}).get("outputs_kept_days")
    expires_us = expiry_us(tx, settings, context["org_id"], context["project_id"], wish)
    rows = [
        {
            "id": tx.new_id("art"),
            "org_id": context["org_id"],
            "job_id": context["owner_id"],
            "attempt_id": context["id"],
            "path": path,
            "size_bytes": blob.size_bytes,
            "sha256": blob.sha256,
            "at_us": tx.now_us,
            "expires_us": expires_us,
        }
        for path, blob in kept.files
    ]
    if rows:
        tx.execute(sa.insert(artefacts), rows)
        size = sum(blob.size_bytes for _, blob in kept.files)
        change_level(tx, context["org_id"], context["project_id"], size)


def _was_filled(tx: Tx, settings: JobsSettings, context: Row, kept: StoredOutputs) -> bool:
    """Return whether other files filled the quota while these were copied; then the decision is made again."""
    space = _space(tx, settings, context)
    if space is None or kept.again_s is not None or not kept.files:
        return False
    size = sum(blob.size_bytes for _, blob in kept.files)
    return size > space.left + outputs_bytes_max(settings, context["spec"])


def _may_wait(tx: Tx, context: Row, problem: Text) -> bool:
    """Return whether a job may wait for storage quota, and if so write that as its reason."""
    is_waiting = (
        (jobs.c.org_id == context["org_id"])
        & (jobs.c.state == JobState.FINISHING.value)
        & (jobs.c.reason_code == STORAGE_FULL)
        & (jobs.c.id != context["owner_id"])
    )
    if (tx.scalar(sa.select(sa.func.count()).select_from(jobs).where(is_waiting)) or 0) >= WAITING_MAX:
        return False
    reason = {"reason_code": STORAGE_FULL, "reason": problem.to_json()}
    tx.execute(sa.update(jobs).where(jobs.c.id == context["owner_id"]).values(**reason))
    return True
