"""One tenant's or one row's trouble stays its own: the others go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.store.jobs.harness import Center

from pearlstreet.base.errors import check
from pearlstreet.base.money import parse_yuan
from pearlstreet.compute.execution import metering
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.runtime import JobsSettings
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.compute.jobs.views import why
from pearlstreet.compute.queueing import plan_applier
from pearlstreet.ledger.funds import balance
from pearlstreet.ledger.topups import top_up
from pearlstreet.store.loop import failing
from pearlstreet.tenancy.model import SYSTEM
from pearlstreet.tenancy.orgs import create_org, resume_org, suspend_org

NODE = {"accelerator": "H100", "count": 8, "cpus": 8, "memory_gib": 64}


def _poor(center: Center, balance: str) -> str:
    org = create_org(center.store, SYSTEM, "poor")
    top_up(center.store, SYSTEM, org.id, parse_yuan(balance))
    return org.id


def test_a_job_that_cannot_be_paid_keeps_nobody_from_the_devices(tmp_path: Path) -> None:
    center = Center(tmp_path, cluster="1x8xH100-80G")
    org_id = _poor(center, "200")
    center.run(1)
    broke = center.submit(org="poor", per_task=NODE, time_limit="20h", priority=50)
    center.run(6)
    paying = center.submit(per_task=NODE, simulate="20s")
    (ended,) = center.finish(paying, within_s=120)
    assert ended.state is JobState.SUCCEEDED
    assert why(center.store, SYSTEM, center.runtime, broke).code == "balance"
    top_up(center.store, SYSTEM, org_id, parse_yuan("9000"))
    (paid,) = center.finish(broke, within_s=300)
    assert paid.state is JobState.SUCCEEDED
    center.check_books()


def test_jobs_of_a_suspended_organisation_wait_and_say_so(tmp_path: Path) -> None:
    center = Center(tmp_path, cluster="1x8xH100-80G")
    _poor(center, "9000")
    job = center.submit(org="poor", per_task=NODE, simulate="20s")
    suspend_org(center.store, SYSTEM, "poor")
    center.run(15)
    assert center.job(job).state is JobState.QUEUED
    assert why(center.store, SYSTEM, center.runtime, job).code == "suspended"
    resume_org(center.store, SYSTEM, "poor")
    assert center.finish(job, within_s=120)[0].state is JobState.SUCCEEDED


def test_a_placement_that_cannot_be_written_stops_only_its_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    center = Center(tmp_path)
    bad = center.submit(per_task=NODE, name="bad", priority=50)
    good = center.submit(per_task=NODE)
    real = plan_applier.place_attempt

    def broken(tx: Any, attempt: Any) -> None:
        real(tx, attempt)
        check(attempt.owner_id != bad, "made to fail")

    monkeypatch.setattr(plan_applier, "place_attempt", broken)
    (ended,) = center.finish(good, within_s=120)
    assert ended.state is JobState.SUCCEEDED
    (noted,) = center.store.read(failing)
    assert noted["row_id"] == bad
    monkeypatch.setattr(plan_applier, "place_attempt", real)
    assert center.finish(bad, within_s=300)[0].state is JobState.SUCCEEDED
    assert center.store.read(failing) == []
    assert balance(center.store, SYSTEM, center.org.id).held.micro == 0
    center.check_books()


def test_an_ask_that_cannot_be_read_stops_only_its_job(tmp_path: Path) -> None:
    center = Center(tmp_path)
    bad, good = center.submit(), center.submit()
    center.store.write(
        lambda tx: tx.execute(sa.update(jobs).where(jobs.c.id == bad).values(ask={"from": "the future"}))
    )
    query = sa.select(jobs.c.state).where(jobs.c.id == good)
    for _ in range(300):
        center.step()
        if center.store.read(lambda tx: tx.scalar(query)) == "succeeded":
            return
    raise AssertionError("the good job never ended")


def test_one_attempt_that_cannot_be_metered_leaves_the_others_metered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    center = Center(tmp_path, settings=JobsSettings(meter_interval_s=5))
    bad = center.submit(simulate="600s")
    good = center.submit(simulate="600s")
    center.run(4)
    real = metering.append_span

    def broken(tx: Any, span: Any) -> None:
        check(span.reference != bad, "made to fail")
        real(tx, span)

    monkeypatch.setattr(metering, "append_span", broken)
    center.run(15)
    (attempt,) = center.attempts(good)
    assert attempt["metered_until_us"] > attempt["started_us"]
