"""Keeps what an ended attempt left in its outputs folder as artefacts; then its job is over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import PearlError, Unavailable
from pearlstreet.base.outcome import Done, Refused
from pearlstreet.base.text import Text, from_json, text
from pearlstreet.compute.engines.protocol import Engine, OutputFile
from pearlstreet.compute.jobs import lifecycle
from pearlstreet.compute.jobs.blobs import CHUNK, Blob, Blobs
from pearlstreet.compute.jobs.model import AttemptState
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.spec.patterns import is_kept
from pearlstreet.compute.jobs.tables import artefacts, attempts, jobs
from pearlstreet.store.core import Row, Tx
from pearlstreet.store.loop import Loop, RowLoop

FILES_MAX = 10_000
PATH_MAX = 1024
"""Characters of an artefact's path: what its column holds."""
LANES, WORKERS = 4, 4
"""Large outputs take minutes to copy: so many attempts are copied at once, and others end meanwhile as long as one lane
has nothing large."""
RETRY_S = 5.0
DISK_RETRY_S = 60.0
GIVE_UP_S = 86_400.0
"""A job is not kept from its end longer than this by an engine that does not answer or a disk that is full."""


@dataclass(frozen=True, slots=True)
class _Kept:
    files: tuple[tuple[str, Blob], ...] = ()
    problem: Text | None = None
    again_s: float | None = None
    """Not all was there to be read: everything is tried again after this."""


def collect_loop(runtime: Runtime) -> Loop:
    """Copies outputs from engines into blobs and ends the attempts."""
    return RowLoop[Row, Row, _Kept](
        name="collect_outputs",
        table=attempts,
        conditions=(attempts.c.state == AttemptState.COLLECTING.value,),
        load=_load,
        decide=lambda row, now_us: row,
        act=partial(_collect, runtime),
        apply=_apply,
        hints=(lifecycle.COLLECT,),
        interval_s=2.0,
        lease_s=1800,
        batch=WORKERS,
        workers=WORKERS,
        lanes=LANES,
    )


def _load(tx: Tx, ids: Sequence[str]) -> Mapping[str, Row]:
    parent = jobs.alias("parent")
    query = (
        sa.select(attempts, sa.func.coalesce(jobs.c.spec, parent.c.spec).label("spec"))
        .join(jobs, jobs.c.id == attempts.c.job_id)
        .join(parent, parent.c.id == jobs.c.array_id, isouter=True)
        .where(attempts.c.id.in_(ids))
    )
    return {row["id"]: dict(row) for row in tx.rows(query)}


def _collect(runtime: Runtime, row: Row) -> _Kept:
    engine = runtime.engines[row["engine"]]
    listed = engine.list_outputs(row["id"])
    if isinstance(listed, Refused):
        return _Kept(problem=listed.reason)
    if not isinstance(listed, Done):
        return _Kept(problem=listed.reason, again_s=RETRY_S)
    blobs, left = Blobs(runtime.folders.blobs), runtime.settings.artefacts_bytes_max
    kept: list[tuple[str, Blob]] = []
    lost: list[tuple[str, Text]] = []
    wanted = _wanted(listed.value, row["spec"])
    for file in wanted[:FILES_MAX]:
        if len(file.path) > PATH_MAX:
            lost.append((file.path[:80], text("its path is longer than {most} characters", most=PATH_MAX)))
            continue
        try:
            blob = blobs.keep(
                _chunks(runtime, engine, row["id"], file), f"{row['id']}-{len(kept)}", limit_bytes=left
            )
        except _Unreadable as refused:
            lost.append((file.path, refused.reason))
            continue
        except _Interrupted as stop:
            return _Kept(tuple(kept), stop.reason, RETRY_S)
        except Unavailable as error:
            return _Kept(tuple(kept), error.message, DISK_RETRY_S)
        except PearlError as error:
            lost.append((file.path, error.message))
            continue
        kept.append((file.path, blob))
        left -= blob.size_bytes
    lost += [(file.path, text("at most {most} are kept", most=FILES_MAX)) for file in wanted[FILES_MAX:]]
    return _Kept(tuple(kept), _told(lost))


def _told(lost: Sequence[tuple[str, Text]]) -> Text | None:
    if not lost:
        return None
    path, reason = lost[0]
    return text(
        "{count} outputs could not be kept, such as {path}: {reason}",
        count=len(lost),
        path=path,
        reason=reason,
    )


def _wanted(files: Sequence[OutputFile], spec: Row | None) -> list[OutputFile]:
    patterns = tuple((spec or {}).get("outputs") or ())
    return [file for file in files if is_kept(patterns, file.path)]


class _Unreadable(Exception):
    """The engine will never give this file: a job may leave one that nobody can read."""

    def __init__(self, reason: Text) -> None:
        self.reason = reason


class _Interrupted(Exception):
    """Nothing more can be read just now."""

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


def _apply(tx: Tx, row_id: str, token: str, context: Row, decision: Row, kept: _Kept) -> int | None:
    ended_us = context["ended_us"] or tx.now_us
    if kept.again_s is not None and tx.now_us < ended_us + int(GIVE_UP_S * US_PER_S):
        return tx.now_us + int(kept.again_s * US_PER_S)
    rows = [
        {
            "id": tx.new_id("art"),
            "org_id": context["org_id"],
            "job_id": context["job_id"],
            "attempt_id": row_id,
            "path": path,
            "size_bytes": blob.size_bytes,
            "sha256": blob.sha256,
            "at_us": tx.now_us,
        }
        for path, blob in kept.files
    ]
    if rows:
        tx.execute(sa.insert(artefacts), rows)
    if kept.problem is not None:
        told = kept.problem
        if context["message"] is not None:
            told = text("{first}; {then}", first=from_json(context["message"]), then=told)
        tx.execute(sa.update(attempts).where(attempts.c.id == row_id).values(message=told.to_json()))
    attempt = tx.first(sa.select(attempts).where(attempts.c.id == row_id))
    if attempt is not None:
        lifecycle.end_collected(tx, attempt)
    return None
