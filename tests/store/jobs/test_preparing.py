"""Environments and sources: made once, made again when they are gone, and a job always learns what became of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.fakes.engines import value_of
from tests.store.jobs.fakes import Working
from tests.store.jobs.harness import Center

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.money import parse_yuan
from pearlstreet.compute.engines.protocol import TaskState
from pearlstreet.compute.jobs import build_requests, builds, retention, service, sources
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.startup_recovery import recover
from pearlstreet.compute.jobs.storage.prepared_limit import prepared_folder
from pearlstreet.compute.jobs.tables import preparations
from pearlstreet.compute.jobs.uploads import find_place, keep_bytes, record_upload
from pearlstreet.compute.jobs.views import why
from pearlstreet.compute.pool.inventory import all_nodes
from pearlstreet.ledger.topups import top_up
from pearlstreet.store.core import Row
from pearlstreet.tenancy.model import SYSTEM
from pearlstreet.tenancy.orgs import create_org

NUMPY = {"packages": ["numpy"]}


def _center(folder: Path, cluster: str = "1x1xH100-80G") -> tuple[Center, Working]:
    center = Center(folder, cluster=cluster, wrap=Working)
    engine = center.runtime.engines["simulated"]
    assert isinstance(engine, Working)
    return center, engine


def _one(center: Center) -> Row:
    found = center.store.read(lambda tx: tx.first(sa.select(preparations)))
    assert found is not None
    return found


def test_a_second_job_shares_what_the_first_had_made(tmp_path: Path) -> None:
    center, engine = _center(tmp_path)
    center.finish(center.submit(environment=NUMPY, simulate="3s"), within_s=60)
    center.finish(center.submit(environment=NUMPY, simulate="3s"), within_s=60)
    assert [order.purpose for order in engine.orders] == ["environment", "job", "job"]


def test_few_build_at_a_time_and_every_organisation_gets_a_turn(tmp_path: Path) -> None:
    center, engine = _center(tmp_path, cluster="8xcpu")
    other = create_org(center.store, SYSTEM, "other")
    top_up(center.store, SYSTEM, other.id, parse_yuan("90"))
    submitted = [
        center.submit(environment={"packages": [f"package{number}"]}, simulate="3s") for number in range(6)
    ]
    submitted.append(center.submit(org="other", environment={"packages": ["package0"]}, simulate="3s"))
    most, until_us = 0, center.clock.now_us() + 300 * US_PER_S
    while any(center.job(job).state is not JobState.SUCCEEDED for job in submitted):
        assert center.clock.now_us() < until_us
        center.step()
        reports = value_of(engine.scan())
        ours = {order.attempt_id for order in engine.orders if order.purpose == "environment"}
        building = [one for one in reports if one.attempt_id in ours and one.state is not TaskState.EXITED]
        most = max(most, len(building))
    assert most == center.runtime.settings.builds_at_once
    builds = [order.tenant_id for order in engine.orders if order.purpose == "environment"]
    assert len(builds) == 7
    assert len(set(builds[:2])) == 2, "the second organisation does not wait for all of the first's"


def test_what_a_restored_backup_lacks_is_made_again_for_jobs_that_wait(tmp_path: Path) -> None:
    center, engine = _center(tmp_path)
    center.finish(center.submit(environment=NUMPY, simulate="3s"), within_s=60)
    blocker = center.submit(per_task={"accelerator": "H100"}, simulate="60s")
    center.run(3)
    waiting = center.submit(per_task={"accelerator": "H100"}, environment=NUMPY, simulate="3s")
    array = center.submit(
        per_task={"accelerator": "H100"}, environment=NUMPY, simulate="3s", array={"size": 2}
    )
    shutil.rmtree(center.runtime.folders.prepared)
    center.store.write(lambda tx: recover(tx, center.runtime))
    center.store.write(lambda tx: recover(tx, center.runtime))
    assert why(center.store, SYSTEM, center.runtime, waiting).code == "preparation"
    ended = center.finish(blocker, waiting, array, within_s=300)
    assert [job.state for job in ended] == [JobState.SUCCEEDED] * 3
    assert [order.purpose for order in engine.orders].count("environment") == 2
    assert all(len(center.attempts(job)) == 1 for job in (waiting, *center.elements(array)))


def test_what_was_deleted_is_made_again_for_the_next_job(tmp_path: Path) -> None:
    center, engine = _center(tmp_path)
    center.finish(center.submit(environment=NUMPY, simulate="3s"), within_s=60)
    shutil.rmtree(center.runtime.folders.prepared)
    (ended,) = center.finish(center.submit(environment=NUMPY, simulate="3s"), within_s=60)
    assert ended.state is JobState.SUCCEEDED
    assert [order.purpose for order in engine.orders].count("environment") == 2


def test_an_address_that_may_not_be_asked_fails_the_job_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    center, _ = _center(tmp_path)
    monkeypatch.setattr(sources, "resolve", lambda host: ["10.0.0.1"])
    job = center.submit(git={"url": "https://inner.example.com/a.git", "ref": "main"})
    (ended,) = center.finish(job, within_s=60)
    assert (ended.state, ended.reason_code) == (JobState.FAILED, "preparation_failed")
    assert "inner.example.com" in str(ended.reason)


def test_without_an_engine_that_runs_code_the_job_fails_and_says_so(tmp_path: Path) -> None:
    center, engine = _center(tmp_path)
    job = center.submit(environment=NUMPY)
    center.runtime.engines["simulated"] = engine.inner  # type: ignore[index]
    center.store.write(lambda tx: recover(tx, center.runtime))
    (ended,) = center.finish(job, within_s=60)
    assert ended.reason_code == "preparation_failed"


def test_a_build_fits_a_small_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_requests, "BUILD_CPUS", 1e6)
    monkeypatch.setattr(build_requests, "BUILD_MEMORY_GIB", 1e6)
    center, engine = _center(tmp_path)
    center.finish(center.submit(environment=NUMPY, simulate="3s"), within_s=60)
    (node,) = center.store.read(all_nodes)
    (task,) = engine.orders[0].tasks
    assert (task.cpus, task.memory_gib) == (node.report.cpus, node.report.memory_gib)


def test_a_lock_that_is_no_plain_file_or_is_huge_is_not_swallowed(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    assert builds._read_text(lock) is None
    lock.symlink_to("/etc/passwd")
    assert builds._read_text(lock) is None
    lock.unlink()
    os.mkfifo(lock)
    assert builds._read_text(lock) is None
    lock.unlink()
    with lock.open("wb") as file:
        file.write(b"a==1\0\n")
        file.truncate(1 << 34)
    assert len(builds._read_text(lock) or "") <= builds.TEXT_BYTES_MAX


def test_what_nobody_used_for_long_is_deleted_and_what_is_needed_stays(tmp_path: Path) -> None:
    center, _ = _center(tmp_path)
    center.finish(center.submit(environment=NUMPY, simulate="3s"), within_s=60)
    folder = prepared_folder(center.runtime, _one(center))
    center.clock.advance(center.runtime.settings.kept_s - 10)
    assert retention.drop_prepared(center.runtime, center.store) == 0
    needs = center.submit(environment=NUMPY, simulate="3s", not_before="2099-01-01T00:00:00Z")
    center.clock.advance(center.runtime.settings.kept_s + 86_400)
    assert retention.drop_prepared(center.runtime, center.store) == 0
    assert folder.is_dir()
    service.cancel_job(center.store, SYSTEM, needs)
    assert retention.drop_prepared(center.runtime, center.store) == 1
    assert not folder.exists()


def test_blobs_nothing_names_are_deleted_after_a_day(tmp_path: Path) -> None:
    center, _ = _center(tmp_path)
    with center.runtime.uploads.begin() as own:
        place = find_place(center.store, SYSTEM, center.runtime, center.org.id, None, None, own)
        kept = keep_bytes(center.store, center.runtime, [b"kept"], "one", place, own)
        stray = keep_bytes(center.store, center.runtime, [b"stray"], "two", place, own)
        record_upload(center.store, SYSTEM, center.runtime, place, "a.txt", kept)
    blobs = center.runtime.folders.blobs

    def sweep() -> int:
        return sum(retention.drop_orphans(center.runtime, center.store, shard) for shard in range(256))

    for file in blobs.rglob("*"):
        if file.is_file():
            os.utime(file, (center.clock.now_us() / 1e6,) * 2)
    assert sweep() == 0
    center.clock.advance(retention.ORPHAN_S + 60)
    assert sweep() == 1
    assert (blobs / kept.sha256[:2] / kept.sha256).is_file()
    assert not (blobs / stray.sha256[:2] / stray.sha256).exists()
