"""Orders that rank what runs beside what waits, and preemption by that rank."""

from __future__ import annotations

import numpy as np

from pearlstreet.compute.scheduling.builder import build
from pearlstreet.compute.scheduling.config import PlannerConfig, QueuePolicy, config_from_json
from pearlstreet.compute.scheduling.cycle import plan
from pearlstreet.compute.scheduling.order.gittins import Index, Seen
from pearlstreet.compute.scheduling.order.las import Las
from pearlstreet.compute.scheduling.plan import Code, Plan
from pearlstreet.compute.scheduling.rows import (
    DeviceRow,
    DeviceUse,
    NodeRow,
    Request,
    RunningAttempt,
    TaskUse,
    WaitingJob,
)

NOW_US = 1_000_000_000_000
HOUR_US = 3_600_000_000
CARD = Request(count=1)
SLICING = PlannerConfig(order="las", preemption="rank", backfill="greedy", min_run_s=0.0, grace_s=0.0)


def node(name: str, cards: int = 1) -> NodeRow:
    return NodeRow(name, 8000, 64, tuple(DeviceRow(d, "t4", 16) for d in range(cards)))


def runs(
    name: str, on: str, hours: float, *, cards: tuple[int, ...] = (0,), **more: object
) -> RunningAttempt:
    """An attempt that has run so many hours."""
    started = NOW_US - round(hours * HOUR_US)
    use = TaskUse(on, 0, 0, tuple(DeviceUse(card) for card in cards))
    row = {"submitted_us": started, "preemptible": True, "request": Request(count=len(cards)), **more}
    return RunningAttempt(name, f"job-{name}", "o", "p", (use,), started_us=started, **row)  # type: ignore[arg-type]


def waits(
    name: str, submitted_h: float = 1, *, served_h: float = 0, request: Request = CARD, **more: object
) -> WaitingJob:
    """A job that was submitted so many hours ago."""
    return WaitingJob(
        name, "o", "p", request, submitted_us=NOW_US - round(submitted_h * HOUR_US),
        served_device_us=round(served_h * HOUR_US), **more,  # type: ignore[arg-type]
    )  # fmt: skip


def answer(
    config: PlannerConfig,
    nodes: list[NodeRow],
    running: list[RunningAttempt],
    jobs: list[WaitingJob],
    **more: object,
) -> Plan:
    return plan(build(now_us=NOW_US, nodes=nodes, running=running, waiting=jobs, **more), config)  # type: ignore[arg-type]


def stopped(found: Plan) -> list[str]:
    return [one.attempt_id for one in found.preemptions]


def test_a_new_job_displaces_one_that_had_its_share() -> None:
    found = answer(SLICING, [node("n")], [runs("long", "n", 6)], [waits("new")])
    assert stopped(found) == ["long"]
    assert found.waits[0].reason.code is Code.PREEMPTING


def test_equals_do_not_take_turns() -> None:
    found = answer(
        SLICING, [node("n")], [runs("a", "n", 2, submitted_us=NOW_US - 9 * HOUR_US)], [waits("b", 8)]
    )
    assert not stopped(found), "the same level, and the one that runs came first"


def test_who_came_first_goes_first_inside_a_level() -> None:
    found = answer(SLICING, [node("n")], [runs("late", "n", 6)], [waits("early", 20, served_h=7)])
    assert stopped(found) == ["late"]


def test_nobody_is_swapped_for_less_than_a_restart() -> None:
    ends_soon = runs("almost", "n", 6, predicted_s=6 * 3600 + 30)
    assert not stopped(answer(SLICING, [node("n")], [ends_soon], [waits("new")]))
    just_back = runs("back", "n", 0.005, served_device_us=9 * HOUR_US)
    assert not stopped(answer(SLICING, [node("n")], [just_back], [waits("new")]))


def test_the_fewest_devices_are_cleared_for_a_gang() -> None:
    nodes = [node("a", 4), node("b", 4)]
    running = [
        runs("wide", "a", 9, cards=(0, 1, 2, 3)),
        runs("one", "b", 9, cards=(0,)),
        runs("two", "b", 9, cards=(1,)),
    ]
    found = answer(SLICING, nodes, running, [waits("gang", request=Request(count=3))])
    assert len(stopped(found)) == 1
    assert set(stopped(found)) <= {"one", "two"}


def test_what_cannot_be_stopped_stays() -> None:
    for spared in (runs("x", "n", 9, preemptible=False), runs("x", "n", 9, ending=True)):
        assert not stopped(answer(SLICING, [node("n")], [spared], [waits("new")]))


def test_levels_change_when_the_next_one_is_reached() -> None:
    snapshot = build(now_us=NOW_US, nodes=[node("n", 2)], running=[runs("a", "n", 1, cards=(0, 1))])
    assert Las().changes_us(snapshot, SLICING) == NOW_US + round(1.5 * HOUR_US), "5 device hours, 2 devices"


def test_who_waited_too_long_goes_first_and_is_not_displaced() -> None:
    patient = PlannerConfig(
        order="las", preemption="rank", backfill="greedy", min_run_s=0.0, wait_max_s=48 * 3600.0
    )
    jobs = [waits("new", 1), waits("old", 60, served_h=9)]
    assert [p.job_id for p in answer(patient, [node("n")], [], jobs).placements] == ["old"]
    assert [p.job_id for p in answer(SLICING, [node("n")], [], jobs).placements] == ["new"]
    waited = runs("old", "n", 1, submitted_us=NOW_US - 60 * HOUR_US)
    assert not stopped(answer(patient, [node("n")], [waited], [waits("new")]))


def prices(ended: list[tuple[float, int]], alive: list[tuple[float, int]]) -> list[float]:
    """What each living job costs by the index: (hours, devices), all far apart in time but where minutes say so."""
    rows = [*ended, *alive]
    seen = Seen(
        np.zeros(len(rows), dtype=np.int64),
        np.array([devices for _, devices in rows], dtype=np.int64),
        np.array([24 * HOUR_US * n for n in range(len(rows))], dtype=np.int64),
        np.array([round(hours * HOUR_US) for hours, _ in rows], dtype=np.int64),
        np.arange(len(rows)) >= len(ended),
    )
    return Index(seen).price(seen.run_us[len(ended) :]).tolist()


def test_gittins_favours_who_is_likely_to_end_soon() -> None:
    """Most jobs need an hour, the others a hundred: past the first hour a job is worth less than a new one."""
    sample = [(1.0, 1)] * 80 + [(100.0, 1)] * 20
    new, passed, near = (prices(sample, [(hours, 1)])[0] for hours in (0, 2, 95))
    assert new < passed
    assert near < passed


def test_living_jobs_count_in_what_is_learnt() -> None:
    short = [(1.0, 1)] * 10
    assert prices(short, [(2.0, 1)] + [(500.0, 1)] * 10)[0] > prices(short, [(2.0, 1)])[0]


def test_sizes_differ_in_what_they_need() -> None:
    ended = [(0.1, 1)] * 20 + [(50.0, 8)] * 20
    small, wide = prices(ended, [(0.0, 1), (0.0, 8)])
    assert small < wide


def test_one_of_a_batch_tells_of_the_others() -> None:
    """Runs of one thing, submitted together: one has ended after ten hours, so who ran nine is almost over."""
    history = [(0.5, 1)] * 30 + [(200.0, 1)] * 30
    rows = [*history, (10.0, 1), (9.0, 1), (9.0, 1)]
    together = np.array([24 * HOUR_US * n for n in range(60)] + [9999 * HOUR_US] * 2 + [0])
    together[-1] = 99 * 24 * HOUR_US
    lives = np.arange(63) >= 61
    run_us = np.array([round(hours * HOUR_US) for hours, _ in rows], dtype=np.int64)
    seen = Seen(np.zeros(63, dtype=np.int64), np.ones(63, dtype=np.int64), together, run_us, lives)
    mate, stranger = Index(seen).price(run_us[lives])
    assert mate < stranger / 2


def test_conservative_backfill_delays_no_reserved_job() -> None:
    """Behind two blocked gangs a job may start only if it is over before either is due."""
    nodes = [node("a", 2), node("b", 2)]
    running = [
        runs("r1", "a", 1, cards=(0,), expected_end_us=NOW_US + HOUR_US),
        runs("r2", "b", 1, cards=(0,), expected_end_us=NOW_US + 2 * HOUR_US),
    ]
    pair = Request(count=2)
    jobs = [waits("g1", 9, request=pair), waits("g2", 8, request=pair), waits("open", 1)]

    def started(backfill: str) -> list[str]:
        config = PlannerConfig(order="fifo", backfill=backfill, preemption="none")
        return [p.job_id for p in answer(config, nodes, running, jobs).placements]

    assert started("conservative") == []
    assert started("easy") == ["open"], "only the first gang holds a place"


def test_queues_have_their_own_policies_and_rank() -> None:
    config = PlannerConfig(
        order="fifo",
        queues=(QueuePolicy("night", rank=1, order="shortest"), QueuePolicy("fast", rank=-1)),
    )
    jobs = [
        waits("n-long", 9, queue="night", time_limit_s=900.0),
        waits("n-short", 8, queue="night", time_limit_s=9.0),
        waits("plain", 5),
        waits("urgent", 1, queue="fast"),
    ]
    nodes = [node(str(i)) for i in range(3)]
    assert [p.job_id for p in answer(config, nodes, [], jobs).placements] == ["urgent", "plain", "n-short"]
    assert config_from_json(config.to_json()) == config


def test_configurations_from_before_preemption_had_names_are_read() -> None:
    assert config_from_json({"preemption": True}).preemption == "priority"
    assert config_from_json({"preemption": False}).preemption == "none"


def test_an_estimate_from_predictions_is_called_a_guess() -> None:
    config = PlannerConfig(order="fifo", preemption="none")
    known = runs("r", "n", 1, predicted_s=2 * 3600.0, predicted_low_s=5000.0, predicted_high_s=4 * 3600.0)
    start = answer(config, [node("n")], [known], [waits("w")]).waits[0].reason.start
    assert start is not None
    assert (start.guess, start.likely_us, start.latest_us) == (True, NOW_US + HOUR_US, NOW_US + 3 * HOUR_US)
    assert answer(config, [node("n")], [runs("r", "n", 1)], [waits("w")]).waits[0].reason.start is None


def test_a_predicted_end_lets_nobody_pass_a_reservation() -> None:
    """The gang is due in an hour; a job thought to take a minute might take longer."""
    nodes = [node("n", 2)]
    running = [runs("r", "n", 1, expected_end_us=NOW_US + HOUR_US)]
    jobs = [waits("gang", 9, request=Request(count=2)), waits("quick", 1, predicted_s=60.0)]
    config = PlannerConfig(order="fifo", preemption="none")
    assert not answer(config, nodes, running, jobs).placements
