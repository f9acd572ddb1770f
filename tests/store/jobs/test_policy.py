"""The scheduling policy and its queues while a center runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.store.jobs.harness import Center

from pearlstreet.base.errors import Forbidden, InvalidInput, NotFound
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.compute.pool.inventory import get_node
from pearlstreet.compute.queueing.policy import service
from pearlstreet.compute.queueing.policy.service import QueueWish
from pearlstreet.ledger.prices import parse_prices, publish_prices
from pearlstreet.store.tables import audit
from pearlstreet.tenancy.model import SYSTEM, Actor
from pearlstreet.tenancy.orgs import create_org, create_project
from pearlstreet.tenancy.scopes import OperatorRole, OrgRole

NODE = {"accelerator": "H100", "count": 8, "cpus": 1, "memory_gib": 1}


@pytest.fixture
def center(tmp_path: Path) -> Center:
    return Center(tmp_path, cluster="1x8xH100-80G")


def _queue_of(center: Center, job: str) -> str:
    return str(center.store.read(lambda tx: tx.scalar(sa.select(jobs.c.queue).where(jobs.c.id == job))))


def _audited(center: Center) -> list[str]:
    return [row["action"] for row in center.store.read(lambda tx: tx.rows(sa.select(audit)))]


def test_a_change_rules_from_the_next_cycle_on_and_can_be_taken_back(center: Center) -> None:
    store, runtime = center.store, center.runtime
    blocker = center.submit(per_task=NODE, simulate="30s")
    center.run(2)
    first = center.submit(per_task=NODE, simulate="30s")
    urgent = center.submit(per_task=NODE, simulate="30s", priority=90)
    made = service.set_policy(
        store, SYSTEM, runtime, {"order": "fifo", "preemption": "none"}, note="exam week"
    )
    assert (made.number, made.note, made.made_by) == (1, "exam week", SYSTEM.label)
    center.finish(blocker)
    center.run(3)
    assert center.job(first).state is JobState.RUNNING, "first come, first served, whatever the priority"
    assert center.job(urgent).state is JobState.QUEUED
    back = service.roll_back(store, SYSTEM, runtime, 0)
    assert (back.number, back.back_to, back.planner) == (2, 0, runtime.policy.initial.planner)
    versions = service.history(store, SYSTEM, runtime)
    assert [one.policy.number for one in versions] == [2, 1]
    assert versions[1].changed["order"] == [back.planner.order, "fifo"]
    assert versions[0].changed["order"] == ["fifo", back.planner.order]
    assert _audited(center).count("policy.set") == _audited(center).count("policy.rollback") == 1


def test_what_says_nothing_new_makes_no_version(center: Center) -> None:
    rules = service.show_policy(center.store, SYSTEM, center.runtime)
    same = service.set_policy(center.store, SYSTEM, center.runtime, {"order": rules.planner.order})
    assert same.number == 0
    assert service.history(center.store, SYSTEM, center.runtime) == []


def test_wrong_settings_are_refused_all_at_once_with_suggestions(center: Center) -> None:
    wrong = {
        "order": "fair-shar",
        "dept": 3,
        "min_run_s": -1,
        "depth": 1.5,
        "grace_s": "long",
        "preempt_limit": True,
    }
    with pytest.raises(InvalidInput) as caught:
        service.set_policy(center.store, SYSTEM, center.runtime, wrong, default_queue="deafult")
    found = {problem.field: problem for problem in caught.value.problems}
    assert found.keys() == {*wrong, "default_queue"}
    assert "fair-share" in str(found["order"].hint)
    assert "depth" in str(found["dept"].hint)
    assert "default" in str(found["default_queue"].hint)
    with pytest.raises(NotFound):
        service.roll_back(center.store, SYSTEM, center.runtime, 7)


def test_a_setting_of_several_numbers_takes_a_rising_list(center: Center) -> None:
    set_policy, rules = service.set_policy, center.runtime
    made = set_policy(center.store, SYSTEM, rules, {"las_levels_h": [1, 10, 100]})
    assert made.planner.las_levels_h == (1.0, 10.0, 100.0)
    assert service.show_policy(center.store, SYSTEM, rules).planner == made.planner, "as it is read back"
    for wrong in ([], [3, 2], ["x"], [-1, 2], [float("nan")], "5"):
        with pytest.raises(InvalidInput):
            set_policy(center.store, SYSTEM, rules, {"las_levels_h": wrong})


def test_only_who_may_sets_it(center: Center) -> None:
    auditor = Actor(label="aud", user_id="usr_a", operator_roles=frozenset({OperatorRole.AUDIT}))
    tenant = Actor(label="ten", user_id="usr_t", orgs={center.org.id: OrgRole.OWNER})
    for actor in (auditor, tenant):
        with pytest.raises(Forbidden):
            service.set_policy(center.store, actor, center.runtime, {"order": "fifo"})
        with pytest.raises(Forbidden):
            service.set_queue(center.store, actor, center.runtime, "fast", QueueWish())
    assert service.history(center.store, auditor, center.runtime) == []
    with pytest.raises(Forbidden):
        service.history(center.store, tenant, center.runtime)


def test_jobs_wait_in_the_queue_they_name_if_it_is_theirs(center: Center) -> None:
    store, runtime = center.store, center.runtime
    other = create_org(store, SYSTEM, "beta")
    create_project(store, SYSTEM, "acme", "vision")
    service.set_queue(
        store, SYSTEM, runtime, "urgent", QueueWish(rank=-5, title="Paper deadlines", allowed=["acme/vision"])
    )
    assert _queue_of(center, center.submit()) == "default"
    assert _queue_of(center, center.submit(project="vision", queue="urgent")) == "urgent"
    for project, queue in (("default", "urgent"), ("vision", "urgnt")):
        with pytest.raises(InvalidInput) as caught:
            center.submit(project=project, queue=queue)
        assert caught.value.problems[0].field == "queue"
    assert "urgent" in str(caught.value.problems[0].hint)
    mine = Actor(label="t", user_id="usr_t", orgs={center.org.id: OrgRole.OWNER})
    foreign = Actor(label="f", user_id="usr_f", orgs={other.id: OrgRole.OWNER})
    assert [view.name for view in service.list_queues(store, mine, runtime)] == ["default", "urgent"]
    assert [view.name for view in service.list_queues(store, foreign, runtime)] == ["default"]
    assert not any(view.allowed for view in service.list_queues(store, mine, runtime)), (
        "names of others are theirs"
    )


def test_who_waits_in_a_queue_that_goes_moves_to_the_default_one(center: Center) -> None:
    store, runtime = center.store, center.runtime
    service.set_queue(store, SYSTEM, runtime, "old", QueueWish(settings={"order": "fifo", "grace_s": None}))
    blocker = center.submit(per_task=NODE, simulate="20s")
    center.run(2)
    job = center.submit(per_task=NODE, simulate="20s", queue="old")
    with pytest.raises(NotFound):
        service.remove_queue(store, SYSTEM, runtime, "older")
    service.remove_queue(store, SYSTEM, runtime, "old")
    assert _queue_of(center, job) == "default"
    center.finish(blocker, job)
    with pytest.raises(InvalidInput):
        service.remove_queue(store, SYSTEM, runtime, "default")


def test_another_queue_can_be_the_default(center: Center) -> None:
    store, runtime = center.store, center.runtime
    service.set_queue(store, SYSTEM, runtime, "common", QueueWish())
    service.set_policy(store, SYSTEM, runtime, {}, default_queue="common")
    assert _queue_of(center, center.submit()) == "common"
    service.set_queue(store, SYSTEM, runtime, "common", QueueWish(allowed=["acme/default"]))
    create_project(store, SYSTEM, "acme", "vision")
    with pytest.raises(InvalidInput, match="not for this project"):
        center.submit(project="vision")
    assert _queue_of(center, center.submit(project="vision", queue="default")) == "default"


def test_a_queue_of_lower_rank_is_served_first(center: Center) -> None:
    store, runtime = center.store, center.runtime
    service.set_queue(store, SYSTEM, runtime, "fast", QueueWish(rank=-5))
    blocker = center.submit(per_task=NODE, simulate="20s")
    center.run(2)
    usual = center.submit(per_task=NODE, simulate="20s")
    fast = center.submit(per_task=NODE, simulate="20s", queue="fast")
    center.finish(blocker)
    center.run(3)
    assert center.job(fast).state is JobState.RUNNING
    assert center.job(usual).state is JobState.QUEUED


def _prices(center: Center, **yuan: str) -> None:
    lines = [
        f'[[price]]\nresource = "{resource}"\nkind = "{kind}"\nyuan = "{price}"\n'
        for resource, kind, price in (
            ("accelerator/h100-sxm-80g", "card_hour", yuan["h100"]),
            ("accelerator/a100-sxm-80g", "card_hour", yuan["a100"]),
            ("accelerator/*", "card_hour", "9"),
            ("cpu", "core_hour", "0.1"),
            ("memory", "gib_hour", "0.01"),
            ("storage", "gib_month", "0.1"),
        )
    ]
    publish_prices(center.store, SYSTEM, parse_prices("\n".join(lines)))


def test_work_goes_where_a_yuan_does_most_by_the_prices_of_the_day(tmp_path: Path) -> None:
    center = Center(tmp_path, cluster="1x8xH100-80G,1x8xA100-80G")
    service.set_policy(center.store, SYSTEM, center.runtime, {"placement": "per-yuan"})
    any_card = {"accelerator": "any", "count": 1, "cpus": 1, "memory_gib": 1}

    def given() -> str:
        job = center.submit(per_task=any_card, simulate="30s")
        center.run(3)
        query = sa.select(attempts.c.placement).where(attempts.c.owner_id == job)
        node = center.store.read(lambda tx: tx.scalar(query))["tasks"][0]["node"]
        report = get_node(center.store, SYSTEM, node).report
        return report.devices[0].model

    _prices(center, h100="30", a100="5")
    assert given() == "a100-sxm-80g"
    _prices(center, h100="5", a100="30")
    assert given() == "h100-sxm-80g"
