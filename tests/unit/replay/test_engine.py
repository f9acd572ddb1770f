"""The replay engine against traces small enough to be worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from benchmarks import elastic_trace

from pearlstreet.base.errors import InvalidInput
from pearlstreet.compute.replay.cases import Case, play
from pearlstreet.compute.replay.clusters import Cluster, one_pool, plain_node
from pearlstreet.compute.replay.constraints import Terms
from pearlstreet.compute.replay.engine import Replay
from pearlstreet.compute.replay.measures import measure
from pearlstreet.compute.replay.outcome import Outcome
from pearlstreet.compute.replay.reading.shapes import gang, whole_devices
from pearlstreet.compute.replay.settings import ReplaySettings
from pearlstreet.compute.replay.trace import Job, make_trace
from pearlstreet.compute.replay.writing import decision_rows, schedule_rows
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.rows import Quota

FIFO = PlannerConfig(order="fifo", backfill="greedy", preemption="none")
STRICT = replace(FIFO, backfill="strict")
PRIORITY = PlannerConfig(order="priority", backfill="greedy", preemption="priority", min_run_s=600)
SETTINGS = ReplaySettings()


def job(name: str, submit_s: float, duration_s: float, cards: int, per_node: int = 4, **more: object) -> Job:
    tasks, each = gang(cards, per_node)
    return Job(name, submit_s, duration_s, whole_devices(each), tasks, **more)  # type: ignore[arg-type]


def replay(
    jobs: list[Job], nodes: int = 1, config: PlannerConfig = FIFO, settings: ReplaySettings = SETTINGS
) -> Outcome:
    cluster = [plain_node(f"n{i}", 4, "gpu") for i in range(nodes)]
    return Replay(make_trace(jobs), cluster, config, settings, lambda model: 1.0).run()


def runs(outcome: Outcome) -> list[tuple[str, float, float]]:
    found = zip(outcome.runs.job, outcome.runs.start_us, outcome.runs.end_us, strict=True)
    return sorted((outcome.trace.ids[job], start / 1e6, end / 1e6) for job, start, end in found)


def test_first_come_first_served_with_skipping() -> None:
    found = replay([job("a", 0, 10, 3), job("b", 1, 5, 2), job("c", 2, 5, 1), job("d", 3, 4, 2)])
    assert runs(found) == [("a", 0, 10), ("b", 10, 15), ("c", 2, 7), ("d", 10, 14)]


def test_strict_order_lets_nobody_pass() -> None:
    found = replay([job("a", 0, 10, 3), job("b", 1, 5, 2), job("c", 2, 5, 1)], config=STRICT)
    assert runs(found) == [("a", 0, 10), ("b", 10, 15), ("c", 10, 15)]


def test_a_gang_starts_whole() -> None:
    found = replay([job("a", 0, 10, 1), job("b", 1, 5, 8), job("c", 2, 3, 4)], nodes=2)
    assert runs(found) == [("a", 0, 10), ("b", 10, 15), ("c", 2, 5)]
    assert [len(place) for place in found.runs.place] == [1, 1, 2]


def test_times_count_from_the_first_submission() -> None:
    found = replay([job("a", 1000, 10, 4), job("b", 1004, 5, 4)])
    assert runs(found) == [("a", 0, 10), ("b", 10, 15)]
    assert found.wait_us.tolist() == [0, 6e6]


@pytest.mark.parametrize(
    ("checkpoint_s", "lost_s"),
    [(0, 0), (300, 100), (-1, 700)],
)
def test_a_preempted_job_loses_what_it_did_not_save_and_pays_for_its_restart(
    checkpoint_s: float, lost_s: float
) -> None:
    jobs = [job("low", 0, 1000, 4), job("high", 700, 50, 4, priority=1)]
    found = replay(jobs, config=PRIORITY, settings=ReplaySettings(checkpoint_s=checkpoint_s, restart_s=40))
    end = 750 + 300 + lost_s + 40
    assert runs(found) == [("high", 700, 750), ("low", 0, 700), ("low", 750, end)]
    assert found.stops.tolist() == [1, 0]
    assert found.lost_us.tolist() == [(lost_s + 40) * 1e6, 0]
    assert found.held_us.tolist() == [(700 + end - 750) * 1e6, 50e6]


def test_nobody_is_stopped_before_the_minimum_and_time_alone_is_noticed() -> None:
    """Nothing happens at 600 s: the engine itself must ask again."""
    found = replay([job("low", 0, 5000, 4), job("high", 100, 50, 4, priority=1)], config=PRIORITY)
    first = next(start for name, start, _ in runs(found) if name == "high")
    assert 600 <= first <= 600 + SETTINGS.tick_s


def test_a_stopped_job_may_take_its_time() -> None:
    jobs = [job("low", 0, 1000, 4), job("high", 700, 50, 4, priority=1)]
    found = replay(jobs, config=PRIORITY, settings=ReplaySettings(stop_s=30))
    assert runs(found)[:2] == [("high", 730, 780), ("low", 0, 730)]


def test_what_does_not_allow_it_is_never_stopped() -> None:
    jobs = [job("low", 0, 1000, 4, preemptible=False), job("high", 700, 50, 4, priority=1)]
    assert runs(replay(jobs, config=PRIORITY)) == [("high", 1000, 1050), ("low", 0, 1000)]


def test_what_an_empty_cluster_could_not_run_is_left_out_and_said() -> None:
    found = replay([job("a", 0, 10, 5, per_node=8), job("b", 1, 5, 4)])
    assert runs(found) == [("b", 1, 6)]
    assert found.never == {0: "impossible"}


def test_pods_that_stay_have_one_attempt() -> None:
    pods = [Job(f"p{i}", i, 0, whole_devices(size), stays=True) for i, size in enumerate((3, 2, 1, 1))]
    found = replay(pods)
    played = play(make_trace(pods), Case("x", one_pool([plain_node("n", 4, "gpu")]), FIFO))
    assert [(name, bool(node)) for name, node, _ in decision_rows(played)] == [
        ("p0", True), ("p1", False), ("p2", True), ("p3", False),
    ]  # fmt: skip
    assert set(found.never.values()) == {"capacity"}


def test_a_known_limit_lets_a_short_job_pass_the_reservation() -> None:
    """EASY: the head holds the moment at which all is free; only who is over by then may start before."""
    easy = replace(FIFO, backfill="easy")
    jobs = [
        job("a", 0, 100, 3, limit_s=100),
        job("head", 1, 10, 4, limit_s=10),
        job("long", 2, 500, 1, limit_s=500),
        job("short", 3, 50, 1, limit_s=50),
    ]
    assert runs(replay(jobs, config=easy)) == [
        ("a", 0, 100), ("head", 100, 110), ("long", 110, 610), ("short", 3, 53),
    ]  # fmt: skip


def two_parts() -> Cluster:
    return Cluster({vc: (plain_node(f"{vc}/0", 4, "gpu"),) for vc in ("red", "blue")})


def test_virtual_clusters_alone_in_one_pool_and_with_guarantees() -> None:
    jobs = [job(f"r{i}", i, 5000, 4, org="red") for i in range(2)] + [job("b", 700, 100, 4, org="blue")]
    trace = make_trace(jobs)

    def starts(sharing: str) -> dict[str, list[float]]:
        played = play(trace, Case("x", two_parts(), replace(FIFO, preemption="priority"), SETTINGS, sharing))
        found: dict[str, list[float]] = {}
        for name, start, _, _ in schedule_rows(played):
            found.setdefault(name, []).append(float(start))
        return found

    assert starts("isolated") == {"r0": [0], "r1": [5000], "b": [700]}
    assert starts("pool") == {"r0": [0], "r1": [1], "b": [5000]}
    assert starts("guaranteed") == {"r0": [0], "r1": [1, 800], "b": [700]}, "borrowed cards are given back"


def test_a_virtual_cluster_that_is_not_there_is_named() -> None:
    trace = make_trace([job("a", 0, 1, 1, org="green")])
    with pytest.raises(InvalidInput, match="green"):
        play(trace, Case("x", two_parts(), FIFO, SETTINGS, "isolated"))


def test_the_same_question_gets_the_same_answer() -> None:
    jobs = [job(f"j{i}", i * 3 % 17, 5 + i * 7 % 23, 1 + i % 6) for i in range(60)]
    first, second = (replay(jobs, nodes=3, config=PlannerConfig()) for _ in range(2))
    assert runs(first) == runs(second)
    assert first.runs.place == second.runs.place


def test_figures_of_a_case() -> None:
    jobs = [job("a", 0, 10, 4), job("b", 0, 10, 2), job("c", 5, 5, 4)]
    played = play(make_trace(jobs), Case("x", one_pool([plain_node("n", 4, "gpu")]), STRICT))
    found = measure(played)
    assert found.makespan_s == 25
    assert found.times.jobs == 3
    assert found.times.avg_jct_s == pytest.approx((10 + 20 + 20) / 3, abs=1e-3)
    assert found.times.avg_queue_s == pytest.approx((0 + 10 + 15) / 3, abs=1e-3)
    assert found.utilisation_cards == pytest.approx((40 + 20 + 20) / 100)
    assert found.preemptions == 0
    assert found.lost_card_h == 0


def test_a_resize_does_not_lengthen_the_limit_that_others_rely_on() -> None:
    """`wide` is cut for `b`; `all` then waits for the end of its limit, and who would run past that must not pass."""
    config = PlannerConfig(
        order="fifo", backfill="easy", preemption="none", elasticity="shrink", min_run_s=600
    )
    each = whole_devices(4)
    jobs = [
        Job("wide", 0, 900, each, 2, limit_s=1000, min_tasks=1, max_tasks=2),
        job("b", 600, 40, 4, limit_s=60),
        Job("all", 610, 10, each, 2, limit_s=20),
        job("c", 700, 10, 4, limit_s=500),
    ]
    found = {(name, start) for name, start, _ in runs(replay(jobs, nodes=2, config=config))}
    starts = {name: [start for other, start in sorted(found) if other == name] for name, _ in found}
    assert starts["b"] == [600]
    assert starts["wide"] == [0, 600], "cut once"
    assert starts["all"][0] < starts["c"][0]


def test_a_resize_that_came_to_nothing_counts_as_no_stop() -> None:
    """A job that was to be resized and stands as it stood at the same moment was never disturbed."""
    jobs = [
        Job(
            row["job"], row["submitted"], row["duration_s"], whole_devices(row["count"]), row["tasks"],
            limit_s=row["time_limit_s"], org=row["org"], min_tasks=row.get("min_tasks", 0),
            max_tasks=row.get("max_tasks", 0),
        )
        for row in elastic_trace.rows(120, gap_s=150.0, seed=50)
    ]  # fmt: skip
    found = replay(jobs, nodes=8, config=PlannerConfig(elasticity="grow-shrink"))
    assert int(found.resizes.sum()) > 0
    assert int(found.stops.min()) == int(found.stops.max()) == 0, "none of them may be preempted"
    assert int(found.resizes.min()) >= 0


def test_what_runs_without_cards_leaves_the_cards_of_others_to_them() -> None:
    """A CPU job that started first ends: the organisation at its limit is still at its limit."""
    jobs = [
        Job("cpu", 0, 5, whole_devices(0), org="other"),
        Job("held", 1, 20, whole_devices(4), org="acme"),
        Job("next", 2, 5, whole_devices(4), org="acme"),
        Job("free", 8, 5, whole_devices(4), org="other"),
    ]
    cluster = [plain_node(f"n{i}", 4, "gpu") for i in range(2)]
    terms = Terms(quotas=(Quota("acme", "cards", maximum=4.0),))
    found = Replay(make_trace(jobs), cluster, FIFO, SETTINGS, lambda model: 1.0, terms).run()
    assert runs(found) == [("cpu", 0, 5), ("free", 8, 13), ("held", 1, 21), ("next", 21, 26)]
