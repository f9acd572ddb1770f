"""Builds of environments are attempts like those of jobs: they hold what they use, are metered, and billed by a rule."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from tests.store.jobs.fakes import Working
from tests.store.jobs.harness import Center

from pearlstreet.base.money import parse_yuan
from pearlstreet.base.text import from_json
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs.build_requests import BUILD, BUILD_CPUS, BUILD_MEMORY_GIB
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.runtime import JobsSettings
from pearlstreet.compute.jobs.startup_recovery import recover
from pearlstreet.compute.jobs.tables import preparations
from pearlstreet.compute.jobs.views import why
from pearlstreet.compute.queueing.tables import waiting
from pearlstreet.ledger.spans import Use, spans_of
from pearlstreet.ledger.topups import top_up
from pearlstreet.store.core import Row
from pearlstreet.tenancy.model import SYSTEM
from pearlstreet.tenancy.orgs import create_org

NUMPY = {"packages": ["numpy"]}


def _center(folder: Path, cluster: str = "1x1xH100-80G", **settings: object) -> Center:
    return Center(folder, cluster=cluster, wrap=Working, settings=JobsSettings(**settings))  # type: ignore[arg-type]


def _builds(center: Center) -> list[Row]:
    query = sa.select(attempts).where(attempts.c.owner_kind == BUILD).order_by(attempts.c.id)
    return list(center.store.read(lambda tx: tx.rows(query)))


def _waiting(center: Center) -> list[Row]:
    query = sa.select(waiting).order_by(waiting.c.priority.desc(), waiting.c.id)
    return list(center.store.read(lambda tx: tx.rows(query)))


def _use(center: Center, build: Row) -> list[Use]:
    return list(center.store.read(lambda tx: spans_of(tx, center.org.id, build["owner_id"])))


def test_a_build_is_metered_for_the_project_that_needs_it_and_free_of_charge(tmp_path: Path) -> None:
    center = _center(tmp_path)
    job = center.submit(environment=NUMPY, simulate="3s")
    center.finish(job, within_s=60)
    (build,) = _builds(center)
    assert build["project_id"] == center.job(job).project_id
    used = _use(center, build)
    assert {use.span.resource for use in used} == {"cpu", "memory"}
    assert not any(use.span.billable for use in used)
    center.check_books()


def test_builds_are_billed_where_the_operator_wants_it(tmp_path: Path) -> None:
    center = _center(tmp_path, builds_billed=True)
    center.finish(center.submit(environment=NUMPY, simulate="3s"), within_s=60)
    (build,) = _builds(center)
    assert build["hourly_micro"] > 0
    assert all(use.span.billable for use in _use(center, build))
    center.check_books()


def test_a_build_that_cannot_be_paid_fails_the_job_with_the_reason(tmp_path: Path) -> None:
    settings = JobsSettings(builds_billed=True)
    center = Center(tmp_path, cluster="8xcpu", wrap=Working, settings=settings, balance="0.17")
    per_task = {"cpus": 1, "memory_gib": 1}
    jobs = [
        center.submit(per_task=per_task, environment={"packages": [f"a{n}"]}, simulate="600s")
        for n in range(2)
    ]
    center.run(10)
    states = [center.job(job) for job in jobs]
    failed = [job for job in states if job.reason_code == "preparation_failed"]
    assert len(failed) == 1, "the hold of the first build leaves too little for the second"
    assert str(failed[0].reason).startswith("The environment could not be built: This needs ¥")


def test_the_planner_places_nothing_where_a_build_is(tmp_path: Path) -> None:
    center = _center(tmp_path)
    report = center.simulated.nodes().value[0]  # type: ignore[union-attr]
    center.submit(environment=NUMPY, simulate="3s")
    center.step()
    whole = {"cpus": report.cpus, "memory_gib": report.memory_gib}
    large = center.submit(per_task=whole, simulate="3s")
    center.run(2)
    (build,) = _builds(center)
    (task,) = build["placement"]["tasks"]
    assert (task["cpu_milli"], task["memory_mib"]) == (BUILD_CPUS * 1000, BUILD_MEMORY_GIB * 1024)
    assert build["state"] == "running" and center.job(large).state is JobState.QUEUED
    assert center.finish(large, within_s=60)[0].state is JobState.SUCCEEDED


def test_a_build_waits_for_running_jobs_alone_and_says_so(tmp_path: Path) -> None:
    center = _center(tmp_path)
    report = center.simulated.nodes().value[0]  # type: ignore[union-attr]
    whole = {"cpus": report.cpus, "memory_gib": report.memory_gib}
    running = center.submit(per_task=whole, simulate="60s")
    center.run(3)
    behind = [center.submit(per_task=whole, priority=100, simulate="60s") for _ in range(3)]
    needs = center.submit(environment=NUMPY, simulate="3s")
    center.run(8)
    assert not _builds(center)
    row = _waiting(center)[0]
    assert (row["owner_kind"], row["reason_code"], row["billed"]) == (BUILD, "capacity", False)
    told = str(why(center.store, SYSTEM, center.runtime, needs).sentence)
    assert told.startswith("It waits because its environment is being built once that can start: Not enough")
    center.finish(running, within_s=120)
    center.run(4)
    (build,) = _builds(center)
    assert build["state"] != "placed" and all(center.job(job).state is JobState.QUEUED for job in behind)
    assert not [row for row in _waiting(center) if row["owner_kind"] == BUILD]
    assert center.finish(needs, *behind, within_s=600)[0].state is JobState.SUCCEEDED


def test_a_build_stops_nothing_that_runs(tmp_path: Path) -> None:
    center = _center(tmp_path)
    report = center.simulated.nodes().value[0]  # type: ignore[union-attr]
    whole = {"cpus": report.cpus, "memory_gib": report.memory_gib}
    running = center.submit(per_task=whole, preemptible=True, simulate="300s", time_limit="1h")
    center.run(3)
    center.submit(environment=NUMPY, simulate="3s")
    (ended,) = center.finish(running, within_s=600)
    assert ended.state is JobState.SUCCEEDED and len(center.attempts(running)) == 1


def test_one_organisation_has_no_more_builds_at_once_than_its_limit(tmp_path: Path) -> None:
    center = _center(tmp_path, cluster="8xcpu", builds_at_once=4, org_builds_at_once=1)
    other = create_org(center.store, SYSTEM, "other")
    top_up(center.store, SYSTEM, other.id, parse_yuan("90"))
    for number in range(3):
        center.submit(environment={"packages": [f"a{number}"]}, simulate="3s")
    center.submit(org="other", environment={"packages": ["b"]}, simulate="3s")
    center.run(2)
    assert sorted(build["org_id"] for build in _builds(center)) == sorted([center.org.id, other.id])
    waits = [row for row in _waiting(center) if row["owner_kind"] == BUILD]
    assert [row["reason_code"] for row in waits] == ["org_builds"] * 2
    assert "1 build of its organisation runs" in str(from_json(waits[0]["reason"]))
    center.run(60)
    assert len(_builds(center)) == 4


def test_the_limit_of_the_center_is_told(tmp_path: Path) -> None:
    center = _center(tmp_path, cluster="8xcpu", builds_at_once=1)
    for number in range(2):
        center.submit(environment={"packages": [f"a{number}"]}, simulate="3s")
    center.run(2)
    assert len(_builds(center)) == 1
    (row,) = (row for row in _waiting(center) if row["owner_kind"] == BUILD)
    assert "1 build runs in this center, as many as may at once" in str(from_json(row["reason"]))


def test_what_an_older_version_wanted_is_built(tmp_path: Path) -> None:
    center = _center(tmp_path)
    job = center.submit(environment=NUMPY, simulate="3s")
    values = {"attempt_id": "att_chosen_before", "due_us": 0}
    center.store.write(lambda tx: tx.execute(sa.update(preparations).values(**values)))
    center.store.write(lambda tx: tx.execute(sa.delete(waiting).where(waiting.c.owner_kind == BUILD)))
    center.run(5)
    assert not _builds(center)
    center.store.write(lambda tx: recover(tx, center.runtime))
    center.store.write(lambda tx: recover(tx, center.runtime))
    assert center.finish(job, within_s=60)[0].state is JobState.SUCCEEDED
    assert len(_builds(center)) == 1
