"""The center's minimum isolation: no attempt starts below it, jobs wait and say why, submits are refused without a node."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.store.jobs.harness import Center

from pearlstreet.base.errors import Conflict
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.pool_view import look
from pearlstreet.compute.jobs.runtime import JobsSettings
from pearlstreet.compute.jobs.views import why
from pearlstreet.store.tables import outbox
from pearlstreet.tenancy.model import SYSTEM

STRICT = JobsSettings(minimum_isolation="bubblewrap")
WHOLE = {"accelerator": "H100", "count": 8, "cpus": 1, "memory_gib": 1}


def make_center(folder: Path, nodes: int = 2) -> Center:
    """A center that demands bubblewrap, on nodes that have it."""
    center = Center(folder, cluster=f"{nodes}x8xH100-80G", settings=STRICT)
    for name in names(center):
        center.simulated.cluster.set_isolation(name, "bubblewrap")
    center.run(10)
    return center


def names(center: Center) -> list[str]:
    return [node.report.name for node in look(center.store, SYSTEM, center.runtime).nodes]


def why_of(center: Center, job: str) -> tuple[str, str]:
    found = why(center.store, SYSTEM, center.runtime, job)
    return found.code, str(found.sentence)


def test_a_node_that_falls_below_takes_no_more_jobs_and_what_runs_there_goes_on(tmp_path: Path) -> None:
    center = make_center(tmp_path)
    first, second = names(center)
    runs = center.submit(per_task=WHOLE, simulate="200s")
    center.run(5)
    (attempt,) = center.attempts(runs)
    (its_node,) = {task["node"] for task in attempt["placement"]["tasks"]}
    other = second if its_node == first else first
    for name in (first, second):
        center.simulated.cluster.set_isolation(name, "landlock" if name == other else "bubblewrap")
    center.run(10)
    waits = center.submit(per_task=WHOLE)
    center.run(10)
    assert center.job(runs).state is JobState.RUNNING
    assert center.job(waits).state is JobState.QUEUED
    code, sentence = why_of(center, waits)
    assert code == "capacity"
    assert f"Node {other} takes no jobs: it isolates them less than bubblewrap." in sentence
    ill = next(node for node in look(center.store, SYSTEM, center.runtime).nodes if node.report.name == other)
    assert not ill.report.healthy
    assert str(ill.report.health_reason) == (
        f"Node {other} isolates jobs by landlock only; this center demands bubblewrap"
    )
    topics = center.store.read(lambda tx: tx.rows(sa.select(outbox.c.topic)))
    assert "node.unhealthy" in {row["topic"] for row in topics}, "operators are told"
    center.simulated.cluster.set_isolation(other, "bubblewrap")
    center.finish(waits, runs)
    assert {task["node"] for task in center.attempts(waits)[0]["placement"]["tasks"]} <= {first, second}
    center.check_books()


def test_without_any_node_jobs_wait_and_say_so_and_submits_are_refused(tmp_path: Path) -> None:
    center = make_center(tmp_path, nodes=1)
    (node,) = names(center)
    job = center.submit(per_task=WHOLE)
    center.simulated.cluster.set_isolation(node, "landlock")
    center.run(20)
    assert center.job(job).state is JobState.QUEUED
    said = (
        "This center demands that jobs are isolated by bubblewrap; its nodes isolate them by landlock at most"
    )
    assert why_of(center, job) == ("isolation", said)
    with pytest.raises(Conflict) as refusal:
        center.submit(per_task=WHOLE)
    assert str(refusal.value.message) == said
    center.simulated.cluster.set_isolation(node, "none")
    center.run(10)
    assert why_of(center, job)[1].endswith("isolated by bubblewrap, and no node isolates them")
    center.simulated.cluster.set_isolation(node, "bubblewrap")
    (done,) = center.finish(job)
    assert done.state is JobState.SUCCEEDED
    center.check_books()


def test_what_the_engine_refuses_before_the_pool_knows_is_planned_again_and_not_held_against_the_job(
    tmp_path: Path,
) -> None:
    center = make_center(tmp_path, nodes=1)
    (node,) = names(center)
    loops = center.loops
    center.loops = tuple(loop for loop in loops if loop.name != "inventory")
    center.simulated.cluster.set_isolation(node, "landlock")
    job = center.submit(per_task=WHOLE)
    for _ in range(130):  # each pause before the job is planned again is twice as long as the one before
        center.step(4)
    refused = center.attempts(job)
    assert len(refused) > 5, "more than a job may lose to failures of machines"
    assert {attempt["stop_reason"] for attempt in refused if attempt["ended_us"]} == {"withdrawn"}
    assert all(attempt["started_us"] is None for attempt in refused), "nothing ran"
    center.loops = loops
    center.simulated.cluster.set_isolation(node, "bubblewrap")
    (done,) = center.finish(job)
    assert done.state is JobState.SUCCEEDED
    center.check_books()


def test_environments_are_not_built_below_it_either(tmp_path: Path) -> None:
    center = make_center(tmp_path, nodes=1)
    (node,) = names(center)
    job = center.submit(per_task=WHOLE, environment={"python": "3.11", "packages": ["numpy"]})
    center.simulated.cluster.set_isolation(node, "landlock")
    center.run(30)
    assert why_of(center, job)[0] == "isolation"


def test_a_center_that_demands_nothing_runs_jobs_anywhere(tmp_path: Path) -> None:
    center = Center(tmp_path, cluster="1x8xH100-80G")
    (node,) = names(center)
    center.simulated.cluster.set_isolation(node, "none")
    center.run(5)
    (done,) = center.finish(center.submit(per_task=WHOLE))
    assert done.state is JobState.SUCCEEDED
