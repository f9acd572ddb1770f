"""Elastic jobs and stops by the planner: what a resize is for the job, its tasks, its bill and its rank by service."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.store.jobs.harness import Center

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import text
from pearlstreet.compute.engines.protocol import AttemptOrder
from pearlstreet.compute.jobs import orders
from pearlstreet.compute.jobs.applying import Stop, stop_attempt
from pearlstreet.compute.jobs.model import Ask, JobState, StopReason
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.ledger.funds import balance
from pearlstreet.tenancy.model import SYSTEM

CARD = {"accelerator": "H100", "count": 1, "cpus": 1, "memory_gib": 1}


@pytest.fixture
def center(tmp_path: Path) -> Center:
    return Center(tmp_path, cluster="2x8xH100-80G")


def _stop(center: Center, job: str, why: StopReason, grace_s: float = 5.0) -> None:
    attempt = center.attempts(job)[-1]["id"]
    center.store.write(partial(stop_attempt, stop=Stop(attempt, why, grace_s, text("Preempted"))))


def _order(center: Center, job: str) -> AttemptOrder:
    attempt = center.attempts(job)[-1]
    return center.store.read(lambda tx: orders.build_order(tx, center.runtime, attempt))


def _job(center: Center, job: str) -> dict[str, object]:
    row = center.store.read(lambda tx: tx.first(sa.select(jobs).where(jobs.c.id == job)))
    assert row is not None
    return dict(row)


def _want(center: Center, job: str, tasks: int) -> None:
    """As if the planner gave its next attempt so many tasks."""

    def command(tx: object) -> None:
        ask = Ask.from_json(tx.scalar(sa.select(jobs.c.ask).where(jobs.c.id == job)))  # type: ignore[attr-defined]
        changed = {**ask.to_json(), "tasks": tasks, "accelerators": list(ask.accelerators)}
        tx.execute(sa.update(jobs).where(jobs.c.id == job).values(ask=changed))  # type: ignore[attr-defined]

    center.store.write(command)


def test_a_resize_ends_the_attempt_and_the_next_one_has_other_ranks(center: Center) -> None:
    before = balance(center.store, SYSTEM, center.org.id).balance
    elastic = {"min_tasks": 2, "max_tasks": 8}
    job = center.submit(per_task=CARD, elastic=elastic, simulate="600s", time_limit="1h", retries=0)
    center.run(100)
    assert [task.rank for task in _order(center, job).tasks] == [0, 1], (
        "it starts with the fewest when it names none"
    )
    _stop(center, job, StopReason.RESIZED, grace_s=45)
    assert center.attempts(job)[0]["grace_s"] == 45, "the policy's grace, when its own is shorter"
    _want(center, job, 4)
    center.run(60)
    assert center.job(job).state is JobState.RUNNING
    first, second = center.attempts(job)
    assert first["stop_reason"] == "resized"
    assert second["number"] == 2
    assert second["usage"]["card_bp"] == 40_000
    assert [task.rank for task in _order(center, job).tasks] == [0, 1, 2, 3]
    assert _job(center, job)["failures"] == 0, "it is no retry"
    paid = before.micro - balance(center.store, SYSTEM, center.org.id).balance.micro
    assert paid < second["hourly_micro"] * 90 / 3600, "what was lost is not billed"
    served = int(str(_job(center, job)["served_device_us"]))
    assert 2 * 90e6 < served < 2 * 130e6, "but it counts for orders by attained service"
    center.tick_s = 5
    (ended,) = center.finish(job)
    assert ended.state is JobState.SUCCEEDED
    center.check_books()


def test_only_who_agreed_is_stopped(center: Center) -> None:
    rigid = center.submit(per_task=CARD, tasks=2, simulate="600s", time_limit="1h")
    soft = center.submit(per_task=CARD, preemptible=True, simulate="600s", time_limit="1h")
    center.run(10)
    for why in (StopReason.PREEMPTED, StopReason.RESIZED):
        _stop(center, rigid, why)
    _stop(center, soft, StopReason.RESIZED)
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
