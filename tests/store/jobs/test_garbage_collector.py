"""Attempts nobody wants are stopped, old ones forgotten, and the rest left alone, with few questions to the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.store.jobs.fakes import Working
from tests.store.jobs.harness import Center

from pearlstreet.base.outcome import Done
from pearlstreet.compute.engines.protocol import AttemptOrder, TaskOrder, TaskState
from pearlstreet.compute.jobs.runtime import JobsSettings
from pearlstreet.store.database import Database


def _orphan(center: Center) -> None:
    task = TaskOrder(0, "h100-0001", 1, 1)
    order = AttemptOrder("att_orphan", "job_x", "org_x", ("true",), (task,), simulate_s=5000)
    assert isinstance(center.simulated.start(order), Done)


def test_orphans_are_stopped_and_what_is_wanted_runs_on(tmp_path: Path) -> None:
    center = Center(tmp_path, cluster="1x2xH100-80G", wrap=Working)
    job = center.submit(simulate="3000s", time_limit="1h")
    center.submit(environment={"packages": ["numpy"]}, simulate="3s")
    _orphan(center)
    center.run(2)
    center.sweep()
    center.run(10)
    answer = center.simulated.scan()
    assert isinstance(answer, Done)
    states = {report.attempt_id: report.state for report in answer.value}
    assert states.pop("att_orphan") is TaskState.EXITED
    assert states[center.attempts(job)[0]["id"]] is TaskState.RUNNING
    center.clock.advance(center.runtime.settings.kept_s + 60)
    center.sweep()
    left = center.simulated.scan()
    assert isinstance(left, Done)
    assert "att_orphan" not in {report.attempt_id for report in left.value}


def test_a_start_that_comes_late_finds_its_attempt_even_where_nothing_is_kept(tmp_path: Path) -> None:
    center = Center(tmp_path, cluster="1x2xH100-80G", settings=JobsSettings(kept_s=0))
    job = center.submit(simulate="1s")
    center.finish(job, within_s=60)
    attempt = center.attempts(job)[0]["id"]
    for passed_s, remembered in ((300, True), (400, False)):
        center.clock.advance(passed_s)
        center.sweep()
        answer = center.simulated.probe(attempt)
        assert isinstance(answer, Done)
        assert (answer.value is not None) is remembered


def test_many_old_attempts_cost_few_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    center = Center(tmp_path, cluster="4x8xH100-80G")
    center.finish(center.submit(array={"size": 30}, simulate="1s"), within_s=120)
    reads: list[Any] = []
    real = Database.read

    def counted(self: Database, run: Any) -> Any:
        reads.append(run)
        return real(self, run)

    monkeypatch.setattr(Database, "read", counted)
    center.sweep()
    assert len(reads) < 10
