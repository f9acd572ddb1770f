"""What must hold of every plan, whatever the center and its queue look like."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.property import naive_planner as naive
from tests.property.dice import Dice, Law, drawn
from tests.property.planner_world import MODELS, NOW_US, PFLOPS, World, renamed, world, worlds

from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.cycle import plan
from pearlstreet.compute.scheduling.model import snapshot_from_json
from pearlstreet.compute.scheduling.plan import Code, Plan, reason_from_json
from pearlstreet.compute.scheduling.queues import Ranking
from pearlstreet.compute.scheduling.registry import PLACEMENTS
from pearlstreet.compute.scheduling.rows import Quota, RunningAttempt, WaitingJob, match_models
from pearlstreet.compute.scheduling.ties import canonical_order
from pearlstreet.compute.scheduling.topology_cache import PlannerCache, TopologyCache


def config_of(dice: Dice) -> PlannerConfig:
    return PlannerConfig(
        order=dice.pick(
            [
                "deadline",
                "fair-share",
                "fifo",
                "gittins",
                "las",
                "priority",
                "priority-fair-share",
                "shortest",
            ]
        ),
        placement=dice.pick(sorted(PLACEMENTS)),
        backfill=dice.pick(["easy", "easy", "conservative", "greedy", "strict"]),
        preemption=dice.pick(["priority", "priority-across-accounts", "rank", "none"]),
        wait_max_s=dice.pick([0.0, 0.0, 500.0]),
    )


configs = drawn(config_of)()
few = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def apply(world: World, answer: Plan, *, only: set[str] | None = None) -> dict[str, naive.Node]:
    """Take placements out of the naive nodes, checking each against what is really free."""
    nodes = world.after()
    jobs = {job.id: job for job in world.waiting}
    for placement in answer.placements:
        if only is not None and placement.job_id not in only:
            continue
        job = jobs[placement.job_id]
        request = job.request
        assert len(placement.tasks) == job.tasks, "a gang starts whole"
        for task in placement.tasks:
            node = nodes[task.node]
            assert world.nodes[task.node_index].name == task.node
            assert node.up
            node.cpu -= request.cpu_milli
            node.memory -= request.memory_mib
            assert node.cpu >= 0 or request.cpu_milli == 0
            assert node.memory >= 0 or request.memory_mib == 0
            assert len(task.devices) == (1 if request.share else request.count)
            for device_given in task.devices:
                device = next(d for d in node.devices if d.index == device_given.index)
                assert device.ok
                assert device.model == placement.model
                assert device.model in match_models(request.accelerators, MODELS)
                assert device_given.whole == (request.share is None)
                if device_given.whole:
                    assert device.whole()
                    assert (device_given.memory_mib, device_given.compute_bp) == (device.total, FULL_BP)
                device.memory -= device_given.memory_mib
                device.compute -= device_given.compute_bp
                assert device.memory >= 0
                assert device.compute >= 0
    return nodes


def fits(nodes: dict[str, naive.Node], job: WaitingJob, model: str) -> bool:
    return sum(naive.times(node, job.request, model, job.tasks) for node in nodes.values()) >= job.tasks


def allowed_models(job: WaitingJob) -> tuple[str, ...]:
    return match_models(job.request.accelerators, MODELS) if job.request.wants_device else ("",)


def demand(quota: Quota, job: WaitingJob, model: str) -> float:
    """What one job counts for on a quota, in the quota's own unit."""
    kind, _, pattern = quota.resource.partition(":")
    request = job.request
    if kind == "cpus":
        return request.cpu_milli / 1000 * job.tasks
    if not model or (pattern and model not in match_models((pattern,), MODELS)):
        return 0.0
    cards = float(request.count)
    if request.share:
        total = {"a100-80g": 80, "t4": 16}[model]
        share = naive.share_on(request, total)
        cards = max(-(-share.memory_mib * FULL_BP // total), share.compute_bp) / FULL_BP
    return cards * job.tasks * (PFLOPS[model] if kind == "pflops" else 1.0)


def ceiling(quota: Quota) -> float | None:
    if quota.borrow or quota.guaranteed is None:
        return quota.maximum
    return quota.guaranteed if quota.maximum is None else min(quota.guaranteed, quota.maximum)


def quota_use(world: World, answer: Plan, quota: Quota) -> tuple[float, float]:
    """What runs and what was placed, on one quota."""

    def counts(org: str, project: str) -> bool:
        return quota.org == org and quota.project in ("", project)

    kind, _, pattern = quota.resource.partition(":")
    before = 0.0
    nodes = {row.name: {d.index: d for d in row.devices} for row in world.nodes}
    for attempt in world.running:
        for task in attempt.tasks if counts(attempt.org, attempt.project) else ():
            if kind == "cpus":
                before += task.cpu_milli / 1000
                continue
            for use in task.devices:
                device = nodes[task.node][use.index]
                if pattern and device.model not in match_models((pattern,), MODELS):
                    continue
                cards = 1.0
                if use.memory_mib is not None and use.compute_bp is not None:
                    cards = max(-(-use.memory_mib * FULL_BP // device.memory_mib), use.compute_bp) / FULL_BP
                before += cards * (PFLOPS[device.model] if kind == "pflops" else 1.0)
    jobs = {job.id: job for job in world.waiting}
    placed = 0.0
    for placement in answer.placements:
        job = jobs[placement.job_id]
        if counts(job.org, job.project):
            placed += demand(quota, job, placement.model)
    return before, placed


def check_everything(world: World, config: PlannerConfig) -> None:
    answer = plan(world.snapshot(), config)
    placed = {placement.job_id for placement in answer.placements}
    waits = {wait.job_id: wait for wait in answer.waits}
    assert len(placed) == len(answer.placements)
    assert placed | set(waits) == {job.id for job in world.waiting}
    assert not placed & set(waits), "a job is placed or has a reason, never both"
    assert [wait.position for wait in answer.waits] == list(range(1, len(answer.waits) + 1))
    nodes = apply(world, answer)
    for quota in world.quotas:
        before, more = quota_use(world, answer, quota)
        top = ceiling(quota)
        assert top is None or more == 0 or before + more <= top + 1e-4
    check_array(world, placed)
    check_conserving(world, answer, nodes)
    check_preemptions(world, config, answer)


def check_array(world: World, placed: set[str]) -> None:
    runs = sum(attempt.array == "arr" for attempt in world.running)
    limited = [job for job in world.waiting if job.array and job.array_limit is not None]
    new = sum(job.id in placed for job in world.waiting if job.array)
    if any(job.id in placed for job in limited) and len(limited) == sum(bool(j.array) for j in world.waiting):
        assert runs + new <= 2


def check_conserving(world: World, answer: Plan, nodes: dict[str, naive.Node]) -> None:
    """Whoever waits for capacity or quota could not have started beside what was placed."""
    waits = {wait.job_id: wait.reason for wait in answer.waits}
    for job in world.waiting:
        reason = waits.get(job.id)
        if reason is None:
            continue
        if reason.code is Code.NOT_BEFORE:
            assert job.not_before_us > NOW_US
        elif reason.code is Code.IMPOSSIBLE:
            rows = [replace(n, schedulable=True, devices=tuple(replace(d, healthy=True) for d in n.devices))
                    for n in world.nodes]  # fmt: skip
            empty = naive.make_nodes(rows, [])
            assert not any(fits(empty, job, model) for model in allowed_models(job))
        elif reason.code in (Code.CAPACITY, Code.QUOTA):
            open_models = [m for m in allowed_models(job) if quota_allows(world, answer, job, m)]
            assert not any(fits(nodes, job, model) for model in open_models), (job, reason)
            assert reason.code is Code.CAPACITY or len(open_models) < len(allowed_models(job))


def quota_allows(world: World, answer: Plan, job: WaitingJob, model: str) -> bool:
    for quota in world.quotas:
        if quota.org != job.org or quota.project not in ("", job.project):
            continue
        wanted, top = demand(quota, job, model), ceiling(quota)
        before, more = quota_use(world, answer, quota)
        if wanted and top is not None and before + more + wanted > top + 1e-6:
            return False
    return True


def check_preemptions(world: World, config: PlannerConfig, answer: Plan) -> None:
    """Only who may be stopped is stopped, never for nothing: with all of them gone the job fits, with one left not."""
    running = {attempt.id: attempt for attempt in world.running}
    waits = {wait.job_id: wait.reason for wait in answer.waits}
    assert config.preemption != "none" or not answer.preemptions
    for preemption in answer.preemptions:
        victim = running[preemption.attempt_id]
        assert victim.preemptible
        assert not victim.ending
        assert NOW_US - victim.started_us >= config.min_run_s * 1e6
        assert waits[preemption.for_job_id].code is Code.PREEMPTING
        claimant = next(job for job in world.waiting if job.id == preemption.for_job_id)
        if config.preemption == "rank":
            assert stands_behind(world, config, victim, claimant) or world.quotas
        else:
            assert victim.priority < claimant.priority or world.quotas
            across = config.preemption == "priority-across-accounts"
            assert across or victim.project == claimant.project or world.quotas
    if len({p.for_job_id for p in answer.preemptions}) != 1:
        return
    claimant = next(job for job in world.waiting if job.id == answer.preemptions[0].for_job_id)
    if any(w.reason.code is Code.PREEMPTING and w.job_id != claimant.id for w in answer.waits):
        return  # what ends is shared with another claim
    soon_us = NOW_US + round(config.grace_s * 1e6)
    gone = {p.attempt_id for p in answer.preemptions} | {
        a.id for a in world.running if a.ending or NOW_US < (a.expected_end_us or 0) <= soon_us
    }
    limits = {job.id: job.time_limit_s for job in world.waiting}
    ahead = {
        name
        for name in ahead_of(answer, claimant.id)
        if (limits[name] or config.assumed_run_s) > config.grace_s
    }

    def could(without: set[str]) -> bool:
        rest = replace(world, running=tuple(a for a in world.running if a.id not in without))
        nodes = apply(rest, answer, only=ahead)
        return any(fits(nodes, claimant, model) for model in allowed_models(claimant))

    assert could(gone)
    first = next(wait.position for wait in answer.waits if wait.job_id == claimant.id)
    reserves = any(w.reason.code is Code.CAPACITY and w.position < first for w in answer.waits)
    if not world.quotas and not reserves:  # for whom something is kept, and so not for the claimant
        assert not any(could(gone - {p.attempt_id}) for p in answer.preemptions), (
            "nobody is stopped for nothing"
        )


def ahead_of(answer: Plan, job_id: str) -> set[str]:
    """Jobs that were placed before this waiting one was looked at."""
    taken = {p.position for p in answer.placements}
    free = (n for n in itertools.count(1) if n not in taken)
    place = {wait.job_id: n for wait, n in zip(answer.waits, free, strict=False)}
    return {p.job_id for p in answer.placements if p.position < place[job_id]}


def stands_behind(world: World, config: PlannerConfig, victim: RunningAttempt, claimant: WaitingJob) -> bool:
    """Whether the attempt, were it waiting as it is, would be planned after the claimant."""
    snapshot = world.snapshot()
    waiting, running = Ranking(snapshot, config, PlannerCache()).places()
    return bool(
        running[snapshot.running.ids.index(victim.id)] > waiting[snapshot.waiting.ids.index(claimant.id)]
    )


@few
@given(worlds(), configs)
def test_every_plan_is_sound(world: World, config: PlannerConfig) -> None:
    check_everything(world, config)


@few
@given(worlds(), configs)
def test_a_replayed_snapshot_gives_the_same_plan(world: World, config: PlannerConfig) -> None:
    check_replayed(world, config)


def check_replayed(world: World, config: PlannerConfig) -> None:
    snapshot = world.snapshot()
    answer = plan(snapshot, config)
    replayed = snapshot_from_json(json.loads(json.dumps(snapshot.to_json())))
    assert plan(replayed, config) == answer
    for wait in answer.waits:
        stored = reason_from_json(json.loads(json.dumps(wait.reason.to_json())))
        assert str(stored.message) == str(wait.reason.message)
        assert (stored.code, stored.start) == (wait.reason.code, wait.reason.start)


def compare_with_naive(world: World) -> None:
    jobs = [replace(job, not_before_us=0, array="", element=0, array_limit=None) for job in world.waiting]
    world = replace(world, waiting=tuple(jobs), quotas=())
    snapshot = world.snapshot()
    config = PlannerConfig(order="priority", placement="pack", backfill="greedy", preemption="none")
    topology = TopologyCache(snapshot.models, snapshot.model_gflops, snapshot.nodes)
    names = [snapshot.nodes.names[i] for i in canonical_order(snapshot, topology)]
    expected = naive.naive_plan(world.after(), names, jobs, PFLOPS)
    answer = {
        placement.job_id: sorted((task.node, [d.index for d in task.devices]) for task in placement.tasks)
        for placement in plan(snapshot, config).placements
    }
    assert answer == {job: sorted(tasks) for job, tasks in expected.items()}


@few
@given(worlds(quotas=False))
def test_it_places_as_the_naive_model_does(world: World) -> None:
    compare_with_naive(world)


@few
@given(worlds(), configs, st.data())
def test_names_and_listing_order_of_nodes_do_not_matter(
    world: World, config: PlannerConfig, data: st.DataObject
) -> None:
    check_names(world, config, data.draw(st.permutations(range(len(world.nodes)))))


def check_names(world: World, config: PlannerConfig, order: list[int]) -> None:
    other = renamed(world, order)
    first, second = plan(world.snapshot(), config), plan(other.snapshot(), config)
    assert [p.job_id for p in first.placements] == [p.job_id for p in second.placements]
    assert [(w.job_id, w.reason.code) for w in first.waits] == [
        (w.job_id, w.reason.code) for w in second.waits
    ]
    assert [p.attempt_id for p in first.preemptions] == [p.attempt_id for p in second.preemptions]


def check_reservation(world: World) -> None:
    """The first blocked job starts as early with those that passed it as it would have without them."""
    world = replace(world, quotas=())
    config = PlannerConfig(order="fifo", preemption="none")
    answer = plan(world.snapshot(), config)
    head_wait = next((w for w in answer.waits if w.reason.code is Code.CAPACITY), None)
    if head_wait is None:
        return
    head = next(job for job in world.waiting if job.id == head_wait.job_id)
    ahead = {p.job_id for p in answer.placements if not p.backfilled}
    everyone = {p.job_id for p in answer.placements}
    jobs = {job.id: job for job in world.waiting}
    ends = {a.id: end_of(a.started_us, a.expected_end_us, a.ending, config) for a in world.running}
    new_ends = {j: NOW_US + round((jobs[j].time_limit_s or config.assumed_run_s) * 1e6) for j in everyone}

    def fits_at(at_us: int, placed: set[str], forever: bool) -> bool:
        rest = replace(world, running=tuple(a for a in world.running if ends[a.id] > at_us))
        still = {
            j for j in placed
            if new_ends[j] > at_us or (forever and j not in ahead and jobs[j].time_limit_s is None)
        }  # fmt: skip
        nodes = apply(rest, answer, only=still)
        return any(fits(nodes, head, model) for model in allowed_models(head))

    moments = sorted({*ends.values(), *(new_ends[j] for j in ahead)})
    due = next((at for at in moments if fits_at(at, ahead, False)), None)
    if due is not None:
        assert fits_at(due, everyone, True), "a job that passed the head delays it"


def end_of(started_us: int, expected_us: int | None, ending: bool, config: PlannerConfig) -> int:
    end = expected_us
    if end is None:
        assumed = started_us + round(config.assumed_run_s * 1e6)
        end = max(assumed, NOW_US + (NOW_US - started_us))
    soon = NOW_US + round(config.grace_s * 1e6)
    return min(end, soon) if ending else end


@few
@given(worlds(quotas=False))
def test_backfill_never_delays_the_reserved_job(world: World) -> None:
    check_reservation(world)


def of_nodes(check: Callable[[World, PlannerConfig, list[int]], None], dice: Dice) -> None:
    one = world(dice)
    check(one, config_of(dice), dice.order(len(one.nodes)))


LAWS: Mapping[str, Law] = {
    "every plan is sound": lambda dice: check_everything(world(dice), config_of(dice)),
    "a replayed snapshot gives the same plan": lambda dice: check_replayed(world(dice), config_of(dice)),
    "it places as the naive model does": lambda dice: compare_with_naive(world(dice, quotas=False)),
    "names and listing order of nodes do not matter": lambda dice: of_nodes(check_names, dice),
    "backfill never delays the reserved job": lambda dice: check_reservation(world(dice, quotas=False)),
}
