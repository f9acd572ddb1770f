"""What changes between a plan and its writing is honoured."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TypeVar

import pytest
from tests.store.jobs.harness import ORG, Center

from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.pool import inventory
from pearlstreet.compute.queueing.plan_applier import LEASE_S, Applier
from pearlstreet.compute.queueing.planning import LivePlanner
from pearlstreet.compute.queueing.quotas import QuotaWish, list_quotas, set_quota
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import SYSTEM

T = TypeVar("T")
CARD = {"accelerator": "H100", "count": 1, "cpus": 1, "memory_gib": 1}


@dataclass(frozen=True)
class Raced(Store):
    """A store to which something happens before every write."""

    before: Callable[[], object] = lambda: None

    def write(self, command: Callable[[Tx], T]) -> T:
        self.before()
        return super().write(command)


def _plan(center: Center, before: Callable[[], object]) -> None:
    """One cycle of the planner, with something between its look and its write."""
    raced = Raced(**{one.name: getattr(center.store, one.name) for one in fields(Store)}, before=before)
    next(loop for loop in center.loops if loop.name == "plan_jobs").step(raced)


def test_a_quota_that_is_cut_under_a_plan_is_not_exceeded(tmp_path: Path) -> None:
    center = Center(tmp_path, cluster="1x1xH100-80G")
    job = center.submit(per_task=CARD)

    def cut() -> None:
        if not list_quotas(center.store, SYSTEM, ORG):
            set_quota(center.store, SYSTEM, ORG, QuotaWish("cards", maximum=0.0))

    _plan(center, cut)
    assert center.job(job).state is JobState.QUEUED
    _plan(center, cut)
    assert (center.job(job).state, center.job(job).reason_code) == (JobState.QUEUED, "quota")
    center.check_books()


def test_a_quota_that_stands_keeps_no_plan_from_being_written(tmp_path: Path) -> None:
    center = Center(tmp_path, cluster="1x1xH100-80G")
    set_quota(center.store, SYSTEM, ORG, QuotaWish("cards", maximum=1.0))
    job = center.submit(per_task=CARD)
    _plan(center, lambda: None)
    assert center.job(job).state is JobState.PLACED


def _wait(center: Center, seconds: float) -> None:
    """Let time pass for all loops but the planner: nodes report, attempts start."""
    for _ in range(math.ceil(seconds)):
        center.clock.advance(1)
        for loop in center.loops:
            if loop.name != "plan_jobs":
                loop.step(center.store)


def test_a_server_that_stood_still_does_not_write_a_plan_that_others_have_overtaken(tmp_path: Path) -> None:
    """Its lease ran out meanwhile, and so did that of the server that planned in its place: the lease is free again."""
    center = Center(tmp_path, cluster="1x1xH100-80G,1x1xA100-80G")
    set_quota(center.store, SYSTEM, ORG, QuotaWish("cards", maximum=1.0))
    early = center.submit(per_task=CARD)
    other = LivePlanner(center.runtime, Applier(center.runtime.settings, owners=center.runtime.owners))
    urgent: list[str] = []

    def plan_meanwhile() -> None:
        if not urgent:
            urgent.append(center.submit(per_task=CARD | {"accelerator": "A100"}, priority=9, simulate="1h"))
            _wait(center, LEASE_S + 1)
            other.cycle(center.store)
            _wait(center, LEASE_S + 1)

    _plan(center, plan_meanwhile)
    assert center.job(urgent[0]).state is JobState.RUNNING
    assert center.job(early).state is JobState.QUEUED, "the quota is used up"
    _plan(center, lambda: None)
    assert center.job(early).reason_code == "quota"
    center.check_books()


def _drain(center: Center, name: str) -> None:
    inventory.drain(center.store, SYSTEM, name, "inspection")


def _report_ill(center: Center, name: str) -> None:
    reports = [replace(node.report, healthy=False) for node in center.store.read(inventory.all_nodes)]
    center.store.write(lambda tx: inventory.record_nodes(tx, "simulated", reports))


@pytest.mark.parametrize("change", [_drain, _report_ill])
def test_a_node_that_changes_in_the_very_moment_of_a_plan_gets_no_work(
    tmp_path: Path, change: Callable[[Center, str], None]
) -> None:
    """Its row was changed in the same microsecond before: the time of the last change does not tell the two apart."""
    center = Center(tmp_path, cluster="1x1xH100-80G")
    job = center.submit(per_task=CARD)
    inventory.undrain(center.store, SYSTEM, "h100-0001")
    _plan(center, lambda: change(center, "h100-0001"))
    assert center.job(job).state is JobState.QUEUED
    center.check_books()
