"""Builds of environments are attempts like those of jobs: they hold what they use, are metered, and billed by a rule."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from tests.store.jobs.fakes import Working
from tests.store.jobs.harness import Center

from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs.builds import BUILD, BUILD_CPUS, BUILD_MEMORY_GIB
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.runtime import JobsSettings
from pearlstreet.compute.jobs.tables import preparations
from pearlstreet.ledger.spans import Use, spans_of
from pearlstreet.store.core import Row

NUMPY = {"packages": ["numpy"]}


def _center(folder: Path, cluster: str = "1x1xH100-80G", **settings: object) -> Center:
    return Center(folder, cluster=cluster, wrap=Working, settings=JobsSettings(**settings))  # type: ignore[arg-type]


def _builds(center: Center) -> list[Row]:
    query = sa.select(attempts).where(attempts.c.owner_kind == BUILD).order_by(attempts.c.id)
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


def test_a_build_begins_on_a_full_node_and_allocates_no_more_than_it_has(tmp_path: Path) -> None:
    center = _center(tmp_path)
    report = center.simulated.nodes().value[0]  # type: ignore[union-attr]
    whole = {"cpus": report.cpus, "memory_gib": report.memory_gib}
    center.submit(per_task=whole, simulate="600s")
    center.run(3)
    waiting = center.submit(environment=NUMPY, simulate="3s")
    center.run(8)
    (build,) = _builds(center)
    (task,) = build["placement"]["tasks"]
    assert (task["cpu_milli"], task["memory_mib"]) == (0, 0)
    ready = center.store.read(lambda tx: tx.first(sa.select(preparations)))
    assert ready is not None and ready["state"] == "ready"
    assert center.job(waiting).state is JobState.QUEUED
