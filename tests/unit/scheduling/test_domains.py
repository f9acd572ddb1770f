"""No gang spans domains: parts of a center whose machines belong to different engines."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.scheduling.test_planner import NOW_US, cards, devices, holds, job, node, reason, run, started

from pearlstreet.compute.scheduling.builder import build
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.feasible import feasible
from pearlstreet.compute.scheduling.model import snapshot_from_json
from pearlstreet.compute.scheduling.plan import Code
from pearlstreet.compute.scheduling.registry import PLACEMENTS
from pearlstreet.compute.scheduling.rows import NodeRow


def _two_engines() -> list[NodeRow]:
    return [replace(node(name), domain=name[0]) for name in ("a1", "a2", "b1", "b2")]


@pytest.mark.parametrize("placement", sorted(PLACEMENTS))
def test_a_gang_stays_in_one_domain(placement: str) -> None:
    held = [holds("x", "a1", range(1))]
    config = PlannerConfig(placement=placement)
    answer = run(config, nodes=_two_engines(), running=held, waiting=[job("g", cards(8), tasks=2)])
    assert {where for where, _ in devices(answer, "g")} == {"b1", "b2"}


def test_a_gang_larger_than_every_domain_is_impossible() -> None:
    answer = run(nodes=_two_engines(), waiting=[job("g", cards(8), tasks=3)])
    assert started(answer) == []
    assert reason(answer, "g").code is Code.IMPOSSIBLE


def test_a_gang_waits_for_one_domain_though_two_have_room_together() -> None:
    held = [holds("x", "a1", range(1)), holds("y", "b1", range(1))]
    answer = run(nodes=_two_engines(), running=held, waiting=[job("g", cards(8), tasks=2)])
    assert started(answer) == []
    why = reason(answer, "g")
    assert why.code is not Code.IMPOSSIBLE
    assert why.details[0].available == 1


def test_single_tasks_use_every_domain() -> None:
    jobs = [job(f"s{number}", cards(8), submitted_us=number) for number in range(4)]
    answer = run(nodes=_two_engines(), waiting=jobs)
    assert len(started(answer)) == 4


def test_a_job_that_may_grow_starts_and_grows_in_one_domain() -> None:
    elastic = job("e", cards(8), tasks=1, min_tasks=1, max_tasks=4)
    answer = run(PlannerConfig(elasticity="grow"), nodes=_two_engines(), waiting=[elastic])
    assert len({where[0] for where, _ in devices(answer, "e")}) == 1
    assert len(devices(answer, "e")) == 2


def test_a_submit_is_told_when_no_domain_is_large_enough() -> None:
    snapshot = build(now_us=NOW_US, nodes=_two_engines())
    assert feasible(snapshot, cards(8), 2) is None
    refused = feasible(snapshot, cards(8), 3)
    assert refused is not None and refused.code is Code.IMPOSSIBLE


def test_domains_survive_json_and_older_snapshots_have_one() -> None:
    written = build(now_us=NOW_US, nodes=_two_engines()).to_json()
    assert snapshot_from_json(written).nodes.domain.tolist() == [0, 0, 1, 1]
    del written["nodes"]["domain"]
    assert snapshot_from_json(written).nodes.domain.tolist() == [0, 0, 0, 0]


def test_a_job_that_names_an_engine_waits_for_it_though_another_is_free() -> None:
    named = job("n", replace(cards(8), domains=("a",)))
    held = [holds("x", "a1", range(8)), holds("y", "a2", range(1))]
    answer = run(nodes=_two_engines(), running=held, waiting=[named, job("any", cards(8), submitted_us=9)])
    assert started(answer) == ["any"]
    why = reason(answer, "n")
    assert why.code is Code.CAPACITY and "a2" in str(why.details[0].message)


def test_a_job_that_names_an_engine_without_its_model_is_told_so() -> None:
    answer = run(nodes=_two_engines(), waiting=[job("n", replace(cards(8), domains=("c", "d")))])
    why = reason(answer, "n")
    assert why.code is Code.IMPOSSIBLE
    assert "it runs on engines c, d only, which have no accelerator named" in str(why.message)
