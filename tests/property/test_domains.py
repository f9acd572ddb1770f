"""Engines as a constraint: whatever a request names, it starts only there, gangs in one engine, and as if nothing else existed."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from tests.property.dice import Dice, drawn
from tests.property.planner_world import World, world

from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.cycle import plan
from pearlstreet.compute.scheduling.model import snapshot_from_json
from pearlstreet.compute.scheduling.plan import Code, Plan
from pearlstreet.compute.scheduling.rows import NodeRow

ENGINES = ("local", "lab", "slurm")
few = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))


def _engines(dice: Dice) -> World:
    """A center of several engines, with requests that name none, some or all of them, or one that is gone."""
    made = world(dice, quotas=False)
    nodes = tuple(replace(row, domain=dice.pick(list(ENGINES))) for row in made.nodes)
    named = [(), (), ("local",), ("lab", "slurm"), ENGINES, ("gone",)]
    waiting = tuple(
        replace(job, request=replace(job.request, domains=dice.pick(named))) for job in made.waiting
    )
    return replace(made, nodes=nodes, waiting=waiting)


centers = drawn(_engines)


def _answer(center: World) -> Plan:
    return plan(center.snapshot(), PlannerConfig(preemption="none", backfill="greedy"))


@few
@given(centers())
def test_jobs_start_on_engines_that_they_name_and_gangs_on_one(center: World) -> None:
    jobs = {job.id: job for job in center.waiting}
    domain = {row.name: row.domain for row in center.nodes}
    for placement in _answer(center).placements:
        request = jobs[placement.job_id].request
        used = {domain[task.node] for task in placement.tasks}
        assert len(used) == 1, "no gang spans engines"
        assert not request.domains or used <= set(request.domains)


@few
@given(centers())
def test_an_engine_that_is_gone_makes_a_job_impossible_and_the_reason_names_it(center: World) -> None:
    jobs = {job.id: job for job in center.waiting}
    models = {device.model for row in center.nodes for device in row.devices}
    for wait in _answer(center).waits:
        request = jobs[wait.job_id].request
        if request.domains != ("gone",) or wait.reason.code is not Code.IMPOSSIBLE or not models:
            continue
        detail = wait.reason.details[0]
        assert detail.constraint in ("engine", "model")
        assert detail.constraint == "model" or "gone" in str(detail.message)


@few
@given(centers())
def test_naming_all_engines_is_naming_none(center: World) -> None:
    def named(domains: tuple[str, ...]) -> World:
        jobs = tuple(
            replace(job, request=replace(job.request, domains=domains))
            for job in center.waiting
            if job.tasks == 1
        )
        return replace(center, waiting=jobs)

    assert _placed(_answer(named(ENGINES))) == _placed(_answer(named(())))


@few
@given(centers())
def test_an_engine_alone_is_a_center_of_its_own(center: World) -> None:
    """Jobs that all name one engine start exactly when they start in a center whose other nodes take no work."""
    jobs = tuple(
        replace(job, request=replace(job.request, domains=("local",)), tasks=1) for job in center.waiting
    )

    def closed(row: NodeRow) -> NodeRow:
        return row if row.domain == "local" else replace(row, schedulable=False)

    by_name = replace(center, waiting=jobs)
    free = tuple(replace(job, request=replace(job.request, domains=())) for job in jobs)
    by_nodes = replace(center, waiting=free, nodes=tuple(closed(row) for row in center.nodes))
    assert {job for job, _ in _placed(_answer(by_name))} == {job for job, _ in _placed(_answer(by_nodes))}


@few
@given(centers())
def test_a_stored_snapshot_keeps_what_jobs_name(center: World) -> None:
    snapshot = center.snapshot()
    again = snapshot_from_json(snapshot.to_json())
    assert (again.domains, again.requests) == (snapshot.domains, snapshot.requests)
    config = PlannerConfig()
    assert _placed(plan(again, config)) == _placed(plan(snapshot, config))


def _placed(answer: Plan) -> set[tuple[str, tuple[str, ...]]]:
    return {(one.job_id, tuple(task.node for task in one.tasks)) for one in answer.placements}
