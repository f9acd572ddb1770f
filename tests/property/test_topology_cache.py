"""A topology cache carried from cycle to cycle changes no plan; it only saves work."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.property.planner_world import NOW_US, PFLOPS, World, worlds
from tests.property.test_planner import configs, few

from pearlstreet.compute.scheduling import kernels
from pearlstreet.compute.scheduling.builder import SnapshotBuilder, build
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.cycle import plan
from pearlstreet.compute.scheduling.plan import Placement
from pearlstreet.compute.scheduling.rows import DeviceUse, RunningAttempt, TaskUse, WaitingJob
from pearlstreet.compute.scheduling.topology_cache import PlannerCache


def started(placement: Placement, job: WaitingJob, now_us: int) -> RunningAttempt:
    return RunningAttempt(
        id=f"a-{job.id}", job_id=job.id, org=job.org, project=job.project, priority=job.priority,
        tasks=tuple(
            TaskUse(
                task.node,
                job.request.cpu_milli,
                job.request.memory_mib,
                tuple(
                    DeviceUse(given.index) if given.whole else DeviceUse(given.index, given.memory_mib, given.compute_bp)
                    for given in task.devices
                ),
            )
            for task in placement.tasks
        ),
        started_us=now_us, preemptible=job.preemptible, request=job.request,
    )  # fmt: skip


def days_are_the_same(world: World, config: PlannerConfig, steps: list[tuple[int, bool]]) -> None:
    """Cycle after cycle: what was placed runs, some of what runs ends, a node goes out of service or grows."""
    builder, cache = SnapshotBuilder(PFLOPS.__getitem__), PlannerCache()
    nodes = {row.name: row for row in world.nodes}
    running = {attempt.id: attempt for attempt in world.running}
    waiting = {job.id: job for job in world.waiting}
    now_us = NOW_US
    for number, grows in steps:
        builder.set_nodes(nodes.values())
        for job in waiting.values():
            builder.add_waiting(job)
        for attempt in running.values():
            builder.add_running(attempt)
        snapshot = builder.build(now_us)
        fresh = build(
            now_us=now_us, nodes=nodes.values(), waiting=waiting.values(), running=running.values(),
            pflops_of=PFLOPS.__getitem__,
        )  # fmt: skip
        assert snapshot.to_json() == fresh.to_json()
        answer = plan(snapshot, config, cache=cache)
        assert answer == plan(snapshot, config)
        assert answer == plan(fresh, config)
        for placement in answer.placements:
            job = waiting.pop(placement.job_id)
            builder.remove_waiting(job.id)
            running[f"a-{job.id}"] = started(placement, job, now_us)
        for attempt_id in sorted(running)[number :: len(steps) + 1]:
            del running[attempt_id]
            builder.remove_running(attempt_id)
        name = sorted(nodes)[number % len(nodes)]
        row = nodes[name]
        nodes[name] = (
            replace(row, cpu_milli=row.cpu_milli + 1000)
            if grows
            else replace(row, schedulable=not row.schedulable)
        )
        now_us += 60_000_000


steps = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=4)


@few
@given(worlds(), configs, steps)
def test_a_cache_changes_no_plan(world: World, config: PlannerConfig, days: list[tuple[int, bool]]) -> None:
    days_are_the_same(world, config, days)


@few
@given(worlds(quotas=False), steps)
def test_nor_does_it_where_kernels_are_compiled(world: World, days: list[tuple[int, bool]]) -> None:
    if not kernels.installed():
        pytest.skip("numba is not installed; it is a dependency wherever it has wheels")
    with kernels.using("always"):
        days_are_the_same(world, PlannerConfig(), days)
