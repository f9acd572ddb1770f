"""Queues restricted to engines: where their jobs run, what refuses them, and what *why* says."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.store.jobs.harness import Center

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import text
from pearlstreet.compute.engines.simulated import nodes_from
from pearlstreet.compute.execution.engine_states import EngineStates
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.pool_view import look
from pearlstreet.compute.jobs.views import JobFilter, list_jobs, why
from pearlstreet.compute.queueing.engine_choice import common_engines
from pearlstreet.compute.queueing.policy import service
from pearlstreet.compute.queueing.policy.model import from_row, to_rows
from pearlstreet.compute.queueing.policy.service import QueueWish
from pearlstreet.compute.scheduling.rows import NO_DOMAIN
from pearlstreet.tenancy.model import SYSTEM

NODE = {"accelerator": "any", "count": 8, "cpus": 1, "memory_gib": 1}


@pytest.fixture
def center(tmp_path: Path) -> Center:
    made = Center(tmp_path, cluster="1x8xH100-80G", others={"west": "2x8xL40S"})
    made.run(2)
    return made


def _set(center: Center, *engines: str, queue: str = "default") -> None:
    wish = QueueWish(engines=engines)
    service.set_queue(center.store, SYSTEM, center.runtime, queue, wish)


def _engine_of(center: Center, job: str) -> str:
    return str(center.attempts(job)[-1]["engine"])


def test_jobs_of_a_queue_run_on_its_engines_only(center: Center) -> None:
    _set(center, "west", queue="west-only")
    jobs = [center.submit(per_task=NODE, queue="west-only") for _ in range(3)]
    center.run(5)
    first, second, third = sorted(jobs, key=lambda job: center.job(job).state is JobState.QUEUED)
    assert {_engine_of(center, first), _engine_of(center, second)} == {"west"}
    here = why(center.store, SYSTEM, center.runtime, first).here
    assert here is not None and here.engine == "west"
    listed = {job.id: job.engine for job in list_jobs(center.store, SYSTEM, JobFilter())}
    assert (listed[first], listed[third]) == ("west", None)
    waits = why(center.store, SYSTEM, center.runtime, third)
    assert center.job(third).state is JobState.QUEUED, "the node of the other engine is idle"
    assert waits.code == "capacity"
    spans_all = center.submit(per_task=NODE)
    center.run(5)
    assert _engine_of(center, spans_all) == "simulated", "another queue spans all engines"


def test_a_job_that_the_engines_of_its_queue_never_run_is_refused(center: Center) -> None:
    _set(center, "west")
    with pytest.raises(
        InvalidInput, match="The engines of the queue default could never run the job"
    ) as caught:
        center.submit(per_task=NODE | {"accelerator": "H100"})
    assert "west" in str(caught.value.problems[0].message) + str(caught.value.problems[1].message)
    _set(center, "west", "simulated")
    center.finish(center.submit(per_task=NODE | {"accelerator": "H100"}))


def test_waiting_jobs_follow_when_the_queue_gets_other_engines(center: Center) -> None:
    blockers = [center.submit(per_task=NODE, simulate="500s") for _ in range(3)]
    center.run(5)
    job = center.submit(per_task=NODE | {"accelerator": "H100"})
    center.run(2)
    _set(center, "west")
    center.run(6)
    said = why(center.store, SYSTEM, center.runtime, job)
    assert "runs on engines west only" in str(said.sentence)
    _set(center)
    center.finish(*blockers)
    center.finish(job)
    assert _engine_of(center, job) == "simulated"


def test_unknown_engines_are_refused_and_the_rest_of_the_queue_stays(center: Center) -> None:
    service.set_queue(
        center.store, SYSTEM, center.runtime, "old", QueueWish(rank=3, title="Old", engines=["west"])
    )
    with pytest.raises(InvalidInput) as caught:
        _set(center, "west", "wset", queue="old")
    assert caught.value.problems[0].field == "engines[1]"
    assert "simulated, west" in str(caught.value.problems[0].hint)
    changed = service.set_queue(center.store, SYSTEM, center.runtime, "old", QueueWish(title="Older"))
    assert (changed.title, changed.engines, changed.policy.rank) == ("Older", ("west",), 3)
    newest = service.history(center.store, SYSTEM, center.runtime)[1]
    assert newest.changed["queue old"][1] == {"rank": 3, "title": "Old", "engines": ["west"]}


def test_a_policy_of_before_has_no_engines(center: Center) -> None:
    policy = service.show_policy(center.store, SYSTEM, center.runtime)
    row = to_rows(policy) | {"number": 1, "made_by": "", "made_us": 0, "note": "", "back_to": None}
    row["queues"] = {"default": {"title": "", "allowed": []}}
    assert from_row(row).engines_of("default") == ()


def test_engines_of_job_and_queue_are_those_of_both() -> None:
    assert common_engines((), ("a", "b")) == ("a", "b")
    assert common_engines(("a",), ()) == ("a",)
    assert common_engines(("a", "b"), ("b", "c")) == ("b",)
    assert common_engines(("a",), ("b",)) == (NO_DOMAIN,)


def test_the_pool_is_shown_by_engine_and_a_view_calls_no_engine(
    center: Center, monkeypatch: pytest.MonkeyPatch
) -> None:
    center.run(4)
    for engine in center.runtime.engines.values():
        monkeypatch.setattr(type(engine), "nodes", _not_called)
    center.submit(per_task=NODE | {"count": 3})
    pool = look(center.store, SYSTEM, center.runtime)
    assert [(one.name, one.nodes, one.cards) for one in pool.by_engine()] == [
        ("simulated", 1, 8),
        ("west", 2, 16),
    ]
    assert all(device.temperature_c is not None for node in pool.nodes for device in node.report.devices), (
        "sensor readings are those of the last inventory"
    )


def _not_called(*_: object) -> None:
    raise AssertionError("a view of the pool must not wait for an engine")


def test_a_silent_engine_shows_no_readings_of_before() -> None:
    states = EngineStates()
    states.note_answer("west", 1, nodes_from("1x1xL40S"))
    assert list(states.reports()) == ["l40s-0001"]
    states.note_failure("west", text("gone"), 2)
    assert states.reports() == {}
