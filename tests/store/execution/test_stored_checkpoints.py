"""Checkpoints in the object store: replaced whole, charged, waited for only as long as that helps, and deleted in time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.store.jobs.harness import Center

from pearlstreet.base.clock import US_PER_S
from pearlstreet.compute.engines.protocol import Capabilities
from pearlstreet.compute.engines.staging.model import StagedFile
from pearlstreet.compute.execution import stored_checkpoints
from pearlstreet.compute.execution.checkpoint_loop import _bytes_max
from pearlstreet.compute.execution.checkpoint_sweep import drop_stored_checkpoints
from pearlstreet.compute.execution.owners import by_kind
from pearlstreet.compute.execution.settings import Execution
from pearlstreet.compute.execution.stored_checkpoints import Missing, checkpoint_for, write_manifest
from pearlstreet.compute.execution.tables import attempts, checkpoint_files, checkpoints
from pearlstreet.compute.jobs.owner import JobOwner
from pearlstreet.compute.jobs.runtime import JobsSettings
from pearlstreet.objects.model import Blob
from pearlstreet.storage.levels import stored_bytes
from pearlstreet.store.core import Row, Tx


class _Stages:
    """An engine with a stager, of which nothing else is asked here."""

    def capabilities(self) -> Capabilities:
        return Capabilities(stager=True)


def _execution(center: Center, *names: str) -> Execution:
    engines: Any = {name: _Stages() for name in names}
    owners = by_kind(JobOwner(center.runtime))
    return Execution(engines, owners, center.settings, center.runtime.blobs)


def _job(center: Center, **spec: Any) -> str:
    """A job with an ended first attempt, on engine `a`, that has saved something."""
    job = center.submit(**spec)
    center.run(5)
    here = attempts.c.owner_id == job
    center.store.write(
        lambda tx: tx.execute(
            sa.update(attempts)
            .where(here)
            .values(engine="a", started_us=tx.now_us, ended_us=tx.now_us, saved_us=tx.now_us)
        )
    )
    return job


def _store(center: Center, job: str, content: bytes, path: str = "step-1", **values: Any) -> None:
    blob = center.runtime.blobs.keep(iter([content]), "one", limit_bytes=1 << 20)
    (attempt,) = center.attempts(job)[:1]

    def write(tx: Tx) -> None:
        row = tx.first(sa.select(checkpoints).where(checkpoints.c.id == job))
        if row is None:
            same = {name: attempt[name] for name in ("owner_kind", "org_id", "project_id", "engine")}
            fresh = {"is_over": True, "bytes_max": 1 << 30, "saves": 0, "stored_bytes": 0}
            row = {"id": job, "attempt_id": attempt["id"], **same, **fresh}
            tx.execute(sa.insert(checkpoints).values(**row))
        file = StagedFile(path, blob.size_bytes, blob.sha256)
        size = write_manifest(tx, row, [file], values.pop("left_out", ()))
        done = {"stored_bytes": size, "stored_us": tx.now_us, **values}
        tx.execute(sa.update(checkpoints).where(checkpoints.c.id == job).values(**done))

    center.store.write(write)


def _paths(center: Center) -> set[str]:
    return set(center.store.read(lambda tx: tx.execute(sa.select(checkpoint_files.c.path)).scalars().all()))


def _next(center: Center, job: str, engine: str) -> Row:
    (first,) = center.attempts(job)
    return {**first, "id": "att_next", "number": first["number"] + 1, "engine": engine}


def test_a_manifest_replaces_the_one_before_and_is_charged(tmp_path: Path) -> None:
    center = Center(tmp_path)
    job = _job(center)
    _store(center, job, b"x" * 1000)
    _store(center, job, b"y" * 300, "step-2")
    assert _paths(center) == {"step-2"}
    assert center.store.read(lambda tx: stored_bytes(tx, center.org.id)) == 300
    _store(center, job, b"z" * 50, "step-3", left_out=("step-2",))
    assert _paths(center) == {"step-2", "step-3"}, "what changed while it was read stays as it was"
    assert center.store.read(lambda tx: stored_bytes(tx, center.org.id)) == 350


def test_an_attempt_elsewhere_waits_for_the_last_state_but_not_for_ever(tmp_path: Path) -> None:
    center = Center(tmp_path)
    job = _job(center)
    execution = _execution(center, "a", "b")
    found = center.store.read(lambda tx: checkpoint_for(tx, execution, _next(center, job, "b")))
    assert isinstance(found, Missing)
    here = center.store.read(lambda tx: checkpoint_for(tx, execution, _next(center, job, "a")))
    assert here is None, "the engine has it"
    _store(center, job, b"older", final_attempt_id="att_before")
    assert isinstance(
        center.store.read(lambda tx: checkpoint_for(tx, execution, _next(center, job, "b"))), Missing
    )
    gone = _execution(center, "b")
    older = center.store.read(lambda tx: checkpoint_for(tx, gone, _next(center, job, "b")))
    assert isinstance(older, tuple) and [entry.path for entry in older] == ["step-1"], "its engine is gone"
    center.clock.advance(stored_checkpoints.WAIT_S + 1)
    late = center.store.read(lambda tx: checkpoint_for(tx, execution, _next(center, job, "b")))
    assert isinstance(late, tuple) and [entry.path for entry in late] == ["step-1"]


def test_the_last_state_that_is_stored_is_put_back(tmp_path: Path) -> None:
    center = Center(tmp_path)
    job = _job(center)
    _store(center, job, b"last", final_attempt_id=center.attempts(job)[0]["id"])
    found = center.store.read(
        lambda tx: checkpoint_for(tx, _execution(center, "a", "b"), _next(center, job, "b"))
    )
    assert isinstance(found, tuple)
    (entry,) = found
    assert entry.source is not None and Path(entry.source.path).read_bytes() == b"last"
    assert entry.source == center.runtime.blobs.reference(Blob(entry.source.sha256, 4), valid_s=1)


def test_a_full_quota_takes_the_last_state_once(tmp_path: Path) -> None:
    center = Center(tmp_path, settings=JobsSettings(org_storage_bytes_max=1000))
    job = _job(center)
    _store(center, job, b"x" * 600)
    execution = _execution(center, "a", "b")

    def most(**values: Any) -> int:
        row = center.store.read(lambda tx: tx.rows(sa.select(checkpoints)))[0]
        return center.store.read(lambda tx: _bytes_max(tx, execution, {**row, **values}))

    assert most(is_over=False) == 1000, "while it runs, what fits"
    assert most(is_over=True) == 1 << 30, "its end may exceed the quota once"
    _store(center, job, b"y" * 1200)
    assert most(is_over=True) == 1000 == most(is_over=False)


def test_it_is_deleted_a_while_after_the_end_of_its_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    center = Center(tmp_path, settings=JobsSettings(checkpoints_kept_s=600))
    job, other = _job(center), _job(center)
    for number, each in enumerate((job, other)):
        _store(center, each, bytes([number]) * 100, f"of-{number}")
    execution = _execution(center, "a", "b")
    ended_us = center.store.clock.now_us()
    monkeypatch.setattr(
        JobOwner, "ended", lambda _self, _tx, owner_ids: {job: ended_us} if job in owner_ids else {}
    )
    drop_stored_checkpoints(execution, center.store)
    assert _paths(center) == {"of-0", "of-1"}
    center.clock.advance(601)
    assert center.store.clock.now_us() > ended_us + 600 * US_PER_S
    drop_stored_checkpoints(execution, center.store)
    assert _paths(center) == {"of-1"}
    assert center.store.read(lambda tx: stored_bytes(tx, center.org.id)) == 100
