"""Nothing stays where it is for ever without anybody being told."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from tests.store.jobs.fakes import Working
from tests.store.jobs.harness import Center

from pearlstreet.base.errors import BugError, Conflict, InvalidInput, NotFound, TooMany
from pearlstreet.base.outcome import Outcome, Retry
from pearlstreet.base.text import text
from pearlstreet.compute.engines.protocol import AttemptOrder, AttemptReport, TaskState
from pearlstreet.compute.engines.simulated.attempt_timeline import NEVER_US
from pearlstreet.compute.jobs.follow import read_log, read_metrics
from pearlstreet.compute.jobs.lifecycle import withdrawal_wait_s
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.runtime import JobsSettings
from pearlstreet.compute.jobs.service import cancel_job
from pearlstreet.compute.jobs.views import why
from pearlstreet.compute.queueing import queue_limits
from pearlstreet.compute.queueing.fairness import load_accounts
from pearlstreet.compute.queueing.quotas import set_share
from pearlstreet.store.loop import note_failure
from pearlstreet.tenancy.model import SYSTEM


def _claim_starting(report: AttemptReport) -> AttemptReport:
    if report.state is TaskState.EXITED:
        return report
    return replace(report, state=TaskState.STARTING, started_us=None)


def test_an_attempt_whose_tasks_never_run_is_planned_again(tmp_path: Path) -> None:
    settings = JobsSettings(starting_max_s=30.0)
    center = Center(tmp_path, cluster="1x1xH100-80G", wrap=Working, settings=settings)
    engine = center.runtime.engines["simulated"]
    assert isinstance(engine, Working)
    engine.distort = _claim_starting
    job = center.submit(simulate="500s")
    center.run(20)
    assert center.job(job).state is JobState.STARTING
    center.run(20)
    first = center.attempts(job)[0]
    assert (first["state"], first["stop_reason"]) == ("ended", "withdrawn")
    engine.distort = None
    assert center.finish(job, within_s=700)[0].state is JobState.SUCCEEDED
    center.check_books()


def test_jobs_are_backfilled_beside_an_attempt_that_does_not_get_to_run(tmp_path: Path) -> None:
    card = {"accelerator": "H100", "cpus": 1, "memory_gib": 1}
    center = Center(tmp_path, cluster="1x4xH100-80G")
    stuck = center.submit(per_task={**card, "count": 1}, simulate="3s", time_limit="20s")
    center.step()
    center.simulated.cluster.change(
        center.attempts(stuck)[0]["id"],
        lambda timeline, _: replace(timeline, starts_us=NEVER_US, ends_us=NEVER_US + 1),
    )
    center.clock.advance(1500)  # its time limit does not count before it runs
    center.submit(per_task={**card, "count": 4}, priority=50)
    short = center.submit(per_task={**card, "count": 1}, time_limit="10m")
    center.run(10)
    assert center.job(stuck).state is JobState.STARTING
    assert center.job(short).state is JobState.RUNNING, "three devices are idle and no start is in sight"


class _NeverTold(Working):
    """Starts what it is told to, but the center never hears of it: it died meanwhile, or the answer was lost."""

    def start(self, order: AttemptOrder) -> Outcome[AttemptReport]:
        self.inner.start(order)
        return Retry(3600, text("Later"))


@pytest.mark.parametrize("simulate", ["300s", "20s"])
def test_work_that_began_unseen_is_not_begun_again(tmp_path: Path, simulate: str) -> None:
    center = Center(tmp_path, cluster="1x1xH100-80G", wrap=_NeverTold)
    job = center.submit(simulate=simulate)
    center.run(80)
    only = center.attempts(job)
    assert len(only) == 1 and only[0]["stop_reason"] is None
    assert center.finish(job, within_s=600)[0].state is JobState.SUCCEEDED
    assert len(center.attempts(job)) == 1, "what ran, or had run, is nothing to throw away"
    center.check_books()


def test_what_the_center_fails_on_is_said_without_its_innards(tmp_path: Path) -> None:
    center = Center(tmp_path)
    job = center.submit(depends_on=[{"job": center.submit()}])
    for _ in range(5):
        center.store.write(lambda tx: note_failure(tx, "plan_jobs", job, BugError("inner thing")))
    found = why(center.store, SYSTEM, center.runtime, job)
    assert found.code == "incident"
    assert "inner thing" not in str(found.sentence)


def test_a_queue_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    center = Center(tmp_path)
    with pytest.raises(InvalidInput) as caught:
        center.submit(queue="fast")
    assert [problem.field for problem in caught.value.problems] == ["queue"]
    assert center.submit(queue="default")


def test_the_log_of_an_array_is_its_elements(tmp_path: Path) -> None:
    center = Center(tmp_path)
    array = center.submit(array={"size": 2})
    with pytest.raises(Conflict) as caught:
        read_log(center.store, SYSTEM, center.runtime, array, None, 0, 0, 100)
    assert center.elements(array)[0] in str(caught.value.hint)


def test_what_an_engine_kept_that_is_gone_is_not_found(tmp_path: Path) -> None:
    center = Center(tmp_path)
    job = center.submit(simulate="2s")
    center.finish(job, within_s=60)
    del center.runtime.engines["simulated"]  # type: ignore[attr-defined]
    with pytest.raises(NotFound):
        read_log(center.store, SYSTEM, center.runtime, job, None, 0, 0, 100)
    with pytest.raises(NotFound):
        read_metrics(center.store, SYSTEM, center.runtime, job, None, 0)


def test_the_weight_of_an_organisation_counts_from_its_first_job_on(tmp_path: Path) -> None:
    center = Center(tmp_path)
    set_share(center.store, SYSTEM, "acme", 5.0)
    (account,) = center.store.read(load_accounts)
    assert (account.org, account.org_weight) == (center.org.id, 5.0)


def test_an_array_whose_need_failed_fails_at_once_with_all_that_waits_for_it(tmp_path: Path) -> None:
    center = Center(tmp_path)
    first = center.submit(not_before="2099-01-01T00:00:00Z")
    array = center.submit(array={"size": 50}, depends_on=[{"job": first}])
    on_element = center.submit(depends_on=[{"job": center.elements(array)[7]}])
    on_array = center.submit(depends_on=[{"job": array, "condition": "ended"}], simulate="2s")
    cancel_job(center.store, SYSTEM, first)
    found = center.job(array)
    assert (found.state, found.counts and found.counts["failed"]) == (JobState.FAILED, 50)
    assert center.job(center.elements(array)[3]).reason_code == "dependency_failed"
    assert center.job(on_element).state is JobState.FAILED
    assert center.finish(on_array, within_s=60)[0].state is JobState.SUCCEEDED


def test_a_full_queue_refuses_more_and_recovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_limits, "ORG_MAX", 20)
    center = Center(tmp_path)
    array = center.submit(array={"size": 15})
    with pytest.raises(TooMany):
        center.submit(array={"size": 6})
    assert center.submit()
    cancel_job(center.store, SYSTEM, array)
    center.clock.advance(2)
    assert center.submit(array={"size": 15})


def _claim_never_started(report: AttemptReport) -> AttemptReport:
    return replace(_claim_starting(report), started_us=None)


def test_a_job_that_never_gets_machines_is_submitted_less_and_less_often(tmp_path: Path) -> None:
    center = Center(tmp_path, cluster="1x1xH100-80G", wrap=Working, settings=JobsSettings(starting_max_s=5.0))
    engine = center.runtime.engines["simulated"]
    assert isinstance(engine, Working)
    engine.distort = _claim_never_started
    job = center.submit(simulate="500s")
    center.tick_s = 1.0
    center.run(150)
    tries = center.attempts(job)
    pauses = [(later["placed_us"] - one["ended_us"]) / 1e6 for one, later in pairwise(tries)]
    assert 3 <= len(tries) <= 4 and pauses[0] < 10 and pauses[1] >= 30, pauses
    found = why(center.store, SYSTEM, center.runtime, job)
    assert found.code == "withdrawn" and "planned again at" in str(found.sentence)
    assert [withdrawal_wait_s(count) for count in (1, 2, 3, 20)] == [0, 30, 60, 1800]
