"""Elastic jobs and stops by the planner: what a resize is for the job, its tasks, its bill and its rank by service."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.store.jobs.harness import Center

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import from_json, text
from pearlstreet.compute.engines.protocol import AttemptOrder
from pearlstreet.compute.execution.model import StopReason
from pearlstreet.compute.execution.owners import by_kind
from pearlstreet.compute.jobs import orders
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.owner import JobOwner
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.compute.jobs.views import timeline
from pearlstreet.compute.queueing.plan_applier import AttemptStop, stop_attempt
from pearlstreet.compute.queueing.policy.service import set_policy
from pearlstreet.ledger.spans import spans_of
from pearlstreet.tenancy.model import SYSTEM

CARD = {"accelerator": "H100", "count": 1, "cpus": 1, "memory_gib": 1}


@pytest.fixture
def center(tmp_path: Path) -> Center:
    return Center(tmp_path, cluster="2x8xH100-80G")


def _stop(center: Center, job: str, why: StopReason, grace_s: float = 5.0, tasks: int = 0) -> None:
    attempt = center.attempts(job)[-1]["id"]
    center.store.write(
        partial(
            stop_attempt,
            owners=by_kind(JobOwner(center.runtime)),
            stop=AttemptStop(attempt, why, grace_s, text("Preempted"), tasks),
        )
    )


def _order(center: Center, job: str) -> AttemptOrder:
    attempt = center.attempts(job)[-1]
    return center.store.read(lambda tx: orders.build_order(tx, center.runtime, attempt))


def _job(center: Center, job: str) -> dict[str, object]:
    row = center.store.read(lambda tx: tx.first(sa.select(jobs).where(jobs.c.id == job)))
    assert row is not None
    return dict(row)


def _policy(center: Center, **changes: object) -> None:
    set_policy(center.store, SYSTEM, center.runtime, changes)


def _hours(center: Center, job: str) -> float:
    """Card-hours of the job's billed use."""
    spans = center.store.read(lambda tx: spans_of(tx, center.org.id, job))
    cards = [use.span for use in spans if use.span.resource.startswith("accelerator/") and use.span.billable]
    return sum((one.end_us - one.start_us) / 3.6e9 * one.amount / 10_000 for one in cards)


def test_a_resize_ends_the_attempt_and_the_next_one_has_other_ranks(center: Center) -> None:
    elastic = {"min_tasks": 2, "max_tasks": 8}
    job = center.submit(per_task=CARD, elastic=elastic, simulate="600s", time_limit="1h", retries=0)
    center.run(100)
    assert [task.rank for task in _order(center, job).tasks] == [0, 1], (
        "it starts with the fewest when it names none"
    )
    began_us = center.attempts(job)[0]["started_us"]
    asked_us = center.clock.now_us()
    _stop(center, job, StopReason.RESIZED, grace_s=45, tasks=4)
    assert center.attempts(job)[0]["grace_s"] == 45, "the policy's grace, when its own is shorter"
    center.run(60)
    assert center.job(job).state is JobState.RUNNING
    first, second = center.attempts(job)
    assert first["stop_reason"] == "resized"
    assert second["number"] == 2
    assert second["usage"]["card_bp"] == 40_000
    order = _order(center, job)
    assert [task.rank for task in order.tasks] == [0, 1, 2, 3]
    done_s = (asked_us - began_us) / 1e6
    assert order.simulate_s == pytest.approx((600 - done_s) / 2, abs=1), "half the time with twice the tasks"
    assert _job(center, job)["failures"] == 0, "it is no retry"
    served = int(str(_job(center, job)["served_device_us"]))
    assert 2 * 90e6 < served < 2 * 130e6, "it counts for orders by attained service"
    center.tick_s = 5
    (ended,) = center.finish(job)
    assert ended.state is JobState.SUCCEEDED
    center.run(60)
    second = center.attempts(job)[1]
    wanted = 2 * done_s + 4 * (second["ended_us"] - second["started_us"]) / 1e6
    assert _hours(center, job) == pytest.approx(wanted / 3600, rel=1e-6), (
        "all but the time to save is billed, once"
    )
    center.check_books()


def test_resizes_do_not_lengthen_the_time_limit(center: Center) -> None:
    """Ten minutes are ten minutes, however often its width was changed; time to save does not count."""
    job = center.submit(
        per_task=CARD, elastic={"min_tasks": 2, "max_tasks": 8}, simulate="5h", time_limit="10m"
    )
    for tasks in (4, 3):
        center.run(150)
        _stop(center, job, StopReason.RESIZED, tasks=tasks)
    center.run(60)
    first, second, third = center.attempts(job)
    assert first["time_limit_s"] == 600
    ran = [(row["stop_asked_us"] - row["started_us"]) / 1e6 for row in (first, second)]
    assert second["time_limit_s"] == pytest.approx(600 - ran[0])
    assert third["time_limit_s"] == pytest.approx(600 - sum(ran))
    assert _order(center, job).limits.time_s == third["time_limit_s"]
    (ended,) = center.finish(job)
    assert (ended.state, ended.reason_code) == (JobState.FAILED, "time_limit")
    third = center.attempts(job)[-1]
    whole_s = sum(ran) + (third["ended_us"] - third["started_us"]) / 1e6
    assert 600 <= whole_s < 700
    center.check_books()


def test_what_begins_again_has_its_whole_limit(center: Center) -> None:
    elastic = {"min_tasks": 2, "max_tasks": 8}
    job = center.submit(per_task=CARD, elastic=elastic, preemptible=True, simulate="5h", time_limit="10m")
    for why, tasks in ((StopReason.RESIZED, 4), (StopReason.PREEMPTED, 0)):
        center.run(150)
        _stop(center, job, why, tasks=tasks)
    center.run(60)
    limits = [row["time_limit_s"] for row in center.attempts(job)]
    assert limits[1] < limits[0] == limits[2] == 600


def test_a_resize_to_what_a_job_cannot_be_is_not_done(center: Center) -> None:
    job = center.submit(
        per_task=CARD, elastic={"min_tasks": 2, "max_tasks": 4}, time_limit="1h", simulate="900s"
    )
    center.run(10)
    for tasks in (0, 1, 2, 5):
        _stop(center, job, StopReason.RESIZED, tasks=tasks)
    center.run(10)
    assert [row["stop_reason"] for row in center.attempts(job)] == [None]


def test_nobody_grows_beyond_what_is_payable(tmp_path: Path) -> None:
    poor = Center(tmp_path, cluster="2x8xH100-80G", balance="60")
    job = poor.submit(
        per_task=CARD, elastic={"min_tasks": 1, "max_tasks": 8}, time_limit="1h", simulate="900s"
    )
    poor.run(10)
    _stop(poor, job, StopReason.RESIZED, tasks=8)
    poor.run(10)
    assert [row["stop_reason"] for row in poor.attempts(job)] == [None]


def test_an_elastic_job_is_cut_for_one_that_waits_and_grows_again(center: Center) -> None:
    _policy(center, elasticity="grow-shrink", min_run_s=60, grow_after_s=60, restart_s=5, restart_gang_s=5)
    elastic = {"min_tasks": 1, "max_tasks": 4}
    wide = center.submit(per_task={**CARD, "count": 4}, elastic=elastic, simulate="3000s", time_limit="3h")
    center.run(10)
    assert [len(row["placement"]["tasks"]) for row in center.attempts(wide)] == [4], (
        "all that is idle is its own"
    )
    rigid = center.submit(per_task={**CARD, "count": 8}, simulate="300s", time_limit="1h")
    center.run(40)
    assert center.job(rigid).state is JobState.QUEUED, "nobody is cut before it ran its minimum"
    center.run(100)
    assert center.job(rigid).state is JobState.RUNNING
    assert center.job(wide).state is JobState.RUNNING
    assert [len(row["placement"]["tasks"]) for row in center.attempts(wide)] == [4, 2]
    assert center.held_devices() == 16
    told = [str(line.reason) for line in timeline(center.store, SYSTEM, wide) if line.event == "stop"]
    assert told == ["It goes on with 2 tasks instead of 4, so that a job that waits can start"]
    center.tick_s = 2
    center.finish(rigid)
    center.run(200)
    assert [len(row["placement"]["tasks"]) for row in center.attempts(wide)] == [4, 2, 4], (
        "what is idle is its own again"
    )
    (ended,) = center.finish(wide)
    assert ended.state is JobState.SUCCEEDED
    assert _job(center, wide)["failures"] == 0
    center.run(60)
    billed = [row["stop_asked_us"] or row["ended_us"] for row in center.attempts(wide)]
    held = sum(
        4 * len(row["placement"]["tasks"]) * (until_us - row["started_us"]) / 3.6e9
        for row, until_us in zip(center.attempts(wide), billed, strict=True)
    )
    assert _hours(center, wide) == pytest.approx(held, rel=1e-6)
    assert held == pytest.approx(3000 * 4 / 3600, rel=0.05), "whatever its widths, it did its work once"
    center.check_books()


def test_a_job_starts_with_fewer_tasks_than_it_asked_for(center: Center) -> None:
    _policy(center, elasticity="shrink")
    center.submit(per_task={**CARD, "count": 8}, simulate="600s", time_limit="1h")
    center.run(5)
    job = center.submit(
        per_task={**CARD, "count": 4}, tasks=4, elastic={"min_tasks": 2, "max_tasks": 4}, time_limit="1h"
    )
    center.run(10)
    assert center.job(job).state is JobState.RUNNING
    assert [len(row["placement"]["tasks"]) for row in center.attempts(job)] == [2]
    here = from_json(center.attempts(job)[0]["why_here"])
    assert str(here).endswith("; with 2 tasks of 2 to 4")
    assert here.render("zh-CN").endswith("；以 2 个任务运行（允许 2 至 4 个）")


def test_only_who_agreed_is_stopped(center: Center) -> None:
    rigid = center.submit(per_task=CARD, tasks=2, simulate="600s", time_limit="1h")
    soft = center.submit(per_task=CARD, preemptible=True, simulate="600s", time_limit="1h")
    center.run(10)
    for why in (StopReason.PREEMPTED, StopReason.RESIZED):
        _stop(center, rigid, why, tasks=1)
    _stop(center, soft, StopReason.RESIZED, tasks=1)
    center.run(10)
    assert {center.job(job).state for job in (rigid, soft)} == {JobState.RUNNING}
    _stop(center, soft, StopReason.PREEMPTED)
    _stop(center, soft, StopReason.PREEMPTED)
    center.run(60)
    assert [row["stop_reason"] for row in center.attempts(soft)] == ["preempted", None]


def test_an_elastic_job_is_quoted_for_its_most_and_possible_for_its_fewest(center: Center) -> None:
    center.run(1)
    dear = center.submit(per_task={**CARD, "count": 8}, elastic={"min_tasks": 1, "max_tasks": 2})
    plain = center.submit(per_task={**CARD, "count": 8})
    assert center.job(dear).hourly_micro == 2 * center.job(plain).hourly_micro
    center.submit(per_task={**CARD, "count": 8}, elastic={"min_tasks": 2, "max_tasks": 64})
    with pytest.raises(InvalidInput):
        center.submit(per_task={**CARD, "count": 8}, elastic={"min_tasks": 3, "max_tasks": 64})


def test_what_an_elastic_job_may_not_say(center: Center) -> None:
    for wrong in ({"min_tasks": 4, "max_tasks": 2}, {"min_tasks": 2}, {"max_tasks": 0}):
        with pytest.raises(InvalidInput):
            center.submit(elastic=wrong)
    with pytest.raises(InvalidInput) as caught:
        center.submit(tasks=9, elastic={"min_tasks": 2, "max_tasks": 8})
    assert caught.value.problems[0].field == "tasks"
