"""One tenant's full queue keeps no other tenant's jobs from the planner, and says so to its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.store.jobs.harness import ORG, Center

from pearlstreet.base.money import parse_yuan
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.compute.jobs.views import why
from pearlstreet.compute.queueing import planning, queue_limits
from pearlstreet.compute.queueing.planning_window import load_window, window_size
from pearlstreet.compute.queueing.quotas import QuotaWish, set_quota
from pearlstreet.ledger.topups import top_up
from pearlstreet.store.core import Store
from pearlstreet.tenancy.model import SYSTEM
from pearlstreet.tenancy.orgs import create_org, create_project

NODE = {"accelerator": "H100", "count": 8, "cpus": 8, "memory_gib": 64}
CARD = {"accelerator": "H100", "count": 1, "cpus": 1, "memory_gib": 1}


def _neighbour(center: Center, slug: str = "small") -> str:
    org = create_org(center.store, SYSTEM, slug)
    top_up(center.store, SYSTEM, org.id, parse_yuan("9000"))
    return slug


def _submit(center: Center, **spec: Any) -> str:
    """Submit a job a millisecond after the one before."""
    center.clock.advance(0.001)
    return center.submit(**spec)


def _with_places(monkeypatch: pytest.MonkeyPatch, places: int) -> None:
    monkeypatch.setattr(planning, "window_size", lambda devices, cpus: places)


def test_22000_waiting_jobs_of_one_tenant_hold_up_no_other(tmp_path: Path) -> None:
    center = Center(tmp_path, cluster="1x8xH100-80G")
    small = _neighbour(center)
    for _ in range(3):
        _submit(center, per_task=NODE, priority=100, time_limit="1h", array={"size": 7_400})
    center.run(1)
    job = _submit(center, org=small, per_task=NODE, simulate="5s")
    last = _submit(center, per_task=NODE)
    center.run(1)
    told = why(center.store, SYSTEM, center.runtime, last)
    assert told.code == "not_considered"
    assert "22199 jobs of its project are ahead" in str(told.sentence)
    assert "the first 4999" in str(told.sentence)
    assert why(center.store, SYSTEM, center.runtime, job).code == "capacity"
    (ended,) = center.finish(job, within_s=300)
    assert ended.state is JobState.SUCCEEDED, "it was the next to start, beside 22,000 of priority 100"


def test_a_priority_stops_and_passes_jobs_of_its_own_project_only(tmp_path: Path) -> None:
    center = Center(tmp_path, cluster="1x8xH100-80G", tick_s=5)
    small = _neighbour(center)
    foreign = _submit(center, org=small, per_task=NODE, preemptible=True, simulate="1200s", time_limit="1h")
    center.run(900)
    _submit(center, per_task=NODE, priority=100, simulate="60s")
    center.run(300)
    assert len(center.attempts(foreign)) == 1, "it was not stopped"
    assert center.finish(foreign)[0].state is JobState.SUCCEEDED


@pytest.fixture
def database_center(tmp_path: Path, store: Store) -> Center:
    """On SQLite and on PostgreSQL."""
    return Center(tmp_path, cluster="1x8xH100-80G", database=store.database)


def test_places_go_round_organisations_then_projects_then_by_priority(database_center: Center) -> None:
    center = database_center
    small = _neighbour(center)
    create_project(center.store, SYSTEM, ORG, "second")
    low = [_submit(center, per_task=NODE) for _ in range(6)]
    high = _submit(center, per_task=NODE, priority=9)
    others = [_submit(center, per_task=NODE, project="second") for _ in range(6)]
    foreign = [_submit(center, org=small, per_task=NODE) for _ in range(2)]
    window = center.store.read(lambda tx: load_window(tx, {}, most=8))
    assert {row.id for row in window.rows} == {high, *low[:2], *others[:3], *foreign}
    assert sorted(window.limits.values()) == [3, 3]
    assert window.waiting == 15
    held = center.store.read(lambda tx: load_window(tx, {high: (window.rows[0].org_id, low[0])}, most=99))
    assert high not in {row.id for row in held.rows}


def test_a_job_held_back_takes_no_place(database_center: Center) -> None:
    center = database_center
    mine = [_submit(center, per_task=NODE) for _ in range(4)]
    account = center.store.read(
        lambda tx: tx.execute(sa.select(jobs.c.org_id, jobs.c.project_id).where(jobs.c.id == mine[0])).one()
    )
    held = dict.fromkeys(mine[:2], (account.org_id, account.project_id))
    window = center.store.read(lambda tx: load_window(tx, held, most=2))
    assert [row.id for row in window.rows] == mine[2:]


def test_a_limited_array_takes_as_many_places_as_it_may_start(database_center: Center) -> None:
    center = database_center
    array = _submit(center, per_task=NODE, array={"size": 30, "max_running": 2})
    later = _submit(center, per_task=NODE)
    window = center.store.read(lambda tx: load_window(tx, {}, most=4))
    assert {row.id for row in window.rows} == {*center.elements(array)[:2], later}
    center.run(2)
    window = center.store.read(lambda tx: load_window(tx, {}, most=4))
    assert {row.id for row in window.rows} == {center.elements(array)[1], later}


def test_an_element_beyond_its_arrays_limit_is_told_so(tmp_path: Path) -> None:
    center = Center(tmp_path, cluster="1x8xH100-80G")
    array = _submit(center, per_task=CARD, array={"size": 30, "max_running": 2}, simulate="300s")
    center.run(3)
    assert why(center.store, SYSTEM, center.runtime, center.elements(array)[9]).code == "array_limit"


def test_an_element_behind_elements_that_wait_is_told_of_them(tmp_path: Path) -> None:
    center = Center(tmp_path, cluster="1x8xH100-80G")
    set_quota(center.store, SYSTEM, ORG, QuotaWish("cards", maximum=0.0))
    array = _submit(center, per_task=CARD, array={"size": 30, "max_running": 2}, simulate="300s")
    center.run(3)
    elements = center.elements(array)
    assert why(center.store, SYSTEM, center.runtime, elements[1]).code == "quota"
    told = why(center.store, SYSTEM, center.runtime, elements[9])
    assert told.code == "array_limit"
    assert elements[0] in str(told.sentence)


def test_a_reason_does_not_outlive_the_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever loses its place to a neighbour's jobs keeps no reason of before, in its row or in `why`."""
    _with_places(monkeypatch, 4)
    center = Center(tmp_path, cluster="1x8xH100-80G")
    small = _neighbour(center)
    mine = [_submit(center, per_task=NODE, simulate="900s", time_limit="1h") for _ in range(5)]
    center.run(2)
    assert center.job(mine[4]).reason_code == "capacity"
    for _ in range(3):
        _submit(center, org=small, per_task=NODE)
    center.run(6)
    told = why(center.store, SYSTEM, center.runtime, mine[4])
    assert told.code == "not_considered"
    assert "3 jobs of its project are ahead of it" in str(told.sentence)
    assert center.job(mine[4]).reason_code is None
    assert why(center.store, SYSTEM, center.runtime, mine[1]).code == "capacity"


def test_a_large_center_plans_more_waiting_jobs_in_a_cycle() -> None:
    assert window_size(devices=128, cpus=3_072) == 5_000
    assert window_size(devices=2_000, cpus=4_000) == 8_000
    assert window_size(devices=0, cpus=12_800) == 12_800, "jobs without accelerators take one core each"
    assert window_size(devices=50_000, cpus=1_000_000) == 20_000


def test_only_organisations_with_few_waiting_jobs_hurry_the_planner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_limits, "FEW", 2)
    center = Center(tmp_path, cluster="1x8xH100-80G")
    small = _neighbour(center)
    hurried: list[None] = []
    center.store.hints.listen(planning.PLAN_SOON, lambda: hurried.append(None))
    for expected in (1, 2, 2, 2):
        _submit(center, per_task=NODE)
        assert len(hurried) == expected
    _submit(center, org=small, per_task=NODE)
    assert len(hurried) == 3
