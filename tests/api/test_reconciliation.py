"""Metered time that differs from a cluster's accounting is listed, and corrected by new postings, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pearlstreet.base.clock import US_PER_S, from_rfc3339
from pearlstreet.base.outcome import Done, Retry
from pearlstreet.base.text import text
from pearlstreet.compute.engines.accounts import JobAccount
from tests.api.world import World, a_world

PATH = "/engines/simulated/reconcile"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A center whose simulated engine gets accounts as Slurm keeps them."""
    with a_world(tmp_path) as made:
        yield made


def _ended_attempt(world: World) -> dict[str, Any]:
    per_task = {"cpus": 1, "memory_gib": 1, "accelerator": "H100", "count": 1}
    job = world.submit(per_task=per_task, time_limit="2h", simulate="4m")
    world.until(job, "succeeded")
    found: dict[str, Any] = world.get(f"/jobs/{job}/attempts").json()["items"][-1]
    return {**found, "job": job}


def _account(world: World, attempt: dict[str, Any], before_s: float, after_s: float) -> None:
    start_us, end_us = (from_rfc3339(attempt[name]) for name in ("started", "ended"))
    account = JobAccount(
        attempt["id"], "4711", start_us - int(before_s * US_PER_S), end_us + int(after_s * US_PER_S)
    )
    world.runtime.engines["simulated"].accounts = lambda since_us: Done((account,))  # type: ignore[attr-defined]


def test_an_engine_without_accounts_says_so(world: World) -> None:
    assert world.post(PATH, "system").status_code == 409


def test_accounting_that_does_not_answer_is_named(world: World) -> None:
    silent = Retry(5.0, text("Slurm accounting storage is disabled"))
    world.runtime.engines["simulated"].accounts = lambda since_us: silent  # type: ignore[attr-defined]
    answer = world.post(PATH, "system")
    assert answer.status_code == 503 and "accounting storage is disabled" in answer.text


@pytest.mark.parametrize(("before_s", "after_s"), [(3.0, 2.0), (-2.0, -1.5), (2.0, -3.0)])
def test_a_difference_is_corrected_to_the_accounted_time_and_only_once(
    world: World, before_s: float, after_s: float
) -> None:
    attempt = _ended_attempt(world)
    cost = _cost(world, attempt["job"])
    _account(world, attempt, before_s, after_s)
    listed = world.post(PATH, "system", json={}).json()
    (difference,) = listed["differences"]
    assert difference["attempt"] == attempt["id"] and difference["cluster_job"] == "4711"
    assert difference["excess_s"] == pytest.approx(-before_s - after_s, abs=0.01)
    assert difference["corrected"] is False and _cost(world, attempt["job"]) == cost
    for _ in range(2):
        again = world.post(PATH, "system", json={"correct": True}).json()["differences"]
        assert [one["corrected"] for one in again] == ([True] if _ == 0 else [])
    ran_s = (from_rfc3339(attempt["ended"]) - from_rfc3339(attempt["started"])) / US_PER_S
    assert _cost(world, attempt["job"]) == pytest.approx(cost * (1 + (before_s + after_s) / ran_s), rel=1e-3)
    assert world.get("/ledger/proof", "audit").json()["is_right"] is True


def test_only_who_may_change_credit_corrects(world: World) -> None:
    _account(world, _ended_attempt(world), 5, 5)
    for role in ("owner", "viewer"):
        assert world.post(PATH, role, json={"correct": True}).status_code in (403, 404)


def _cost(world: World, job: str) -> float:
    """What a job has cost, after everything due was posted."""
    for _ in range(3):
        world.step()
    return float(world.get(f"/jobs/{job}/cost").json()["total"])
