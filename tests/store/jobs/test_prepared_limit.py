"""Environments, sources and caches of an organisation stay within their limits, and jobs keep what they need."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa
from tests.store.jobs.fakes import Working
from tests.store.jobs.harness import Center

from pearlstreet.base.outcome import Outcome
from pearlstreet.base.units import GIB
from pearlstreet.compute.engines.protocol import AttemptOrder, AttemptReport
from pearlstreet.compute.engines.simulated import SimulatedEngine
from pearlstreet.compute.jobs import service
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.runtime import JobsSettings
from pearlstreet.compute.jobs.storage import prepared_limit
from pearlstreet.compute.jobs.tables import preparations
from pearlstreet.store.core import Row
from pearlstreet.tenancy.model import SYSTEM

MIB = 1 << 20
LATER = "2099-01-01T00:00:00Z"


class Building(Working):
    """Builds write so many bytes, and as many into the cache."""

    def __init__(self, inner: SimulatedEngine) -> None:
        super().__init__(inner)
        self.size_bytes, self.cache_bytes = MIB, 0

    def start(self, order: AttemptOrder) -> Outcome[AttemptReport]:
        if order.purpose == "environment":
            target, cache, _ = order.mounts
            _allocate(Path(target.source, "package"), self.size_bytes)
            _allocate(Path(cache.source, order.attempt_id), self.cache_bytes)
        return super().start(order)


def _allocate(path: Path, size_bytes: int) -> None:
    with path.open("wb") as file:
        if size_bytes:
            os.posix_fallocate(file.fileno(), 0, size_bytes)


def _center(folder: Path, **settings: int) -> tuple[Center, Building]:
    center = Center(folder, cluster="1x1xH100-80G", wrap=Building, settings=JobsSettings(**settings))  # type: ignore[arg-type]
    engine = center.runtime.engines["simulated"]
    assert isinstance(engine, Building)
    return center, engine


def _run(center: Center, package: str) -> None:
    assert center.finish(_submit(center, package), within_s=120)[0].state is JobState.SUCCEEDED


def _submit(center: Center, package: str, **fields: str) -> str:
    return center.submit(environment={"packages": [package]}, simulate="3s", **fields)


def _ready(center: Center) -> Sequence[Row]:
    return center.store.read(lambda tx: tx.rows(sa.select(preparations).order_by(preparations.c.id)))


def _folders(center: Center) -> int:
    return sum(1 for org in center.runtime.folders.prepared.iterdir() for _ in org.iterdir())


def test_the_longest_unused_give_way_and_are_built_again_when_asked_for(tmp_path: Path) -> None:
    center, engine = _center(tmp_path, org_prepared_bytes_max=GIB)
    engine.size_bytes = GIB * 2 // 5
    for package in ("a", "b", "c"):
        _run(center, package)
        center.clock.advance(86_400)
    assert [row["spec"]["packages"] for row in _ready(center)] == [["b"], ["c"]]
    assert all(row["size_bytes"] >= engine.size_bytes for row in _ready(center))
    assert _folders(center) == 3
    center.sweep()
    assert _folders(center) == 2
    _run(center, "a")
    assert [row["spec"]["packages"] for row in _ready(center)] == [["c"], ["a"]]


def test_what_jobs_need_stays_and_a_build_beside_it_is_refused(tmp_path: Path) -> None:
    center, engine = _center(tmp_path, org_prepared_bytes_max=GIB)
    engine.size_bytes = GIB * 9 // 10
    waits = _submit(center, "a", not_before=LATER)
    center.run(30)
    refused = _submit(center, "b")
    view = center.finish(refused, within_s=120)[0]
    assert view.state is JobState.FAILED
    assert "take 921.6 MiB of at most 1.0 GiB, and jobs that have not ended need them" in str(view.reason)
    assert [row["state"] for row in _ready(center)] == ["ready", "failed"]
    service.cancel_job(center.store, SYSTEM, waits)
    _run(center, "b")
    assert [row["spec"]["packages"] for row in _ready(center)] == [["b"]]


def test_a_build_gets_no_more_disk_than_is_left(tmp_path: Path) -> None:
    center, engine = _center(tmp_path, org_prepared_bytes_max=2 * GIB)
    engine.size_bytes = GIB * 3 // 2
    _submit(center, "a", not_before=LATER)
    center.run(30)
    _submit(center, "b")
    center.run(5)
    first, second = (order.limits.disk_gib for order in engine.orders if order.purpose == "environment")
    assert first == 2.0 and 0.49 < second <= 0.5


def test_a_cache_beyond_its_limit_is_emptied_and_the_environment_stays(tmp_path: Path) -> None:
    center, engine = _center(tmp_path, org_cache_bytes_max=3 * MIB)
    engine.cache_bytes = 2 * MIB
    cache = center.runtime.folders.caches / center.org.id
    _run(center, "a")
    assert prepared_limit.folder_bytes(cache) >= 2 * MIB
    _run(center, "b")
    assert prepared_limit.folder_bytes(cache) == 0
    assert [row["state"] for row in _ready(center)] == ["ready", "ready"]
    assert _folders(center) == 2


def test_a_cache_that_another_build_uses_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "wheel").write_bytes(b"x" * 2 * MIB)
    assert not prepared_limit.fit_cache(tmp_path, MIB, is_alone=False)
    assert (tmp_path / "wheel").exists()
    assert prepared_limit.fit_cache(tmp_path, MIB, is_alone=True)
    assert not tmp_path.exists()


def test_sizes_that_an_older_version_left_out_are_measured(tmp_path: Path) -> None:
    center, _ = _center(tmp_path)
    _run(center, "a")
    center.store.write(lambda tx: tx.execute(sa.update(preparations).values(size_bytes=None)))
    center.sweep()
    assert [row["size_bytes"] >= MIB for row in _ready(center)] == [True]


def test_a_folder_that_a_crash_left_is_deleted_and_a_running_build_keeps_its_own(tmp_path: Path) -> None:
    center, _ = _center(tmp_path)
    job = _submit(center, "a")
    center.run(2)
    stray = center.runtime.folders.prepared / center.org.id / "att_crashed"
    stray.mkdir(parents=True)
    assert _folders(center) == 2
    assert prepared_limit.drop_stray_prepared(center.runtime, center.store) == 1
    assert not stray.exists()
    assert center.finish(job, within_s=60)[0].state is JobState.SUCCEEDED
