"""What the planner learns from the past is right, bounded, and read only once."""

from __future__ import annotations

from pathlib import Path

from tests.store.jobs.harness import Center

from pearlstreet.compute.jobs import learning
from pearlstreet.compute.jobs.learning import Demand, Services

CARD = {"accelerator": "H100", "count": 1, "cpus": 1, "memory_gib": 1}


def test_recent_requests_are_counted_once_and_forgotten_after_a_while(tmp_path: Path) -> None:
    center = Center(tmp_path)
    demand = Demand()
    center.submit(per_task=CARD)
    center.submit(per_task=CARD, tasks=2)
    center.submit(per_task={"cpus": 3}, array={"size": 4})
    for _ in range(2):
        counts = center.store.read(demand.learn)
        assert {request.cpu_milli: tasks for request, tasks in counts.items()} == {1000: 3, 3000: 4}
    center.clock.advance(2 * 86_400)
    center.submit(per_task=CARD)
    assert {r.cpu_milli: n for r, n in center.store.read(demand.learn).items()} == {1000: 4, 3000: 4}
    assert center.store.read(Demand().learn) == center.store.read(demand.learn), "a restart learns the same"
    center.clock.advance(2 * 86_400)
    assert {r.cpu_milli: n for r, n in center.store.read(demand.learn).items()} == {1000: 1}


def test_what_is_kept_is_bounded(tmp_path: Path) -> None:
    center = Center(tmp_path)
    demand = Demand()
    for cpus in range(1, 12):
        center.submit(per_task={"cpus": cpus})
        center.clock.advance(1)
    before, learning.JOBS_MAX = learning.JOBS_MAX, 5
    try:
        counts = center.store.read(demand.learn)
    finally:
        learning.JOBS_MAX = before
    assert sorted(request.cpu_milli for request in counts) == [7000, 8000, 9000, 10000, 11000]


def test_device_time_of_what_succeeded_is_learnt(tmp_path: Path) -> None:
    center = Center(tmp_path)
    services = Services()
    assert center.store.read(services.learn) == []
    job = center.submit(per_task={**CARD, "count": 4}, simulate="100s")
    center.finish(job)
    (learnt,) = center.store.read(services.learn)
    assert 4 * 99e6 < learnt < 4 * 110e6
    center.finish(center.submit(per_task=CARD, simulate="50s"))
    assert len(center.store.read(services.learn)) == 2
    assert center.store.read(Services().learn) == center.store.read(services.learn)
