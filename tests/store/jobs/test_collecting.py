"""What a job leaves is kept, and nothing it leaves keeps the job from its end."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.store.jobs.fakes import Working
from tests.store.jobs.harness import Center

from pearlstreet.base.errors import Unavailable
from pearlstreet.base.outcome import Done, Unknown
from pearlstreet.base.text import text
from pearlstreet.compute.engines.protocol import OutputFile
from pearlstreet.compute.jobs import collecting
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.views import artefacts_of
from pearlstreet.objects import streams
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

    def full(folder: Path) -> None:
        raise Unavailable(text("full"), retry_after_s=60)

    with monkeypatch.context() as patch:
        patch.setattr(streams, "_check_space", full)
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


def test_outputs_beyond_the_disk_limit_fail_the_job_and_are_named(tmp_path: Path) -> None:
    center, engine = _center(tmp_path)
    engine.files = {"a.txt": b"a", "model.bin": b"x" * (20 << 20), "z.txt": b"z"}
    job = center.submit(simulate="5s", limits={"disk_gib": 0.01})
    (ended,) = center.finish(job, within_s=60)
    assert (ended.state, ended.reason_code) == (JobState.FAILED, "outputs_refused")
    assert _paths(center, job) == ["a.txt", "z.txt"]
    assert "model.bin: its apparent size is 20.0 MiB; of one job 10.2 MiB of outputs are kept" in str(
        ended.reason
    )


def test_more_outputs_than_are_kept_fail_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "FILES_MAX", 2)
    center, engine = _center(tmp_path)
    engine.files = dict.fromkeys("abcd", b"x")
    job = center.submit(simulate="5s", retries=3)
    (ended,) = center.finish(job, within_s=60)
    assert (ended.state, ended.reason_code, ended.attempts) == (JobState.FAILED, "outputs_refused", 1)
    assert _paths(center, job) == ["a", "b"]
    assert "2 outputs could not be kept, such as c: at most 2 files are kept" in str(ended.reason)


def test_a_listing_that_ended_at_its_bound_fails_the_job(tmp_path: Path) -> None:
    center, engine = _center(tmp_path)
    engine.files = {"a.txt": b"a"}
    more = OutputFile("b", 0, text("there are too many"), stands_for_more=True)
    engine.listing = Done([OutputFile("a.txt", 1), more])
    job = center.submit(simulate="5s")
    (ended,) = center.finish(job, within_s=60)
    assert (ended.state, ended.reason_code) == (JobState.FAILED, "outputs_refused")
    assert _paths(center, job) == ["a.txt"]


def test_a_sparse_output_stays_sparse_when_it_is_kept(tmp_path: Path) -> None:
    center, engine = _center(tmp_path)
    content = b"head" + bytes(64 << 20) + b"tail"
    engine.files = {"sparse": content, "hole": bytes(32 << 20)}
    job = center.submit(simulate="5s")
    assert center.finish(job, within_s=60)[0].state is JobState.SUCCEEDED
    blobs = center.runtime.blobs
    for row in artefacts_of(center.store, SYSTEM, job):
        assert b"".join(blobs.read(row["sha256"])) == engine.files[row["path"]]
        assert blobs.path(row["sha256"]).stat().st_blocks * 512 < 4 << 20
