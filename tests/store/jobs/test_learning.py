"""What the planner learns from the past is right, bounded, and read only once."""

from __future__ import annotations

from pathlib import Path

from tests.store.jobs.harness import Center

from pearlstreet.compute.queueing import learning
from pearlstreet.compute.queueing.learning import RequestHistory, RuntimeHistory
from pearlstreet.compute.queueing.planner_rows import user_of
from pearlstreet.tenancy.model import SYSTEM

CARD = {"accelerator": "H100", "count": 1, "cpus": 1, "memory_gib": 1}


def test_recent_requests_are_counted_once_and_forgotten_after_a_while(tmp_path: Path) -> None:
    center = Center(tmp_path)
    demand = RequestHistory()
    center.submit(per_task=CARD)
    center.submit(per_task=CARD, tasks=2)
    center.submit(per_task={"cpus": 3}, array={"size": 4})
    for _ in range(2):
        counts = center.store.read(demand.learn)
        assert {request.cpu_milli: tasks for request, tasks in counts.items()} == {1000: 3, 3000: 4}
    center.clock.advance(2 * 86_400)
    center.submit(per_task=CARD)
    assert {r.cpu_milli: n for r, n in center.store.read(demand.learn).items()} == {1000: 4, 3000: 4}
    assert center.store.read(RequestHistory().learn) == center.store.read(demand.learn), (
        "a restart learns the same"
    )
    center.clock.advance(2 * 86_400)
    assert {r.cpu_milli: n for r, n in center.store.read(demand.learn).items()} == {1000: 1}


def test_what_is_kept_is_bounded(tmp_path: Path) -> None:
    center = Center(tmp_path)
    demand = RequestHistory()
    for cpus in range(1, 12):
        center.submit(per_task={"cpus": cpus})
        center.clock.advance(1)
    before, learning.JOBS_MAX = learning.JOBS_MAX, 5
    try:
        counts = center.store.read(demand.learn)
    finally:
        learning.JOBS_MAX = before
    assert sorted(request.cpu_milli for request in counts) == [7000, 8000, 9000, 10000, 11000]


def test_device_time_and_run_time_of_what_succeeded_is_learnt(tmp_path: Path) -> None:
    center = Center(tmp_path)
    ended = RuntimeHistory()
    center.store.read(ended.learn)
    assert list(ended.services) == []
    center.finish(center.submit(per_task={**CARD, "count": 4}, simulate="100s", name="train-1"))
    center.store.read(ended.learn)
    (learnt,) = ended.services
    assert 4 * 99e6 < learnt.device_us < 4 * 110e6
    assert (learnt.devices, learnt.user) == (4, user_of(SYSTEM.label))
    assert 0 < learnt.submitted_us <= center.clock.now_us()
    center.finish(center.submit(per_task={**CARD, "count": 4}, simulate="120s", name="train-2"))
    center.store.read(ended.learn)
    again = RuntimeHistory()
    center.store.read(again.learn)
    assert list(again.services) == list(ended.services), "a restart learns the same"
    ask = center.job(center.submit(per_task={**CARD, "count": 4}, name="train-3")).ask
    assert ask is not None
    guess = ended.predict(center.org.id, user_of(SYSTEM.label), "train-3", ask)
    assert guess is not None
    assert 100 < guess.likely_s < 120
    assert ended.predict("org_of_others", user_of(SYSTEM.label), "train-3", ask) is None


def test_the_planner_sees_predictions_of_what_waits_and_runs(tmp_path: Path) -> None:
    center = Center(tmp_path, cluster="1x4xH100-80G", tick_s=2)
    for number in range(3):
        center.finish(center.submit(per_task={**CARD, "count": 4}, simulate="80s", name=f"train-{number}"))
    center.run(70)
    running = center.submit(per_task={**CARD, "count": 4}, simulate="80s", name="train-8")
    center.run(10)
    waiting = center.submit(per_task={**CARD, "count": 4}, simulate="80s", name="train-9")
    center.run(10)
    seen = center.runtime.planner_status.snapshot()
    assert seen is not None
    assert center.job(running).attempt_id in seen.running.ids
    assert seen.waiting.ids == (waiting,)
    assert 78e6 < seen.waiting.predicted_us[0] < 90e6
    assert 78e6 < seen.running.predicted_end_us[0] - seen.running.started_us[0] < 90e6
