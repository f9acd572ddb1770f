"""What must hold of resizes, whatever the center: each history starts empty, lets jobs come and go, and carries out plans."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.property.dice import Dice, Drawn, Law, drawn
from tests.property.elastic_world import (
    Center,
    carried_out,
    empty_center,
    empty_centers,
    job,
    quota_row,
    started,
    stopping,
)

from pearlstreet.compute.scheduling.config import PlannerConfig, QueuePolicy
from pearlstreet.compute.scheduling.cycle import plan
from pearlstreet.compute.scheduling.model import snapshot_from_json
from pearlstreet.compute.scheduling.plan import Code, Plan
from pearlstreet.compute.scheduling.rows import RunningAttempt, WaitingJob, match_models

POLICIES = ("shrink", "grow", "grow-shrink")


def config_of(dice: Dice) -> PlannerConfig:
    return PlannerConfig(
        order=dice.pick(["fair-share", "fifo", "las", "priority", "shortest"]),
        placement=dice.pick(["expected-fill", "pack", "first-fit", "topology"]),
        backfill=dice.pick(["easy", "easy", "conservative", "greedy", "strict"]),
        preemption=dice.pick(["none", "none", "priority", "rank"]),
        elasticity=dice.pick(POLICIES),
    )


configs = drawn(config_of)()
few = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
HOUR_US = 3_600_000_000


@dataclass(frozen=True)
class Moment:
    """One cycle of a history."""

    center: Center
    answer: Plan


History = tuple[PlannerConfig, list[Moment]]


def history_of(dice: Dice, *, quotas: bool = True) -> History:
    """Cycles an hour apart: jobs come, some end, what was planned is carried out."""
    config = config_of(dice)
    center = empty_center(dice)
    if quotas:
        center = replace(center, quotas=tuple(quota_row(dice) for _ in range(dice.integer(0, 2))))
    moments: list[Moment] = []
    number = 0
    for hour in range(dice.integer(2, 4)):
        first = None if hour else True
        more = [job(dice, number := number + 1, elastic=first) for _ in range(dice.integer(0, 5))]
        left = tuple(a for a in center.running if dice.integer(0, 5))
        now_us = center.now_us + HOUR_US
        center = replace(center, now_us=now_us, running=left, waiting=(*center.waiting, *more))
        for _ in range(dice.integer(1, 3)):
            answer = plan(center.snapshot(), config)
            moments.append(Moment(center, answer))
            center = carried_out(center, answer)
    return config, moments


histories = drawn(history_of)


def cards(center: Center) -> dict[tuple[str, int], str]:
    """Every card that is held, and the attempt that holds it; nobody holds one that another does."""
    held: dict[tuple[str, int], str] = {}
    for attempt in center.running:
        for task in attempt.tasks:
            for use in task.devices:
                assert held.setdefault((task.node, use.index), attempt.id) == attempt.id
    return held


def check_sound(config: PlannerConfig, moment: Moment) -> None:
    center, answer = moment.center, moment.answer
    after = carried_out(center, answer)
    cards(after)
    for attempt in after.running:
        if attempt.max_tasks:
            assert attempt.min_tasks <= len(attempt.tasks) <= attempt.max_tasks
    rows = {node.name: node for node in center.nodes}
    for name, node in rows.items():
        cpu = sum(t.cpu_milli for a in after.running for t in a.tasks if t.node == name)
        assert cpu <= node.cpu_milli
    for placement in answer.placements:
        assert len({rows[task.node].domain for task in placement.tasks}) == 1, "no gang spans domains"
    running = {attempt.id: attempt for attempt in center.running}
    for resize in answer.resizes:
        one = running[resize.attempt_id]
        assert one.max_tasks and not one.ending
        assert one.min_tasks <= resize.tasks <= one.max_tasks
        assert resize.tasks != len(one.tasks) == resize.before
        least_s = config.min_run_s if resize.for_job_id else config.grow_after_s
        assert center.now_us - one.started_us >= least_s * 1e6
        if resize.for_job_id:
            assert resize.tasks < len(one.tasks)
            reason = next(w.reason for w in answer.waits if w.job_id == resize.for_job_id)
            assert reason.code is Code.RESIZING
            assert config.elasticity != "grow" or resize.tasks >= one.asked_tasks, "what it asked for stays"
        else:
            assert resize.tasks > len(one.tasks) and config.elasticity != "shrink"
    stopped = [resize.attempt_id for resize in answer.resizes] + [p.attempt_id for p in answer.preemptions]
    assert len(stopped) == len(set(stopped)), "nobody is stopped twice"


def check_quotas(moment: Moment) -> None:
    """What starts, and what grows, stays under every maximum."""
    center, answer = moment.center, moment.answer
    after = carried_out(center, answer)
    resumed = {job.id: job for job in after.waiting}
    for quota in center.quotas:
        if quota.maximum is None:
            continue
        mine = [a for a in after.running if a.org == quota.org]
        held = sum(len(task.devices) for a in mine for task in a.tasks)
        before = sum(len(t.devices) for a in center.running if a.org == quota.org for t in a.tasks)
        coming = sum(
            resize.tasks * resumed[resize.job_id].request.count
            for resize in answer.resizes
            if resumed[resize.job_id].org == quota.org
        )
        assert held + coming <= max(quota.maximum, before)


def check_served(config: PlannerConfig, moment: Moment) -> None:
    """Nobody is cut for nothing: once the cut ones have stopped, the job they made room for starts, and they go on."""
    cut = [resize for resize in moment.answer.resizes if resize.for_job_id]
    if not cut or moment.answer.preemptions:
        return
    during = plan(stopping(moment.center, moment.answer).snapshot(), config)
    assert not [r for r in during.resizes if r.for_job_id in {c.for_job_id for c in cut}], "it waits for them"
    after = plan(carried_out(moment.center, moment.answer).snapshot(), config)
    placed = {placement.job_id: len(placement.tasks) for placement in after.placements}
    for resize in moment.answer.resizes:
        assert placed.get(resize.job_id) == resize.tasks, "it goes on with as many as were said"
    if config.order in ("fifo", "priority") and not moment.center.quotas:
        assert all(resize.for_job_id in placed for resize in cut), "and the job starts"
    elif config.backfill == "greedy":
        # With reservations who is first by then, under fair share perhaps the one that gave, may have a place kept.
        assert len(placed) >= len(moment.answer.resizes) + len({resize.for_job_id for resize in cut})


def check_stable(config: PlannerConfig, moment: Moment) -> None:
    """With nobody coming or going it comes to rest: resizes follow at most a few times, then none."""
    center = moment.center
    for _ in range(12):
        answer = plan(center.snapshot(), config)
        if not (answer.resizes or answer.placements or answer.preemptions):
            break
        center = carried_out(center, answer)
    else:
        raise AssertionError("it never comes to rest")
    for hours in (0, 1, 2, 3, 4, 5, 6, 7, 8):
        center = replace(center, now_us=center.now_us + HOUR_US * min(hours, 1))
        answer = plan(center.snapshot(), config)
        center = carried_out(center, answer)
    assert not answer.resizes
    assert not plan(center.snapshot(), config).resizes


def check_all(history: History) -> None:
    config, moments = history
    for moment in moments:
        check_sound(config, moment)
        check_quotas(moment)
        check_served(config, moment)


@few
@given(histories())
def test_resizes_are_sound_and_serve(history: History) -> None:
    check_all(history)


@settings(few, max_examples=40)
@given(histories())
def test_with_nobody_coming_or_going_it_comes_to_rest(history: History) -> None:
    check_rest(history)


def check_rest(history: History) -> None:
    config, moments = history
    if config.preemption != "rank":  # which takes turns by design
        check_stable(config, moments[-1])


@settings(few, max_examples=60)
@given(histories(), st.data())
def test_the_same_whatever_nodes_are_called_and_when_planned_again(
    history: History, data: st.DataObject
) -> None:
    check_same(history, Drawn(data.draw))


def check_same(history: History, dice: Dice) -> None:
    config, moments = history
    for moment in moments:
        center = moment.center
        assert plan(center.snapshot(), config) == moment.answer
        read = snapshot_from_json(json.loads(json.dumps(center.snapshot().to_json())))
        assert plan(read, config) == moment.answer, "a decision that was kept is made again"
        order = dice.order(len(center.nodes))
        other = plan(renamed(center, order).snapshot(), config)
        assert [(r.attempt_id, r.tasks) for r in other.resizes] == [
            (r.attempt_id, r.tasks) for r in moment.answer.resizes
        ]
        assert [(p.job_id, len(p.tasks)) for p in other.placements] == [
            (p.job_id, len(p.tasks)) for p in moment.answer.placements
        ]


def renamed(center: Center, order: list[int]) -> Center:
    names = {row.name: f"m{len(order) - i}" for i, row in enumerate(center.nodes)}
    return replace(
        center,
        nodes=tuple(replace(center.nodes[i], name=names[center.nodes[i].name]) for i in order),
        running=tuple(
            replace(a, tasks=tuple(replace(task, node=names[task.node]) for task in a.tasks))
            for a in center.running
        ),
    )


@few
@given(histories())
def test_without_a_policy_nothing_is_resized(history: History) -> None:
    check_fixed(history)


def check_fixed(history: History) -> None:
    config, moments = history
    for moment in moments:
        answer = plan(moment.center.snapshot(), replace(config, elasticity="none"))
        assert not answer.resizes
        jobs = {job.id: job for job in moment.center.waiting}
        for placement in answer.placements:
            job = jobs[placement.job_id]
            assert len(placement.tasks) <= (job.resumes_tasks or job.tasks)
            assert job.resumes_tasks or len(placement.tasks) == job.tasks


def jobs_of(dice: Dice, count: int | None = None) -> list[WaitingJob]:
    return [job(dice, i) for i in range(count or dice.integer(1, 6))]


some_jobs = drawn(jobs_of)


def check_windows(center: Center, waiting: list[WaitingJob], config: PlannerConfig) -> None:
    """Nothing is placed where it might still run when others' window begins, and nothing that runs grows there."""
    center = replace(center, waiting=tuple(waiting))
    for _ in range(3):
        answer = plan(center.snapshot(), config)
        jobs = {job.id: job for job in center.waiting}
        for placement in answer.placements:
            attempt = started(center, jobs[placement.job_id], placement)
            assert not overlaps(center, attempt, jobs[placement.job_id].time_limit_s)
        center = carried_out(center, answer)
        center = replace(center, now_us=center.now_us + HOUR_US)


def overlaps(center: Center, attempt: RunningAttempt, limit_s: float | None) -> bool:
    until = None if limit_s is None else center.now_us + round(limit_s * 1e6)
    for window in center.reservations:
        if window.org == attempt.org or window.end_us <= center.now_us:
            continue
        if until is not None and window.start_us >= until:
            continue
        for task in attempt.tasks:
            devices = {use.index for use in task.devices}
            if task.node == window.node and (window.device is None or window.device in devices):
                return True
    return False


@few
@given(empty_centers(held=True), some_jobs(), configs)
def test_nothing_is_placed_into_a_window_of_others(
    center: Center, waiting: list[WaitingJob], config: PlannerConfig
) -> None:
    check_windows(center, waiting, config)


@few
@given(empty_centers(held=True), some_jobs(8), configs)
def test_what_is_reserved_is_there_for_whom_it_is_reserved(
    center: Center, waiting: list[WaitingJob], config: PlannerConfig
) -> None:
    check_reserved(center, waiting, config)


def check_reserved(center: Center, waiting: list[WaitingJob], config: PlannerConfig) -> None:
    """However full others make the center, their holder can use every card of a window of its own at once."""
    mine = tuple(w for w in center.reservations if w.org == "red" and w.start_us <= center.now_us < w.end_us)
    others = [replace(one, org="blue", project="blue-0") for one in waiting]
    center = replace(center, reservations=mine, waiting=tuple(others))
    center = carried_out(center, plan(center.snapshot(), config))
    held = {
        (w.node, d.index, d.model)
        for w in mine
        for node in center.nodes
        if node.name == w.node and node.schedulable
        for d in node.devices
        if w.device in (None, d.index)
    }
    assert not held & {(node, index, model) for (node, index) in cards(center) for model in ("a100", "t4")}
    for model in {model for _, _, model in held}:
        assert match_models((model,), ("a100", "t4"))
        count = sum(one[2] == model for one in held)
        request = replace(others[0].request, accelerators=(model,), count=1, cpu_milli=0)
        job = WaitingJob("late", "red", "red-0", request, tasks=count, submitted_us=center.now_us)
        answer = plan(replace(center, waiting=(job,)).snapshot(), config)
        assert [p.job_id for p in answer.placements] == ["late"]


def test_a_queue_has_an_elasticity_of_its_own() -> None:
    config = PlannerConfig(queues=(QueuePolicy("soft", elasticity="grow-shrink"),))
    assert config.of_queue("soft").elasticity == "grow-shrink"
    assert config.of_queue("other").elasticity == "none"


LAWS: Mapping[str, Law] = {
    "resizes are sound and serve": lambda dice: check_all(history_of(dice)),
    "with nobody coming or going it comes to rest": lambda dice: check_rest(history_of(dice)),
    "resizes are the same whatever nodes are called and when planned again": lambda dice: check_same(
        history_of(dice), dice
    ),
    "without a policy nothing is resized": lambda dice: check_fixed(history_of(dice)),
    "nothing is placed into a window of others": lambda dice: check_windows(
        empty_center(dice, held=True), jobs_of(dice), config_of(dice)
    ),
    "what is reserved is there for whom it is reserved": lambda dice: check_reserved(
        empty_center(dice, held=True), jobs_of(dice, 8), config_of(dice)
    ),
}
