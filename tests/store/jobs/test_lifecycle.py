"""One job, arrays, gangs, dependencies, retries and cancels, on a virtual clock."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.store.jobs.harness import ORG, Center

from pearlstreet.base.errors import Conflict, InvalidInput, NotFound, PaymentRequired
from pearlstreet.compute.jobs import service
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.views import timeline, why
from pearlstreet.ledger.funds import balance
from pearlstreet.tenancy.model import SYSTEM

CARD = {"accelerator": "H100", "count": 1, "cpus": 1, "memory_gib": 1}
NODE = {"accelerator": "H100", "count": 8, "cpus": 8, "memory_gib": 64}


@pytest.fixture
def center(tmp_path: Path) -> Center:
    return Center(tmp_path)


def test_a_job_runs_is_billed_once_and_gives_everything_back(center: Center) -> None:
    before = balance(center.store, SYSTEM, center.org.id)
    job = center.submit(per_task=NODE)
    (ended,) = center.finish(job)
    assert ended.state is JobState.SUCCEEDED
    states = [row.to_state for row in timeline(center.store, SYSTEM, job)]
    assert states == ["queued", "placed", "starting", "running", "succeeded"]
    center.run(10)
    after = balance(center.store, SYSTEM, center.org.id)
    (attempt,) = center.attempts(job)
    ran_us = attempt["ended_us"] - attempt["started_us"]
    paid = before.balance.micro - after.balance.micro
    assert paid == pytest.approx(attempt["hourly_micro"] * ran_us / 3.6e9, abs=3)
    assert after.held.micro == 0
    assert center.held_devices() == 0
    center.check_books()


def test_a_gang_starts_whole_and_waits_whole(center: Center) -> None:
    blocker = center.submit(per_task=CARD)
    center.run(2)
    gang = center.submit(tasks=2, per_task=NODE)
    center.run(5)
    assert center.job(gang).state is JobState.QUEUED
    assert center.held_devices() == 1
    found = why(center.store, SYSTEM, center.runtime, gang)
    assert found.position == 1
    assert found.unblock is not None
    done = center.finish(blocker, gang)
    assert [job.state for job in done] == [JobState.SUCCEEDED, JobState.SUCCEEDED]
    (attempt,) = center.attempts(gang)
    assert {task["node"] for task in attempt["placement"]["tasks"]} == {"h100-0001", "h100-0002"}
    center.check_books()


def test_an_array_keeps_its_running_limit_and_counts(center: Center) -> None:
    array = center.submit(per_task=CARD, array={"size": 20, "max_running": 3})
    for _ in range(120):
        center.step()
        counts = center.job(array).counts
        assert counts is not None
        assert counts["active"] <= 3
        assert sum(counts.values()) == 20
    (ended,) = center.finish(array)
    assert ended.state is JobState.SUCCEEDED
    assert ended.counts == {"queued": 0, "active": 0, "succeeded": 20, "failed": 0, "cancelled": 0}
    center.check_books()


def test_an_array_names_the_first_element_that_failed(center: Center) -> None:
    array = center.submit(per_task=CARD, array={"size": 3}, variables={"SIMULATE_EXIT_CODE": "3"})
    (ended,) = center.finish(array)
    assert ended.state is JobState.FAILED
    first = center.job(center.elements(array)[0])
    assert str(ended.reason).startswith(f"Failed elements: 3 of 3; the first is {first.name} ({first.id}): ")
    assert str(first.reason) in str(ended.reason)


def test_a_failed_command_is_tried_again_as_often_as_asked(center: Center) -> None:
    job = center.submit(variables={"SIMULATE_EXIT_CODE": "3"}, retries=2)
    (ended,) = center.finish(job)
    assert ended.state is JobState.FAILED
    assert ended.exit_code == 3
    assert len(center.attempts(job)) == 3
    center.check_books()


def test_a_job_waits_for_the_success_it_needs(center: Center) -> None:
    first = center.submit()
    second = center.submit(depends_on=[{"job": first}])
    center.run(10)
    assert center.job(second).state is JobState.QUEUED
    assert why(center.store, SYSTEM, center.runtime, second).code == "dependency"
    one, two = center.finish(first, second)
    assert two.started_us is not None
    assert one.ended_us is not None
    assert two.started_us >= one.ended_us


def test_a_job_fails_when_the_success_it_needs_cannot_come(center: Center) -> None:
    first = center.submit(variables={"SIMULATE_EXIT_CODE": "1"})
    needs = center.submit(depends_on=[{"job": first, "condition": "succeeded"}])
    follows = center.submit(depends_on=[{"job": first, "condition": "ended"}])
    _, failed, ran = center.finish(first, needs, follows)
    assert (failed.state, failed.reason_code) == (JobState.FAILED, "dependency_failed")
    assert ran.state is JobState.SUCCEEDED
    with pytest.raises(Conflict, match="would never run"):
        center.submit(depends_on=[{"job": first}])
    with pytest.raises(NotFound):
        center.submit(depends_on=[{"job": "job_00000000000000000000000000"}])


def test_a_chain_of_jobs_falls_as_one(center: Center) -> None:
    first = center.submit()
    chain = [first]
    for _ in range(5):
        chain.append(center.submit(depends_on=[{"job": chain[-1]}]))
    service.cancel_job(center.store, SYSTEM, first)
    states = [job.state for job in center.finish(*chain)]
    assert states == [JobState.CANCELLED] + [JobState.FAILED] * 5


@pytest.mark.parametrize("after_s", [0, 0.5, 1, 5])
def test_cancel_at_any_moment_ends_the_job_and_frees_everything(center: Center, after_s: float) -> None:
    job = center.submit(per_task=NODE, simulate="3000s", time_limit="1h")
    center.run(after_s)
    service.cancel_job(center.store, SYSTEM, job)
    (ended,) = center.finish(job)
    assert ended.state is JobState.CANCELLED
    assert service.cancel_job(center.store, SYSTEM, job).state is JobState.CANCELLED
    center.run(5)
    assert center.held_devices() == 0
    assert balance(center.store, SYSTEM, center.org.id).held.micro == 0
    center.check_books()


def test_cancelling_an_array_ends_what_waits_and_what_runs(center: Center) -> None:
    array = center.submit(per_task=CARD, array={"size": 200}, simulate="3000s", time_limit="1h")
    waiting = center.submit(depends_on=[{"job": array, "condition": "ended"}])
    needs_one = center.submit(depends_on=[{"job": center.elements(array)[150]}])
    center.run(3)
    service.cancel_job(center.store, SYSTEM, array)
    ended, ran, failed = center.finish(array, waiting, needs_one)
    assert ended.state is JobState.CANCELLED
    assert ended.counts is not None
    assert ended.counts["cancelled"] == 200
    assert ran.state is JobState.SUCCEEDED
    assert failed.state is JobState.FAILED
    center.check_books()


def test_an_urgent_job_takes_the_place_of_a_preemptible_one_which_is_not_billed(tmp_path: Path) -> None:
    center = Center(tmp_path, cluster="1x8xH100-80G")
    before = balance(center.store, SYSTEM, center.org.id).balance
    low = center.submit(per_task=NODE, preemptible=True, simulate="3000s", time_limit="1h")
    center.run(660)
    assert center.job(low).state is JobState.RUNNING
    high = center.submit(per_task=NODE, priority=50, simulate="30s")
    (urgent,) = center.finish(high)
    assert urgent.state is JobState.SUCCEEDED
    first = center.attempts(low)[0]
    assert first["stop_reason"] == "preempted"
    center.run(30)
    paid = before.micro - balance(center.store, SYSTEM, center.org.id).balance.micro
    assert paid < first["hourly_micro"] * 120 / 3600, "the lost 11 minutes are not billed"
    center.tick_s = 10
    (again,) = center.finish(low, within_s=7200)
    assert again.state is JobState.SUCCEEDED
    assert len(center.attempts(low)) == 2
    center.check_books()


def test_a_lost_attempt_is_run_again_and_not_billed(center: Center) -> None:
    before = balance(center.store, SYSTEM, center.org.id).balance
    job = center.submit(per_task=NODE, simulate="600s", time_limit="1h")
    center.run(100)
    (attempt,) = center.attempts(job)
    center.simulated.cluster.break_node(attempt["placement"]["tasks"][0]["node"])
    center.run(5)
    assert center.attempts(job)[0]["end_reason"] == "engine_lost"
    assert balance(center.store, SYSTEM, center.org.id).balance == before
    (ended,) = center.finish(job)
    assert ended.state is JobState.SUCCEEDED
    assert len(center.attempts(job)) == 2
    center.check_books()


def test_what_can_never_run_is_refused_at_once(center: Center) -> None:
    center.run(1)
    with pytest.raises(InvalidInput) as caught:
        center.submit(per_task={"accelerator": "H100", "count": 9})
    assert any("the most is 8" in str(problem.message) for problem in caught.value.problems)
    with pytest.raises(InvalidInput):
        center.submit(per_task={"accelerator": "A100", "count": 1})
    with pytest.raises(InvalidInput):
        center.submit(per_task={"memory_gib": 100_000})


def test_who_cannot_pay_an_hour_is_refused(tmp_path: Path) -> None:
    center = Center(tmp_path, balance="1")
    center.run(1)
    with pytest.raises(PaymentRequired):
        center.submit(per_task=NODE)
    assert center.finish(center.submit(per_task={"cpus": 1}))[0].state is JobState.SUCCEEDED


def test_who_can_pay_an_hour_but_not_the_limit_waits_and_is_told_why(tmp_path: Path) -> None:
    center = Center(tmp_path, balance="200")
    center.run(1)
    job = center.submit(per_task=NODE, time_limit="20h")
    center.run(10)
    found = why(center.store, SYSTEM, center.runtime, job)
    assert (center.job(job).state, found.code) == (JobState.QUEUED, "balance")
    assert found.unblock is not None
    assert center.held_devices() == 0


def test_a_foreign_upload_cannot_be_named(center: Center) -> None:
    with pytest.raises(NotFound):
        center.submit(files=[{"upload": "upl_00000000000000000000000000", "path": "x"}])
    with pytest.raises(NotFound):
        center.submit(org="nobody")
    assert center.submit(org=ORG)
