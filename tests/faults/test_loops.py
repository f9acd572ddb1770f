"""Faults between the loops and their engines, on a virtual clock: no work twice, no wrong bill, a reason for everyone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from pearlstreet.base.outcome import Outcome, Refused, Unknown
from pearlstreet.base.text import text
from pearlstreet.compute.engines.protocol import AttemptOrder, AttemptReport, Engine, TaskState
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs import lifecycle, service
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.runtime import JobsSettings
from pearlstreet.compute.jobs.views import why
from pearlstreet.compute.pool.inventory import drain, undrain
from pearlstreet.ledger.funds import balance
from pearlstreet.ledger.prices import current_prices, publish_prices
from pearlstreet.store import leases
from pearlstreet.tenancy.model import SYSTEM
from pearlstreet.tenancy.secrets import delete_secret, set_secret
from tests.fakes.engines import Flaky, LiesAboutState, LosesAcks, LosesRequests, Never, Wrapped, value_of
from tests.store.jobs.fakes import Working
from tests.store.jobs.harness import Center

NODE = {"accelerator": "H100", "count": 8, "cpus": 8, "memory_gib": 64}
SOON = JobsSettings(start_timeout_s=10)


def _paid(center: Center) -> int:
    return balance(center.store, SYSTEM, center.org.id).balance.micro


@pytest.mark.parametrize("times", [1, 3])
def test_lost_answers_start_nothing_twice(tmp_path: Path, times: int) -> None:
    center = Center(tmp_path, wrap=lambda engine: LosesAcks(engine, times))
    jobs = [center.submit(per_task=NODE, simulate="5s") for _ in range(3)]
    ended = center.finish(*jobs)
    assert {job.state for job in ended} == {JobState.SUCCEEDED}
    assert [len(center.attempts(job)) for job in jobs] == [1, 1, 1]
    center.check_books()


def test_lost_requests_are_planned_again_and_not_billed(tmp_path: Path) -> None:
    center = Center(tmp_path, settings=SOON, wrap=lambda engine: LosesRequests(engine, 1, methods={"start"}))
    job = center.submit(per_task=NODE, simulate="5s")
    (ended,) = center.finish(job)
    first, second = center.attempts(job)
    assert ended.state is JobState.SUCCEEDED
    assert (first["started_us"], first["metered_until_us"]) == (None, None)
    assert second["placed_us"] >= first["ended_us"]
    center.check_books()


def test_an_engine_that_says_retry_is_tried_again(tmp_path: Path) -> None:
    center = Center(tmp_path, wrap=lambda engine: Flaky(engine, 3))
    (ended,) = center.finish(center.submit())
    assert ended.state is JobState.SUCCEEDED


def test_an_engine_that_never_answers_keeps_its_attempts_until_it_does(tmp_path: Path) -> None:
    """Its devices are not given away: what was started there may run."""
    engines: list[Never] = []

    def wrap(engine: Engine) -> Engine:
        engines.append(Never(engine, methods=set()))
        return engines[0]

    center = Center(tmp_path, settings=SOON, wrap=wrap)
    job = center.submit(per_task=NODE, simulate="20s")
    center.run(5)
    engines[0].methods = frozenset({"start", "stop", "probe", "scan", "observe", "nodes"})
    center.run(30)
    assert center.job(job).state is JobState.RUNNING
    assert center.held_devices() == 8
    metered_us = center.attempts(job)[0]["metered_until_us"]
    center.run(70)
    assert center.attempts(job)[0]["metered_until_us"] == metered_us, "what nobody saw is not billed"
    engines[0].methods = frozenset()
    (ended,) = center.finish(job)
    assert (ended.state, len(center.attempts(job))) == (JobState.SUCCEEDED, 1)
    center.check_books()


@pytest.mark.parametrize("state", list(TaskState))
def test_an_engine_that_lies_for_a_while_runs_nothing_twice(tmp_path: Path, state: TaskState) -> None:
    liars: list[LiesAboutState] = []

    def wrap(engine: Engine) -> Engine:
        liars.append(LiesAboutState(engine, state))
        return liars[0]

    center = Center(tmp_path, wrap=wrap)
    job = center.submit(per_task=NODE, simulate="20s")
    center.run(30)
    liars[0].lying = False
    center.finish(job)
    assert len(center.attempts(job)) == 1
    center.run(10)
    assert center.simulated.cluster.double_grants() == []


class _Late(Wrapped):
    """A start that is on its way while the engine is asked about it: it arrives with the next call but one."""

    def __init__(self, inner: Engine) -> None:
        super().__init__(inner)
        self.waiting: list[AttemptOrder] = []
        self.stopped: list[str] = []

    def start(self, order: AttemptOrder) -> Outcome[AttemptReport]:
        self.waiting.append(order)
        return Unknown(text("The engine gave no answer"))

    def stop(self, attempt_id: str, *, grace_s: float) -> Outcome[None]:
        self.stopped.append(attempt_id)
        return super().stop(attempt_id, grace_s=grace_s)


def test_a_start_that_arrives_after_it_was_given_up_never_runs(tmp_path: Path) -> None:
    late: list[_Late] = []

    def wrap(engine: Engine) -> Engine:
        late.append(_Late(engine))
        return late[0]

    center = Center(tmp_path, settings=SOON, wrap=wrap)
    job = center.submit(per_task=NODE)
    center.run(12)
    first = center.attempts(job)[0]
    assert first["state"] == "ended"
    assert first["id"] in late[0].stopped, "it was made sure that it cannot start any more"
    answer = center.simulated.start(late[0].waiting[0])
    assert isinstance(answer, Refused) or value_of(answer).state is TaskState.EXITED


def test_an_end_that_came_while_the_server_was_down_is_billed_to_the_end_only(tmp_path: Path) -> None:
    center = Center(tmp_path)
    before = _paid(center)
    job = center.submit(per_task=NODE, simulate="100s")
    center.run(50)
    center.clock.advance(7200)
    for loop in sorted(center.loops, key=lambda loop: loop.name != "meter_attempts"):
        loop.step(center.store)
    center.finish(job)
    (attempt,) = center.attempts(job)
    ran_us = attempt["ended_us"] - attempt["started_us"]
    assert ran_us < 110e6
    center.run(10)
    assert before - _paid(center) == pytest.approx(attempt["hourly_micro"] * ran_us / 3.6e9, abs=5)
    center.check_books()


def test_a_new_server_does_not_wait_for_the_leases_of_a_dead_one(tmp_path: Path) -> None:
    center = Center(tmp_path)
    job = center.submit()
    center.store.write(lambda tx: leases.take_named(tx, "planner", "the dead one", lease_s=9999))
    center.run(20)
    assert center.job(job).state is JobState.QUEUED
    center.store.write(leases.free_all)
    center.step()
    assert center.job(job).state is not JobState.QUEUED
    center.run(5)
    live = attempts.c.due_us.is_(None)
    center.store.write(lambda tx: tx.execute(sa.update(attempts).where(live).values(due_us=tx.now_us)))
    center.store.write(lambda tx: leases.lease_rows(tx, attempts, limit=9, lease_s=9999))
    service.cancel_job(center.store, SYSTEM, job)
    center.run(20)
    assert center.job(job).state is JobState.STOPPING, "whoever holds the lease would have to stop it"
    center.store.write(leases.free_all)
    (ended,) = center.finish(job, within_s=60)
    assert ended.state is JobState.CANCELLED


def test_a_long_chain_falls_without_breaking_the_server(tmp_path: Path) -> None:
    center = Center(tmp_path)
    chain = [center.submit()]
    for _ in range(400):
        chain.append(center.submit(depends_on=[{"job": chain[-1]}]))
    service.cancel_job(center.store, SYSTEM, chain[0])
    assert {center.job(job).state for job in chain[1:]} == {JobState.FAILED}
    assert center.job(chain[-1]).reason_code == "dependency_failed"


def test_a_job_that_fails_with_what_it_needed_says_so(tmp_path: Path) -> None:
    center = Center(tmp_path)
    first = center.submit(variables={"SIMULATE_EXIT_CODE": "1"})
    _, second = center.finish(first, center.submit(depends_on=[{"job": first}]))
    assert second.reason_code == "dependency_failed"
    assert str(second.reason) == f"Job {first}, which this one needed, did not succeed"


def test_a_job_that_wants_no_second_try_gets_none(tmp_path: Path) -> None:
    center = Center(tmp_path)
    spec = {"variables": {"SIMULATE_EXIT_CODE": "3"}, "retries": {"max": 3, "on": ["engine_lost"]}}
    job = center.submit(**spec)
    (ended,) = center.finish(job)
    assert (ended.state, len(center.attempts(job))) == (JobState.FAILED, 1)
    assert str(ended.reason) == "The command ended with exit code 3"


def test_a_job_the_platform_loses_again_and_again_fails_at_last(tmp_path: Path) -> None:
    center = Center(tmp_path, cluster="12x8xH100-80G")
    before = _paid(center)
    job = center.submit(per_task=NODE, simulate="1000s", time_limit="1h")
    for _ in range(200):
        center.run(5)
        live = [row for row in center.attempts(job) if row["state"] == "running"]
        if live:
            center.simulated.cluster.break_node(live[0]["placement"]["tasks"][0]["node"])
        if center.job(job).state is JobState.FAILED:
            break
    assert center.job(job).reason_code == "engine_lost"
    assert len(center.attempts(job)) == lifecycle.ENGINE_FAILURES_MAX
    center.run(10)
    assert _paid(center) == before
    center.check_books()


def test_a_balance_that_runs_out_stops_that_job_with_notice_and_a_reason(tmp_path: Path) -> None:
    settings = JobsSettings(hold_window_s=960, stop_notice_s=120, meter_interval_s=40)
    center = Center(tmp_path, balance="18", settings=settings, tick_s=20.0)
    cheap = center.submit(per_task={"cpus": 1, "memory_gib": 1}, simulate="30h", time_limit="40h")
    center.run(5)
    dear = center.submit(per_task={**NODE, "count": 1}, simulate="10h", time_limit="20h")
    while center.job(dear).state is not JobState.FAILED:
        assert balance(center.store, SYSTEM, center.org.id).available.micro >= 0
        center.run(40)
    found = center.job(dear)
    assert found.reason_code == "balance"
    assert str(found.reason) == "The balance does not cover more of it; top up and submit it again"
    (attempt,) = center.attempts(dear)
    assert attempt["warned_us"] is not None
    assert attempt["warned_us"] < attempt["stop_asked_us"]
    assert center.job(cheap).state is JobState.RUNNING, "another job that is covered runs on"
    center.run(30)
    assert balance(center.store, SYSTEM, center.org.id).balance.micro >= 0
    center.check_books()


def test_a_drained_node_gets_no_new_work_and_keeps_what_it_has(tmp_path: Path) -> None:
    center = Center(tmp_path, cluster="1x8xH100-80G")
    running = center.submit(per_task={**NODE, "count": 1})
    center.run(5)
    drain(center.store, SYSTEM, "h100-0001", "a fan is loud")
    waiting = center.submit(per_task={**NODE, "count": 1})
    (ended,) = center.finish(running)
    center.run(30)
    assert ended.state is JobState.SUCCEEDED
    assert center.job(waiting).state is JobState.QUEUED
    assert why(center.store, SYSTEM, center.runtime, waiting).sentence
    undrain(center.store, SYSTEM, "h100-0001")
    (ended,) = center.finish(waiting)
    assert ended.state is JobState.SUCCEEDED


def test_no_work_goes_to_a_node_that_is_not_healthy(tmp_path: Path) -> None:
    center = Center(tmp_path)
    center.simulated.cluster.break_node("h100-0001")
    center.run(10)
    jobs = [center.submit(per_task=NODE) for _ in range(2)]
    center.finish(*jobs)
    nodes = {center.attempts(job)[0]["placement"]["tasks"][0]["node"] for job in jobs}
    assert nodes == {"h100-0002"}


def test_a_clock_that_steps_back_bills_nothing_twice(tmp_path: Path) -> None:
    """A server whose clock stood ahead is followed by one that knows the newest time on record."""
    center = Center(tmp_path, tick_s=2.0)
    before = _paid(center)
    job = center.submit(per_task=NODE, simulate="300s")
    center.run(130)
    metered_us = center.attempts(job)[0]["metered_until_us"]
    center.clock._us -= 60_000_000
    center.finish(job)
    (attempt,) = center.attempts(job)
    assert attempt["metered_until_us"] >= metered_us
    center.run(10)
    most = attempt["hourly_micro"] * (300 + 60 + 10) / 3600
    assert 0 < before - _paid(center) <= most
    center.check_books()


def test_no_attempt_of_an_unknown_engine_breaks_the_loops(tmp_path: Path) -> None:
    """A center that once ran another engine keeps its rows; they wait for it to come back."""
    center = Center(tmp_path)
    job = center.submit(simulate="500s")
    center.run(5)
    center.store.write(lambda tx: tx.execute(sa.update(attempts).values(engine="gone")))
    other = center.submit()
    (ended,) = center.finish(other)
    assert ended.state is JobState.SUCCEEDED
    assert center.job(job).state is JobState.RUNNING


def test_a_price_that_changes_while_a_job_runs_is_for_later_jobs(tmp_path: Path) -> None:
    center = Center(tmp_path, tick_s=2.0)
    job = center.submit(per_task=NODE, simulate="200s")
    center.run(60)
    old = center.store.read(current_prices)
    publish_prices(center.store, SYSTEM, [replace(rule, micro=rule.micro * 10) for rule in old.rules])
    before = _paid(center)
    center.finish(job)
    center.run(10)
    (attempt,) = center.attempts(job)
    assert attempt["price_version_id"] == old.id
    ran_us = attempt["ended_us"] - attempt["started_us"]
    assert before - _paid(center) <= attempt["hourly_micro"] * ran_us / 3.6e9 + 5
    later = center.job(center.submit(per_task=NODE)).hourly_micro
    assert later == pytest.approx(10 * attempt["hourly_micro"], rel=0.01)
    center.check_books()


def test_a_secret_deleted_before_the_start_fails_the_job_with_its_name(tmp_path: Path) -> None:
    center = Center(tmp_path)
    set_secret(center.store, SYSTEM, "acme", "hf-token", "s3cr3t")
    first = center.submit()
    job = center.submit(depends_on=[{"job": first}], secrets={"HF_TOKEN": "hf-token"})
    delete_secret(center.store, SYSTEM, "acme", "hf-token")
    _, ended = center.finish(first, job)
    assert (ended.state, ended.reason_code) == (JobState.FAILED, "start_failed")
    assert "hf-token" in str(ended.reason)
    assert center.attempts(job)[0]["started_us"] is None
    center.check_books()


def test_a_build_that_the_platform_lost_is_made_anew(tmp_path: Path) -> None:
    """Nobody's packages are at fault when the supervisor of a build was killed."""
    center = Center(tmp_path, cluster="2x8xH100-80G", wrap=Working)
    engine = center.runtime.engines["simulated"]
    assert isinstance(engine, Working)
    job = center.submit(environment={"packages": ["numpy"]}, simulate="3s")
    center.run(2)
    (build,) = engine.orders
    center.simulated.cluster.break_node(build.tasks[0].node)
    (ended,) = center.finish(job)
    assert ended.state is JobState.SUCCEEDED
    assert [order.purpose for order in engine.orders] == ["environment", "environment", "job"]
    assert engine.orders[0].attempt_id != engine.orders[1].attempt_id
