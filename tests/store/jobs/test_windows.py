"""Maintenance and reservations on a running center."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.store.jobs.harness import Center

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import Conflict, Forbidden, InvalidInput, NotFound
from pearlstreet.base.money import parse_yuan
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.runtime import JobsSettings
from pearlstreet.compute.queueing.windows import service
from pearlstreet.compute.queueing.windows.model import WindowKind, WindowWish
from pearlstreet.ledger.topups import top_up
from pearlstreet.store.tables import outbox
from pearlstreet.tenancy.model import SYSTEM, Actor
from pearlstreet.tenancy.orgs import create_org
from pearlstreet.tenancy.scopes import OrgRole

CARD = {"accelerator": "H100", "count": 1, "cpus": 1, "memory_gib": 1}
NODE = {"accelerator": "H100", "count": 8, "cpus": 1, "memory_gib": 1}


@pytest.fixture
def center(tmp_path: Path) -> Center:
    return Center(tmp_path, cluster="2x8xH100-80G", settings=JobsSettings(window_notice_s=120), tick_s=1)


def _maintain(center: Center, node: str, *, after_s: float, for_s: float = 600) -> str:
    begins = center.clock.now_us() + int(after_s * US_PER_S)
    wish = WindowWish(
        WindowKind.MAINTENANCE, begins + int(for_s * US_PER_S), begins, nodes=(node,), reason="new fans"
    )
    return service.make_window(center.store, SYSTEM, wish).id


def _node_of(center: Center, job: str) -> str:
    return str(center.attempts(job)[-1]["placement"]["tasks"][0]["node"])


def _told(center: Center) -> list[dict[str, str]]:
    query = sa.select(outbox.c.payload).where(outbox.c.topic == "job.maintenance")
    return [row["payload"] for row in center.store.read(lambda tx: tx.rows(query))]


def test_what_would_run_into_maintenance_goes_elsewhere_or_waits(center: Center) -> None:
    _maintain(center, "h100-0001", after_s=300)
    long = center.submit(per_task=NODE, simulate="900s", time_limit="30m")
    center.run(5)
    assert _node_of(center, long) == "h100-0002"
    longer = center.submit(per_task=NODE, simulate="900s", time_limit="30m")
    center.run(5)
    assert center.job(longer).state is JobState.QUEUED, "it would still run when the window begins"
    short = center.submit(per_task=NODE, simulate="60s", time_limit="2m")
    center.run(5)
    assert center.job(short).state is JobState.RUNNING
    assert _node_of(center, short) == "h100-0001"


def test_who_runs_into_it_is_told_before_and_stopped_not_sooner_than_it_was_told(center: Center) -> None:
    job = center.submit(per_task=NODE, simulate="3000s", time_limit="1h", name="train")
    center.run(5)
    window = _maintain(center, _node_of(center, job), after_s=60)
    center.run(30)
    (told,) = _told(center)
    assert (told["job"], told["name"], told["reason"]) == (job, "train", "new fans")
    assert any("under maintenance" in str(notice) for notice in center.job(job).notices)
    center.run(60)
    assert center.job(job).state is JobState.RUNNING, (
        "the window has begun, but the notice is not two minutes old"
    )
    center.run(60)
    first = center.attempts(job)[0]
    assert first["stop_reason"] == "withdrawn"
    center.run(60)
    assert center.job(job).state is JobState.RUNNING
    assert _node_of(center, job) != told["node"]
    assert len(_told(center)) == 1
    center.check_books()
    service.end_window(center.store, SYSTEM, window)
    with pytest.raises(Conflict):
        service.end_window(center.store, SYSTEM, window)


def test_an_array_is_told_of_once_and_nobody_when_it_is_taken_back(center: Center) -> None:
    center.submit(per_task=CARD, simulate="3000s", time_limit="1h", array={"size": 16})
    center.run(5)
    window = _maintain(center, "h100-0001", after_s=200)
    center.run(30)
    assert len(_told(center)) == 1
    service.end_window(center.store, SYSTEM, window)
    center.run(300)
    assert center.held_devices() == 16, "nothing was stopped"


def test_a_reserved_card_runs_jobs_of_its_organisation_only(center: Center) -> None:
    beta = create_org(center.store, SYSTEM, "beta")
    top_up(center.store, SYSTEM, beta.id, parse_yuan("9000"))
    until = center.clock.now_us() + 3600 * US_PER_S
    wish = WindowWish(WindowKind.RESERVATION, until, model="H100", cards=12, org="beta", reason="a course")
    made = service.make_window(center.store, SYSTEM, wish)
    assert sum(8 if held.devices is None else len(held.devices) for held in made.held) == 12
    mine = [center.submit(per_task=CARD, simulate="600s", time_limit="15m") for _ in range(6)]
    theirs = [center.submit("beta", per_task=CARD, simulate="600s", time_limit="15m") for _ in range(6)]
    center.run(10)
    assert [center.job(job).state for job in mine].count(JobState.RUNNING) == 4
    assert {center.job(job).state for job in theirs} == {JobState.RUNNING}
    with pytest.raises(InvalidInput, match="cannot be set up") as caught:
        service.make_window(
            center.store,
            SYSTEM,
            WindowWish(WindowKind.RESERVATION, until, model="H100", cards=0, org="beta", reason="x"),
        )
    assert caught.value.problems[0].field == "cards"
    with pytest.raises(InvalidInput) as caught:
        service.make_window(
            center.store,
            SYSTEM,
            WindowWish(WindowKind.RESERVATION, until, model="H100", cards=5, org="beta", reason="x"),
        )
    assert "4 of one model" in str(caught.value.problems[0].message)


def test_tenants_see_maintenance_and_their_own_reservations_and_set_up_none(center: Center) -> None:
    create_org(center.store, SYSTEM, "beta")
    _maintain(center, "h100-0001", after_s=300)
    until = center.clock.now_us() + 3600 * US_PER_S
    wish = WindowWish(WindowKind.RESERVATION, until, nodes=("h100-0002",), org="beta", reason="x")
    service.make_window(center.store, SYSTEM, wish)
    tenant = Actor(label="t", user_id="usr_t", orgs={center.org.id: OrgRole.OWNER})
    assert [one.kind for one in service.list_windows(center.store, tenant)] == [WindowKind.MAINTENANCE]
    assert len(service.list_windows(center.store, SYSTEM)) == 2
    with pytest.raises(Forbidden):
        service.make_window(center.store, tenant, wish)
    with pytest.raises(NotFound):
        service.end_window(center.store, SYSTEM, "win_00000000000000000000000000")


def test_what_is_wrong_with_a_window_is_said_at_its_field(center: Center) -> None:
    now = center.clock.now_us()
    wish = WindowWish(WindowKind.MAINTENANCE, now - 1, org="acme", reason=" ")
    with pytest.raises(InvalidInput) as caught:
        service.make_window(center.store, SYSTEM, wish)
    assert {problem.field for problem in caught.value.problems} == {"until", "reason", "nodes", "org"}
    with pytest.raises(InvalidInput) as caught:
        service.make_window(
            center.store,
            SYSTEM,
            WindowWish(WindowKind.MAINTENANCE, now + 10**9, nodes=("h100-001",), reason="x"),
        )
    assert "h100-0001" in str(caught.value.problems[0].hint)
