"""What a job leaves is kept, and nothing it leaves keeps the job from its end."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.store.jobs.fakes import Working
from tests.store.jobs.harness import Center

from pearlstreet.base.errors import Unavailable
from pearlstreet.base.outcome import Unknown
from pearlstreet.base.text import text
from pearlstreet.compute.jobs import collecting
from pearlstreet.compute.jobs.blobs import Blobs
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.views import artefacts_of
from pearlstreet.tenancy.model import SYSTEM


def _center(folder: Path) -> tuple[Center, Working]:
    center = Center(folder, cluster="1x1xH100-80G", wrap=Working)
    engine = center.runtime.engines["simulated"]
    assert isinstance(engine, Working)
    return center, engine


def _paths(center: Center, job: str) -> list[str]:
    return [row["path"] for row in artefacts_of(center.store, SYSTEM, job)]


def test_a_file_nobody_can_read_or_name_costs_only_itself(tmp_path: Path) -> None:
    center, engine = _center(tmp_path)
    engine.files = {"a.txt": b"a", "locked": b"?", "d/" * 600 + "deep": b"!", "z.txt": b"z"}
    engine.unreadable = {"locked"}
    job = center.submit(simulate="5s")
    (ended,) = center.finish(job, within_s=60)
    assert ended.state is JobState.SUCCEEDED
    assert _paths(center, job) == ["a.txt", "z.txt"]
    assert "2 outputs could not be kept" in str(ended.reason)


def test_a_full_disk_delays_the_end_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    center, engine = _center(tmp_path)
    engine.files = {"a.txt": b"a"}

    def full(self: Blobs) -> None:
        raise Unavailable(text("full"), retry_after_s=60)

    with monkeypatch.context() as patch:
        patch.setattr(Blobs, "_check_space", full)
        job = center.submit(simulate="5s")
        center.run(30)
        assert center.job(job).state is JobState.FINISHING
    assert center.finish(job, within_s=120)[0].state is JobState.SUCCEEDED
    assert _paths(center, job) == ["a.txt"]


def test_an_engine_that_never_answers_again_holds_a_job_up_for_a_day_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "GIVE_UP_S", 60.0)
    center, engine = _center(tmp_path)
    engine.listing = Unknown(text("no answer"))
    job = center.submit(simulate="5s")
    center.run(30)
    assert center.job(job).state is JobState.FINISHING
    (ended,) = center.finish(job, within_s=120)
    assert ended.state is JobState.SUCCEEDED
    assert "no answer" in str(ended.reason)


def test_a_server_that_ends_breaks_off_what_takes_long(tmp_path: Path) -> None:
    center, engine = _center(tmp_path)
    engine.files = {"a.txt": b"a"}
    center.runtime.stopping.set()
    job = center.submit(simulate="5s")
    center.run(20)
    assert center.job(job).state is JobState.FINISHING
    assert _paths(center, job) == []
    center.runtime.stopping.clear()
    assert center.finish(job, within_s=60)[0].state is JobState.SUCCEEDED
    assert _paths(center, job) == ["a.txt"]
