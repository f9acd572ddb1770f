"""Full queues: each limit says its name, its number and who can raise it, and none of others' refuses a tenant's reserve."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.store.jobs.harness import ORG, Center

from pearlstreet.base.errors import InvalidInput, PaymentRequired, TooMany
from pearlstreet.base.money import parse_yuan
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.compute.queueing import queue_limits
from pearlstreet.compute.queueing.planner_rows import load_quotas
from pearlstreet.compute.queueing.quota_use import quota_uses
from pearlstreet.compute.queueing.quotas import QuotaWish, set_quota
from pearlstreet.ledger.topups import top_up
from pearlstreet.store.core import Store
from pearlstreet.tenancy.model import SYSTEM
from pearlstreet.tenancy.orgs import create_org, create_project

NODE = {"accelerator": "H100", "count": 8, "cpus": 8, "memory_gib": 64}


@pytest.fixture
def center(tmp_path: Path, store: Store) -> Center:
    made = Center(tmp_path, database=store.database)
    org = create_org(made.store, SYSTEM, "small")
    top_up(made.store, SYSTEM, org.id, parse_yuan("9000"))
    return made


def _limit(center: Center, most: int, project: str | None = None) -> None:
    set_quota(center.store, SYSTEM, ORG, QuotaWish("queued_jobs", maximum=most), project=project)
    center.clock.advance(2)


def _submit(center: Center, org: str = ORG, count: int = 1, **more: object) -> str:
    array = {"array": {"size": count}} if count > 1 else {}
    return center.submit(org=org, per_task=NODE, **array, **more)


def test_a_full_queue_of_one_refuses_nothing_of_anothers_reserve(
    center: Center, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_limits, "CENTER_MAX", 30)
    monkeypatch.setattr(queue_limits, "RESERVE", 10)
    _submit(center, count=40)
    with pytest.raises(TooMany) as refused:
        _submit(center)
    assert "The center's queue is full: it holds 30 jobs beside 10 of each organisation" in str(refused.value)
    _submit(center, org="small", count=9)
    _submit(center, org="small")
    with pytest.raises(TooMany, match="of which yours has 10"):
        _submit(center, org="small")
    with pytest.raises(TooMany):
        _submit(center)


def test_the_limits_of_organisation_and_project_are_told_by_name_and_number(center: Center) -> None:
    create_project(center.store, SYSTEM, ORG, "second")
    _limit(center, 3, project="second")
    _limit(center, 5)
    _submit(center, count=3, project="second")
    with pytest.raises(TooMany) as refused:
        _submit(center, project="second")
    assert "The project's queue is full: 3 of at most 3 jobs wait, and this adds 1" in str(refused.value)
    assert "the center's operators" in str(refused.value.hint)
    _submit(center, count=2)
    with pytest.raises(
        TooMany, match="The organisation's queue is full: 5 of at most 5 jobs wait, and this adds 7"
    ):
        _submit(center, count=7)
    _limit(center, 6)
    _submit(center)
    used = {
        use.quota.project_id is None: use.used for use in quota_uses(center.store, SYSTEM, center.runtime)
    }
    assert used == {True: 6, False: 3}
    assert center.store.read(load_quotas) == [], "the planner has nothing to do with them"


def test_places_are_free_again_when_jobs_have_ended(center: Center) -> None:
    _limit(center, 2)
    first, _ = _submit(center), _submit(center)
    with pytest.raises(TooMany):
        _submit(center)
    center.finish(first, within_s=300)
    _submit(center)


def test_what_is_refused_for_another_reason_fills_no_queue(center: Center) -> None:
    create_org(center.store, SYSTEM, "broke")
    for _ in range(3):
        with pytest.raises(PaymentRequired):
            _submit(center, org="broke", count=5)
    counts = center.runtime.queue_counts
    assert counts.by_org.total() == counts.shared == 0
    assert center.store.read(lambda tx: tx.scalar(sa.select(sa.func.count()).select_from(jobs))) == 0


@pytest.mark.parametrize(
    "wish",
    [
        QuotaWish("queued_jobs"),
        QuotaWish("queued_jobs", maximum=1.5),
        QuotaWish("queued_jobs", maximum=-1),
        QuotaWish("queued_jobs", maximum=queue_limits.CENTER_MAX + 1),
        QuotaWish("queued_jobs", guaranteed=1, maximum=2),
        QuotaWish("queued"),
    ],
)
def test_a_quota_on_waiting_jobs_is_a_maximum_in_whole_jobs(tmp_path: Path, wish: QuotaWish) -> None:
    with pytest.raises(InvalidInput):
        set_quota(Center(tmp_path).store, SYSTEM, ORG, wish)
