"""What tenants and operators notice of the planner: who goes first, where, and what the others are told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.translations import translations
from pearlstreet.compute.hardware.model import DeviceReport, NodeReport
from pearlstreet.compute.scheduling.builder import SnapshotBuilder, build
from pearlstreet.compute.scheduling.config import PlannerConfig, config_from_json
from pearlstreet.compute.scheduling.cycle import plan
from pearlstreet.compute.scheduling.explain import explain
from pearlstreet.compute.scheduling.feasible import feasible
from pearlstreet.compute.scheduling.order.fair_share import accrued, decayed
from pearlstreet.compute.scheduling.plan import Code, Plan, Reason
from pearlstreet.compute.scheduling.rows import (
    Account,
    DeviceRow,
    DeviceUse,
    NodeRow,
    Quota,
    Request,
    RunningAttempt,
    ShareRequest,
    TaskUse,
    Usage,
    WaitingJob,
    match_models,
    node_row,
)

NOW_US = 1_800_000_000_000_000
MODEL = "h100-sxm-80g"


def node(name: str, devices: int = 8, rack: str = "", model: str = MODEL) -> NodeRow:
    rows = tuple(DeviceRow(j, model, 80 * 1024, link_group=j // 4) for j in range(devices))
    return NodeRow(name, 64_000, 512 * 1024, rows, rack=rack, pod="p" if rack else "")


def cards(count: int) -> Request:
    return Request(("H100",), count, None, 1000, 1024)


def job(name: str, request: Request, org: str = "red", **more: object) -> WaitingJob:
    return replace(WaitingJob(name, org, f"{org}-p", request), **more)  # type: ignore[arg-type]


def holds(name: str, where: str, devices: range, org: str = "red", **more: object) -> RunningAttempt:
    task = TaskUse(where, 1000, 1024, tuple(DeviceUse(d) for d in devices))
    base = RunningAttempt(name, f"job-{name}", org, f"{org}-p", (task,), started_us=NOW_US - 3_600_000_000)
    return replace(base, **more)  # type: ignore[arg-type]


def run(config: PlannerConfig | None = None, **rows: object) -> Plan:
    return plan(build(now_us=NOW_US, **rows), config or PlannerConfig())  # type: ignore[arg-type]


def started(answer: Plan) -> list[str]:
    return [placement.job_id for placement in answer.placements]


def reason(answer: Plan, name: str) -> Reason:
    return next(wait.reason for wait in answer.waits if wait.job_id == name)


def devices(answer: Plan, name: str) -> list[tuple[str, list[int]]]:
    placement = next(p for p in answer.placements if p.job_id == name)
    return [(task.node, [d.index for d in task.devices]) for task in placement.tasks]


def test_small_jobs_fill_the_fullest_node_and_leave_whole_nodes_and_link_groups_free() -> None:
    answer = run(
        nodes=[node("n1"), node("n2"), node("n3")],
        running=[holds("a", "n2", range(1))],
        waiting=[job("two", cards(2), submitted_us=1), job("four", cards(4), submitted_us=2)],
    )
    assert devices(answer, "two") == [("n2", [1, 2])], "the link group that is cut already"
    assert devices(answer, "four") == [("n2", [4, 5, 6, 7])], "the group that is whole"


def test_a_gang_stays_in_one_rack_when_a_rack_holds_it() -> None:
    nodes = [node("a", rack="r1"), node("b", rack="r2"), node("c", rack="r1"), node("d", rack="r2")]
    answer = run(nodes=nodes, running=[holds("x", "b", range(1))], waiting=[job("g", cards(8), tasks=2)])
    assert {where for where, _ in devices(answer, "g")} == {"a", "c"}
    assert "one rack" in str(answer.placements[0].why)


def test_a_gang_starts_whole_or_not_at_all() -> None:
    answer = run(nodes=[node("a"), node("b")], waiting=[job("g", cards(8), tasks=3)])
    assert started(answer) == []
    assert reason(answer, "g").code is Code.IMPOSSIBLE
    answer = run(
        nodes=[node("a"), node("b"), node("c")],
        running=[holds("x", "c", range(1))],
        waiting=[job("g", cards(8), tasks=3)],
    )
    assert reason(answer, "g").details[0].constraint == "tasks"
    assert reason(answer, "g").details[0].available == 2


def test_fractions_share_a_device_before_a_whole_one_is_cut() -> None:
    quarter = Request(("H100",), 0, ShareRequest(20 * 1024, 2500), 1000, 1024)
    jobs = [job(f"q{i}", quarter, submitted_us=i) for i in range(5)]
    answer = run(nodes=[node("a", 2), node("b", 2)], waiting=jobs)
    places = [devices(answer, f"q{i}")[0] for i in range(5)]
    assert len({str(place) for place in places[:4]}) == 1
    assert places[4][0] == places[0][0]
    assert places[4] != places[0]
    assert answer.placements[0].tasks[0].devices[0].whole is False


def test_cpu_jobs_keep_off_nodes_with_accelerators() -> None:
    answer = run(nodes=[node("gpu"), node("cpu", 0)], waiting=[job("c", Request(cpu_milli=4000))])
    assert devices(answer, "c") == [("cpu", [])]


def test_impossible_requests_are_told_at_once_with_the_nearest_there_is() -> None:
    snapshot = build(now_us=NOW_US, nodes=[node("n1"), node("n2", 4)])
    found = feasible(snapshot, cards(16))
    assert found is not None
    assert found.code is Code.IMPOSSIBLE
    assert "16 × H100 on one node; the most is 8, on n1" in str(found.message)
    missing = feasible(snapshot, Request(("A100",), 1))
    assert missing is not None
    assert MODEL in str(missing.message)
    memory = feasible(snapshot, Request(("any",), 1, None, 0, 900 * 1024))
    assert memory is not None
    assert memory.details[0].constraint == "memory"
    share = feasible(snapshot, Request((), 0, ShareRequest(100 * 1024, 0)))
    assert share is not None
    assert share.details[0].constraint == "share"
    assert feasible(snapshot, cards(8)) is None
    assert feasible(snapshot, cards(8), tasks=2) is not None
    assert feasible(build(now_us=NOW_US, nodes=[]), Request(cpu_milli=1)) is not None


def test_a_drained_node_takes_nothing_but_the_request_stays_possible() -> None:
    answer = run(nodes=[replace(node("n1"), schedulable=False)], waiting=[job("a", cards(1))])
    assert reason(answer, "a").code is Code.CAPACITY


def test_a_sick_device_is_left_out() -> None:
    sick = DeviceRow(0, MODEL, 80 * 1024, healthy=False)
    answer = run(nodes=[NodeRow("n", 8000, 8192, (sick, DeviceRow(1, MODEL, 80 * 1024)))],
                 waiting=[job("a", cards(1)), job("b", cards(1), submitted_us=2)])  # fmt: skip
    assert devices(answer, "a") == [("n", [1])]
    assert reason(answer, "b").code is Code.CAPACITY


def test_fair_share_goes_before_priority_and_submit_time_unless_set_across_accounts() -> None:
    nodes = [node("n", 1)]
    waiting = [
        job("heavy", cards(1), submitted_us=1),
        job("light", cards(1), "blue", submitted_us=2),
    ]
    accounts = [Account("red", "red-p", Usage(pflops_h=100.0)), Account("blue", "blue-p")]
    assert started(run(nodes=nodes, waiting=waiting, accounts=accounts)) == ["light"]
    assert started(run(PlannerConfig(order="fifo"), nodes=nodes, waiting=waiting, accounts=accounts)) == [
        "heavy"
    ]
    urgent = [replace(waiting[0], priority=1), waiting[1]]
    assert started(run(nodes=nodes, waiting=urgent, accounts=accounts)) == ["light"]
    across = PlannerConfig(order="priority-fair-share")
    assert started(run(across, nodes=nodes, waiting=urgent, accounts=accounts)) == ["heavy"]
    assert started(run(across, nodes=nodes, waiting=waiting, accounts=accounts)) == ["light"]


def test_priority_orders_a_projects_own_jobs() -> None:
    waiting = [job("early", cards(1), submitted_us=1), job("urgent", cards(1), submitted_us=2, priority=1)]
    other = job("other", cards(1), "blue", submitted_us=3)
    assert started(run(nodes=[node("n", 2)], waiting=[*waiting, other])) == ["urgent", "other"]


def test_a_priority_stops_jobs_of_other_projects_only_across_accounts() -> None:
    foreign = holds("foreign", "n", range(8), "blue", preemptible=True)
    urgent = [job("urgent", cards(8), priority=100)]
    assert run(nodes=[node("n")], running=[foreign], waiting=urgent).preemptions == ()
    across = PlannerConfig(preemption="priority-across-accounts")
    assert (
        run(across, nodes=[node("n")], running=[foreign], waiting=urgent).preemptions[0].attempt_id
        == "foreign"
    )


def test_a_deadline_orders_a_projects_own_jobs_and_buys_nothing_of_others() -> None:
    nodes = [node("n", 1)]
    waiting = [
        job("first", cards(1), submitted_us=1),
        job("late", cards(1), submitted_us=2, deadline_us=NOW_US + 2),
        job("soon", cards(1), submitted_us=3, deadline_us=NOW_US + 1),
        job("light", cards(1), "blue", submitted_us=4),
    ]
    accounts = [Account("red", "red-p", Usage(pflops_h=100.0)), Account("blue", "blue-p")]
    assert started(run(nodes=nodes, waiting=waiting[:3])) == ["soon"]
    assert started(run(nodes=nodes, waiting=waiting[:2])) == ["late"]
    assert started(run(nodes=nodes, waiting=waiting, accounts=accounts)) == ["light"]
    by_deadline = PlannerConfig(order="deadline")
    assert started(run(by_deadline, nodes=nodes, waiting=waiting, accounts=accounts)) == ["soon"]
    urgent = [replace(waiting[0], priority=1), *waiting[1:]]
    assert started(run(by_deadline, nodes=nodes, waiting=urgent)) == ["first"]


def test_one_cycle_is_shared_by_weight_not_given_to_whoever_has_least() -> None:
    waiting = [job(f"r{i}", cards(1), "red", submitted_us=i) for i in range(20)]
    waiting += [job(f"b{i}", cards(1), "blue", submitted_us=i + 100) for i in range(20)]
    accounts = [Account("red", "red-p"), Account("blue", "blue-p", org_weight=3.0)]
    answer = run(nodes=[node("n", 8)], waiting=waiting, accounts=accounts)
    mine = [name[0] for name in started(answer)]
    assert (mine.count("r"), mine.count("b")) == (2, 6)


def test_use_fades_with_the_half_life_and_grows_with_what_is_held() -> None:
    week = 7 * 86_400.0
    assert decayed(Usage(8.0), 2 * week, week).pflops_h == pytest.approx(2.0)
    in_one = accrued(Usage(), Usage(2.0, 4.0), 7200, week)
    twice = accrued(accrued(Usage(), Usage(2.0, 4.0), 3600, week), Usage(2.0, 4.0), 3600, week)
    assert in_one.pflops_h == pytest.approx(twice.pflops_h)
    assert in_one.cpu_h == pytest.approx(8.0, rel=0.01)


def test_backfill_takes_what_ends_in_time_and_refuses_what_does_not() -> None:
    running = [holds("a", "n", range(4), expected_end_us=NOW_US + 3_600_000_000)]
    waiting = [
        job("head", cards(8), submitted_us=1),
        job("long", cards(2), submitted_us=2, time_limit_s=7200.0),
        job("short", cards(2), submitted_us=3, time_limit_s=1800.0),
        job("endless", cards(1), submitted_us=4),
    ]
    answer = run(PlannerConfig(order="fifo"), nodes=[node("n")], running=running, waiting=waiting)
    assert started(answer) == ["short"]
    assert answer.placements[0].backfilled
    assert reason(answer, "long").code is Code.RESERVED
    assert reason(answer, "endless").code is Code.RESERVED
    head = reason(answer, "head")
    assert head.code is Code.CAPACITY
    assert head.start is not None
    assert head.start.latest_us == NOW_US + 3_600_000_000
    strict = run(
        PlannerConfig(order="fifo", backfill="strict"), nodes=[node("n")], running=running, waiting=waiting
    )
    assert started(strict) == []
    assert reason(strict, "short").code is Code.BEHIND
    greedy = PlannerConfig(order="fifo", backfill="greedy")
    assert started(run(greedy, nodes=[node("n")], running=running, waiting=waiting)) == ["long", "short"]


def test_quota_stops_at_the_maximum_and_borrows_what_is_idle() -> None:
    waiting = [job(f"r{i}", cards(1), submitted_us=i) for i in range(8)]
    quotas = [Quota("red", "cards:H100", guaranteed=2, maximum=5), Quota("blue", "cards", guaranteed=4)]
    answer = run(nodes=[node("n")], waiting=waiting, quotas=quotas)
    assert len(answer.placements) == 5
    assert [p.borrowing for p in answer.placements] == [False, False, True, True, True]
    why = reason(answer, "r7")
    assert why.code is Code.QUOTA
    assert "The limit of red for H100 cards is 5; 5 are in use" in str(why.message)
    closed = [replace(quotas[0], borrow=False), quotas[1]]
    assert len(run(nodes=[node("n")], waiting=waiting, quotas=closed).placements) == 2


def test_who_is_within_the_guarantee_goes_before_who_borrows() -> None:
    waiting = [job(f"r{i}", cards(2), "red", submitted_us=i, priority=9) for i in range(4)]
    waiting += [job(f"b{i}", cards(2), "blue", submitted_us=50 + i) for i in range(2)]
    quotas = [Quota("red", "cards", guaranteed=2), Quota("blue", "cards", guaranteed=4)]
    assert sorted(started(run(nodes=[node("n")], waiting=waiting, quotas=quotas))) == ["b0", "b1", "r0", "r1"]


def test_normalised_quota_counts_a_strong_card_for_more_than_a_weak_one() -> None:
    nodes = [node("h", 4), node("t", 4, model="t4")]
    waiting = [job(f"w{i}", Request(("t4",), 1), submitted_us=i) for i in range(4)]
    waiting += [job("s", cards(1), submitted_us=9)]
    quotas = [Quota("red", "pflops", maximum=0.5)]
    pflops = {MODEL: 1.0, "t4": 0.065}
    answer = run(nodes=nodes, waiting=waiting, quotas=quotas, pflops_of=pflops.__getitem__)
    assert started(answer) == ["w0", "w1", "w2", "w3"]
    assert reason(answer, "s").code is Code.QUOTA


def test_higher_priority_stops_the_cheapest_that_may_be_stopped_and_no_more() -> None:
    running = [
        holds("old", "n", range(2), preemptible=True, started_us=NOW_US - 90_000_000_000),
        holds("new", "n", range(2, 4), preemptible=True, started_us=NOW_US - 700_000_000),
        holds("young", "n", range(4, 6), preemptible=True, started_us=NOW_US - 1_000_000),
        holds("firm", "n", range(6, 8)),
    ]
    waiting = [job("urgent", cards(2), priority=5), job("meek", cards(2), submitted_us=2)]
    answer = run(nodes=[node("n")], running=running, waiting=waiting)
    assert [(p.attempt_id, p.for_job_id) for p in answer.preemptions] == [("new", "urgent")]
    assert reason(answer, "urgent").code is Code.PREEMPTING
    assert reason(answer, "meek").code is Code.CAPACITY
    ending = [replace(a, ending=a.id == "new") for a in running]
    again = run(nodes=[node("n")], running=ending, waiting=waiting)
    assert again.preemptions == (), "it waits for who is leaving already"
    assert reason(again, "urgent").code is Code.PREEMPTING
    assert (
        run(PlannerConfig(preemption="none"), nodes=[node("n")], running=running, waiting=waiting).preemptions
        == ()
    )


def test_nobody_is_stopped_when_that_would_not_do() -> None:
    running = [holds("a", "n", range(4), preemptible=True), holds("firm", "n", range(4, 8))]
    assert (
        run(nodes=[node("n")], running=running, waiting=[job("big", cards(8), priority=5)]).preemptions == ()
    )


def test_a_gang_is_stopped_whole_and_its_place_is_kept_for_the_claimant() -> None:
    tasks = tuple(TaskUse(n, 1000, 1024, tuple(DeviceUse(d) for d in range(8))) for n in ("a", "b"))
    gang = replace(holds("gang", "a", range(0)), tasks=tasks, preemptible=True)
    waiting = [job("urgent", cards(8), priority=5), job("thief", cards(8), "blue", submitted_us=9)]
    answer = run(nodes=[node("a"), node("b")], running=[gang], waiting=waiting)
    assert [p.attempt_id for p in answer.preemptions] == ["gang"]
    half = replace(gang, tasks=tasks[:1], ending=True)
    later = run(nodes=[node("a")], running=[half], waiting=waiting)
    assert started(later) == []


def test_nobody_is_stopped_for_a_job_that_another_stands_before() -> None:
    """What is stopped for `wide` would go to `first`, which may stop nobody itself; `wide` would still not fit."""
    running = [holds("mine", "n", range(2), preemptible=True, submitted_us=9)]
    waiting = [job("first", cards(1), "blue", submitted_us=1), job("wide", cards(2), submitted_us=2)]
    quotas = [Quota("red", "cards", guaranteed=4.0), Quota("blue", "cards", guaranteed=1.0)]
    config = PlannerConfig(order="fifo", preemption="rank", backfill="easy")
    rows = {"nodes": [node("n", 2)], "running": running, "quotas": quotas}
    assert run(config, **rows, waiting=waiting).preemptions == ()
    alone = run(config, **rows, waiting=waiting[1:])
    assert [(p.attempt_id, p.for_job_id) for p in alone.preemptions] == [("mine", "wide")]


def test_the_guarantee_is_taken_back_from_borrowers_only_as_far_as_they_borrow() -> None:
    running = [holds(f"b{i}", "n", range(i * 2, i * 2 + 2), "blue", preemptible=True) for i in range(4)]
    quotas = [Quota("red", "cards", guaranteed=6), Quota("blue", "cards", guaranteed=2)]
    waiting = [job("mine", cards(6), "red", priority=-1)]
    answer = run(nodes=[node("n")], running=running, waiting=waiting, quotas=quotas)
    assert len(answer.preemptions) == 3
    greedy = [replace(waiting[0], request=cards(8))]
    assert run(nodes=[node("n")], running=running, waiting=greedy, quotas=quotas).preemptions == ()


def test_an_array_runs_no_more_than_its_limit_and_goes_in_one_sweep() -> None:
    waiting = [
        job(f"e{i}", cards(1), array="arr", element=i, array_limit=5, submitted_us=1) for i in range(9)
    ]
    running = [replace(holds("e99", "n", range(1)), array="arr")]
    answer = run(nodes=[node("n")], running=running, waiting=waiting)
    assert started(answer) == ["e0", "e1", "e2", "e3"]
    assert reason(answer, "e4").code is Code.ARRAY_LIMIT
    assert answer.considered == 1


def test_every_job_has_a_reason_beyond_the_depth_too() -> None:
    waiting = [job(f"j{i}", Request(("H100",), 1, None, 1000 + i), submitted_us=i) for i in range(6)]
    answer = run(PlannerConfig(depth=2), nodes=[node("n")], waiting=waiting)
    assert started(answer) == ["j0", "j1"]
    assert [wait.reason.code for wait in answer.waits] == [Code.DEPTH] * 4


def test_not_before_is_kept() -> None:
    answer = run(nodes=[node("n")], waiting=[job("later", cards(1), not_before_us=NOW_US + 60_000_000)])
    assert reason(answer, "later").code is Code.NOT_BEFORE


def test_why_is_one_sentence_in_both_languages() -> None:
    running = [holds("a", "n", range(8), expected_end_us=NOW_US + 600_000_000)]
    answer = run(nodes=[node("n")], running=running, waiting=[job("head", cards(5))])
    wait = answer.waits[0]
    sentence = explain(wait.reason, wait.position, len(answer.waits), NOW_US)
    assert str(sentence) == (
        "Not enough is free: 5 × H100 on one node; none is free. Number 1 of 1 in line. "
        "It starts once that many devices are free on one node: in about 5 min, at the latest in 10 min."
    )
    chinese = sentence.render("zh-CN")
    assert "5 张 H100" in chinese
    assert "最迟 10 分钟" in chinese
    assert "line" not in chinese


def test_every_reason_has_its_chinese() -> None:
    chinese = translations("zh-CN")
    running = [
        holds("a", "n", range(4), preemptible=True, expected_end_us=NOW_US + 600_000_000),
    ]
    waiting = [
        job("urgent", cards(8), priority=9),
        job("no", cards(64)),
        job("cpu", Request(cpu_milli=63_500, memory_mib=1)),
        job("share", Request((), 0, ShareRequest(80 * 1024, 0))),
        job("q", cards(1), "blue"),
    ]
    answer = run(
        nodes=[node("n")], running=running, waiting=waiting, quotas=[Quota("blue", "cards", maximum=0)]
    )
    for wait in answer.waits:
        for sentence in (wait.reason.message, wait.reason.unblock, *(d.message for d in wait.reason.details)):
            assert chinese.gettext(sentence.template) != sentence.template


def test_models_are_matched_by_words() -> None:
    models = ("h100-sxm-80g", "a100-pcie-40g", "a100-sxm-80g", "NVIDIA A1000")
    assert match_models(("A100",), models) == ("a100-pcie-40g", "a100-sxm-80g")
    assert match_models(("a100 80G", "H100"), models) == ("h100-sxm-80g", "a100-sxm-80g")
    assert match_models((), models) == match_models(("any",), models) == models
    assert match_models(("",), models) == ()


def test_a_job_for_any_model_takes_the_weakest_that_fits() -> None:
    nodes = [node("h", 4), node("t", 4, model="t4")]
    pflops = {MODEL: 1.0, "t4": 0.065}
    answer = run(nodes=nodes, waiting=[job("a", Request(("any",), 2))], pflops_of=pflops.__getitem__)
    assert answer.placements[0].model == "t4"
    assert answer.placements[0].gflops == 130_000


def test_a_builder_follows_changes() -> None:
    builder = SnapshotBuilder(lambda model: 1.0)
    report = NodeReport("n", 8.5, 16.0, 100.0, (DeviceReport(3, "NVIDIA", MODEL, 79.6),), healthy=True)
    builder.set_node(node_row(report))
    builder.add_waiting(job("a", cards(1)))
    answer = plan(builder.build(NOW_US, revision=7), PlannerConfig())
    assert answer.revision == 7
    assert devices(answer, "a") == [("n", [3])]
    builder.remove_waiting("a")
    builder.add_running(holds("a", "n", range(3, 4)))
    builder.add_waiting(job("b", cards(1)))
    assert reason(plan(builder.build(NOW_US), PlannerConfig()), "b").code is Code.CAPACITY
    builder.remove_running("a")
    assert started(plan(builder.build(NOW_US), PlannerConfig())) == ["b"]
    builder.remove_node("n")
    assert reason(plan(builder.build(NOW_US), PlannerConfig()), "b").code is Code.IMPOSSIBLE


def test_wrong_settings_are_named() -> None:
    with pytest.raises(InvalidInput, match="order policy named lifo"):
        run(PlannerConfig(order="lifo"), nodes=[])
    with pytest.raises(InvalidInput, match="not on gold"):
        build(now_us=NOW_US, nodes=[], quotas=[Quota("red", "gold")])
    with pytest.raises(InvalidInput):
        Request(count=-1)
    assert config_from_json(PlannerConfig(depth=3).to_json()) == PlannerConfig(depth=3)


def test_an_empty_center_and_an_empty_queue_are_fine() -> None:
    assert run(nodes=[]).placements == ()
    assert run(nodes=[node("n")]).waits == ()
    assert reason(run(nodes=[], waiting=[job("a", cards(1))]), "a").code is Code.IMPOSSIBLE


def test_nobody_is_stopped_on_one_model_when_a_stop_on_another_is_enough() -> None:
    """The claim may run on either model; what makes room on the first also makes room on the second with fewer stops."""
    nodes = [node("large", 2), node("small", 2, model="a100-80g")]
    on_both = replace(
        holds("both", "large", range(1), priority=-5, preemptible=True),
        tasks=(TaskUse("large", 1000, 1024, (DeviceUse(1),)), TaskUse("small", 1000, 1024, (DeviceUse(0),))),
    )
    on_large = holds("alone", "large", range(1), priority=-5, preemptible=True)
    claim = job("claim", Request(("any",), 2, None, 1000, 1024), priority=5)
    for order in ([on_both, on_large], [on_large, on_both]):
        answer = run(nodes=nodes, running=order, waiting=[claim])
        assert [stop.attempt_id for stop in answer.preemptions] == ["both"]
    swapped = [replace(nodes[0], name="small"), replace(nodes[1], name="large")]
    answer = run(nodes=swapped, running=[on_both, on_large], waiting=[claim])
    assert [stop.attempt_id for stop in answer.preemptions] == ["both"]
