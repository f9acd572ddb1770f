"""Engines that choose nodes or devices: the books follow them, and what does not start there in time is planned again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.fakes.engines import Wrapped, value_of
from tests.store.jobs.harness import Center

from pearlstreet.base.outcome import Done, Outcome
from pearlstreet.compute.engines.protocol import (
    AttemptOrder,
    AttemptReport,
    DeviceRequest,
    PlacementMode,
    TaskOrder,
    TaskState,
)
from pearlstreet.compute.execution.placement import CHOSEN_BY_ENGINE
from pearlstreet.compute.execution.tables import allocations
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.queueing.plan_applier import ENGINE_QUEUE

CARD = {"accelerator": "H100", "count": 1, "cpus": 1, "memory_gib": 8}
FOREIGN = "foreign"
MODEL = "h100-sxm-80g"


class _SharedCluster(Wrapped):
    """A cluster on which others run attempts of their own, which its list does not show to the center."""

    def scan(self) -> Outcome[Sequence[AttemptReport]]:
        answer = super().scan()
        if not isinstance(answer, Done):
            return answer
        return Done([one for one in answer.value if not one.attempt_id.startswith(FOREIGN)])


def _center(folder: Path, mode: PlacementMode, **fields: Any) -> Center:
    return Center(folder, wrap=_SharedCluster, placement=mode, **fields)


def _occupy(center: Center, node: str, devices: int, lasts_s: float = 3600) -> str:
    """Let somebody else use devices of a node."""
    attempt_id = f"{FOREIGN}_{node}"
    task = TaskOrder(0, node, 1, 8, wants=DeviceRequest(MODEL, devices))
    order = AttemptOrder(attempt_id, "job_foreign", "org_foreign", ("x",), (task,), simulate_s=lasts_s)
    value_of(center.simulated.cluster.start(order))
    return attempt_id


def _booked(center: Center) -> dict[str, set[tuple[str, int]]]:
    rows = center.store.read(lambda tx: tx.rows(sa.select(allocations)))
    found: dict[str, set[tuple[str, int]]] = {}
    for row in rows:
        found.setdefault(row["attempt_id"], set()).add((row["node"], row["device"]))
    return found


def _held(center: Center) -> dict[str, set[tuple[str, int]]]:
    return {
        kept.attempt_id: {(task.node, grant.index) for task in kept.tasks for grant in task.devices}
        for kept, _ in center.simulated.cluster.living()
        if not kept.attempt_id.startswith(FOREIGN)
    }


@pytest.mark.parametrize("mode", ["node", "engine"])
def test_jobs_run_and_are_billed_where_an_engine_chooses(tmp_path: Path, mode: PlacementMode) -> None:
    center = _center(tmp_path, mode)
    jobs = [center.submit(per_task=CARD, simulate=f"{30 + number}s") for number in range(24)]
    jobs.append(center.submit(per_task={**CARD, "count": 2}, tasks=4))
    ended = center.finish(*jobs)
    assert {job.state for job in ended} == {JobState.SUCCEEDED}
    assert all(job.attempts == 1 for job in ended), "what was planned fitted"
    center.check_books()
    assert center.held_devices() == 0


def test_the_books_follow_the_engine_to_other_nodes_and_devices(tmp_path: Path) -> None:
    center = _center(tmp_path, "engine")
    _occupy(center, "h100-0001", 6)
    jobs = [center.submit(per_task={**CARD, "count": 3}, simulate="600s") for _ in range(2)]
    center.run(20)
    assert {center.job(job).state for job in jobs} == {JobState.RUNNING}
    assert _booked(center) == _held(center)
    for job in jobs:
        (attempt,) = center.attempts(job)
        (task,) = attempt["placement"]["tasks"]
        assert task["node"] == "h100-0002", "the first node has two devices left"
        assert {(task["node"], grant["index"]) for grant in task["devices"]} == _held(center)[attempt["id"]]
    moved = [center.attempts(job)[0]["placement"].get(CHOSEN_BY_ENGINE) for job in jobs]
    assert True in moved
    center.finish(*jobs)
    center.check_books()


def test_what_does_not_start_in_time_is_withdrawn_and_planned_again(tmp_path: Path) -> None:
    center = _center(tmp_path, "engine")
    others = [_occupy(center, node, 8) for node in ("h100-0001", "h100-0002")]
    job = center.submit(per_task=CARD, simulate="60s")
    center.run(50)
    (waiting,) = center.attempts(job)
    assert value_of(center.simulated.probe(waiting["id"])).state is TaskState.PENDING
    assert (waiting["state"], waiting["stop_reason"]) == ("starting", None)
    center.run(20)
    attempts = center.attempts(job)
    assert (attempts[0]["state"], attempts[0]["stop_reason"]) == ("ended", "withdrawn")
    assert (attempts[0]["started_us"], attempts[0]["span_sequence"]) == (None, 0), "nothing is billed"
    for other in others:
        value_of(center.simulated.cluster.stop(other, grace_s=0))
    (done,) = center.finish(job)
    assert done.state is JobState.SUCCEEDED
    for attempt in center.attempts(job)[:-1]:
        withdrawn = value_of(center.simulated.probe(attempt["id"]))
        assert (withdrawn.state, withdrawn.started_us) == (TaskState.EXITED, None), "it never started later"
    center.check_books()


def test_the_center_submits_only_so_many_that_wait(tmp_path: Path) -> None:
    center = _center(tmp_path, "engine", submit_window=2)
    others = [_occupy(center, node, 8) for node in ("h100-0001", "h100-0002")]
    jobs = [center.submit(per_task=CARD, simulate="60s") for _ in range(5)]
    for _ in range(30):
        center.run(1)
        states = [center.job(job).state for job in jobs]
        assert sum(state in (JobState.PLACED, JobState.STARTING) for state in states) <= 2
    queued = [job for job in jobs if center.job(job).state is JobState.QUEUED]
    assert len(queued) == 3
    assert {center.job(job).reason_code for job in queued} == {ENGINE_QUEUE}
    assert "2 attempts wait for machines in engine simulated" in str(center.job(queued[0]).reason)
    for other in others:
        value_of(center.simulated.cluster.stop(other, grace_s=0))
    assert {job.state for job in center.finish(*jobs)} == {JobState.SUCCEEDED}
    center.check_books()


def test_an_attempt_that_its_engine_moves_while_it_runs_is_booked_there(tmp_path: Path) -> None:
    center = _center(tmp_path, "engine")
    job = center.submit(per_task=CARD, simulate="600s")
    center.run(10)
    (attempt,) = center.attempts(job)
    moved = center.simulated.cluster._memory.attempts[attempt["id"]]
    (task,) = moved.kept.tasks
    other = replace(task, node="h100-0002" if task.node == "h100-0001" else "h100-0001")
    center.simulated.cluster._memory.place(moved, replace(moved.kept, tasks=(other,)), moved.timeline)
    center.run(5)
    assert _booked(center) == _held(center) == {attempt["id"]: {(other.node, task.devices[0].index)}}
