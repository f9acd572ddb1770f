"""A handful of lives of jobs on PostgreSQL: the same services and loops as in test_lifecycle.py, which is on SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.store.jobs.harness import Center

from pearlstreet.compute.jobs import service
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.store import audit
from pearlstreet.store.core import Store
from pearlstreet.tenancy.model import SYSTEM

CARD = {"accelerator": "H100", "count": 1, "cpus": 1, "memory_gib": 1}
NODE = {"accelerator": "H100", "count": 8, "cpus": 8, "memory_gib": 64}


@pytest.fixture
def center(tmp_path: Path, postgres_store: Store) -> Center:
    return Center(tmp_path, database=postgres_store.database, tick_s=1)


def test_a_job_a_gang_and_what_depends_on_them(center: Center) -> None:
    job = center.submit(per_task=NODE)
    gang = center.submit(per_task=NODE, tasks=2)
    last = center.submit(per_task=CARD, depends_on=[{"job": gang, "condition": "succeeded"}])
    ended = center.finish(job, gang, last)
    assert [found.state for found in ended] == [JobState.SUCCEEDED] * 3
    center.run(10)
    assert center.held_devices() == 0
    center.check_books()
    assert center.store.read(audit.verify).problem is None


def test_an_array_runs_and_what_waits_of_it_is_cancelled(center: Center) -> None:
    array = center.submit(per_task=CARD, array={"size": 12, "max_running": 3}, simulate="20s")
    center.run(30)
    service.cancel_job(center.store, SYSTEM, array)
    center.finish(array)
    states = {center.job(element).state for element in center.elements(array)}
    assert states == {JobState.SUCCEEDED, JobState.CANCELLED}
    center.run(10)
    assert center.held_devices() == 0
    center.check_books()


def test_an_urgent_job_takes_the_place_of_a_preemptible_one(center: Center) -> None:
    low = [center.submit(per_task=NODE, preemptible=True, simulate="900s", time_limit="1h") for _ in range(2)]
    center.tick_s = 5
    center.run(660)  # nobody is preempted in its first minutes
    center.tick_s = 1
    high = center.submit(per_task=NODE, priority=50, simulate="30s")
    (urgent,) = center.finish(high)
    assert urgent.state is JobState.SUCCEEDED
    center.tick_s = 10
    assert [job.state for job in center.finish(*low)] == [JobState.SUCCEEDED] * 2
    assert sorted(len(center.attempts(job)) for job in low) == [1, 2]
    center.check_books()
