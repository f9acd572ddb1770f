"""What a what-if supposes: lines as people write them, and what a replay then does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pearlstreet.base.errors import InvalidInput
from pearlstreet.compute.replay.cases import Case, play
from pearlstreet.compute.replay.clusters import Cluster, one_pool, plain_node
from pearlstreet.compute.replay.constraints import NO_TERMS, Held, Terms
from pearlstreet.compute.replay.reading.shapes import whole_devices
from pearlstreet.compute.replay.scenario_overrides import (
    Supposed,
    held,
    parse_quota,
    suppose,
    with_queue,
    without,
)
from pearlstreet.compute.replay.trace import Job, make_trace
from pearlstreet.compute.scheduling.config import PlannerConfig, QueuePolicy
from pearlstreet.compute.scheduling.rows import Account, Quota, Reservation

FIFO = PlannerConfig(order="fifo", backfill="greedy", preemption="none")
NODES = tuple(plain_node(f"n{i}", 4, "gpu") for i in range(2))
DAY_S = 86_400.0


def job(name: str, submit_s: float, duration_s: float, cards: int, **more: object) -> Job:
    return Job(name, submit_s, duration_s, whole_devices(cards), **more)  # type: ignore[arg-type]


def runs(
    jobs: list[Job],
    supposed: Supposed = Supposed(),  # noqa: B008
    *,
    terms: Terms = NO_TERMS,
    config: PlannerConfig = FIFO,
    cluster: Cluster | None = None,
) -> list[tuple[str, float, float, str]]:
    """Name, start, end and node of every run."""
    where = cluster or one_pool(NODES)
    trace = make_trace(jobs)
    other, changed = suppose(supposed, terms, config, where.nodes, trace.origin_s)
    (outcome,) = play(trace, Case("x", where, changed, terms=other)).outcomes
    found = outcome.runs
    return sorted(
        (trace.ids[row], start / 1e6, end / 1e6, outcome.node_names[place[0][0]])
        for row, start, end, place in zip(found.job, found.start_us, found.end_us, found.place, strict=True)
    )


def when(jobs: list[Job], supposed: Supposed, **more: object) -> list[tuple[str, float, float]]:
    return [(name, start, end) for name, start, end, _ in runs(jobs, supposed, **more)]  # type: ignore[arg-type]


def test_a_limit_holds_jobs_back_and_taking_it_away_lets_them_go() -> None:
    jobs = [job(f"{org}{i}", 0, 10, 2, org=org) for org in ("a", "b") for i in range(2)]
    free = Supposed(quotas=("a:cards,off",))
    tight = Terms(quotas=(Quota("a", "cards", maximum=2.0),))
    late = [("a0", 0, 10), ("a1", 10, 20), ("b0", 0, 10), ("b1", 0, 10)]
    assert when(jobs, Supposed(), terms=tight) == late
    assert when(jobs, Supposed(quotas=("a:cards,maximum=2",))) == late
    assert all(end == 10 for _, _, end in when(jobs, free, terms=tight))


def test_a_guarantee_brings_back_what_was_lent() -> None:
    config = replace(FIFO, preemption="priority", min_run_s=0)
    jobs = [job(f"a{i}", 0, 100, 4, org="a") for i in range(2)] + [job("b", 10, 10, 4, org="b")]
    assert ("b", 100, 110) in when(jobs, Supposed(), config=config)
    found = when(jobs, Supposed(quotas=("b:cards,guaranteed=4",)), config=config)
    assert ("b", 10, 20) in found


def test_a_queue_of_lower_rank_goes_first() -> None:
    jobs = [job("x", 0, 10, 4), job("y", 0, 10, 4), job("late", 1, 10, 4), job("urgent", 2, 10, 4, queue="u")]
    one = one_pool(NODES[:1])
    before = [("late", 20, 30), ("urgent", 30, 40), ("x", 0, 10), ("y", 10, 20)]
    assert when(jobs, Supposed(), cluster=one) == before
    after = [("late", 30, 40), ("urgent", 10, 20), ("x", 0, 10), ("y", 20, 30)]
    assert when(jobs, Supposed(queues=("u,rank=-5",)), cluster=one) == after
    set_up = replace(FIFO, queues=(QueuePolicy("u", rank=-5),))
    assert when(jobs, Supposed(queues=("u,off",)), cluster=one, config=set_up) == before


def test_maintenance_stops_what_runs_there_and_nothing_starts_before_it_is_over() -> None:
    one = one_pool(NODES[:1])
    jobs = [job("a", 0, 100, 4), job("short", 5, 10, 4, limit_s=15)]
    found = when(jobs, Supposed(windows=("maintenance,nodes=n0,from=50s,for=200s,known=0s",)), cluster=one)
    assert found[0] == ("a", 0, 50)
    assert min(start for _, start, _ in found[1:]) == 250
    assert {name for name, _, _ in found} == {"a", "short"}


def test_who_would_run_into_a_window_starts_elsewhere_and_who_would_not_starts_there() -> None:
    jobs = [job("long", 0, 100, 4, limit_s=200), job("short", 0, 20, 4, limit_s=30)]
    found = runs(jobs, Supposed(windows=("maintenance,nodes=n0,from=60s",)))
    assert found == [("long", 0, 100, "n1"), ("short", 0, 20, "n0")]


def test_the_planner_knows_of_a_window_only_from_when_it_is_known() -> None:
    jobs = [job("a", 0, 100, 4)]
    supposed = Supposed(windows=("maintenance,nodes=n0,from=50s,for=100s,known=10s",))
    one = one_pool(NODES[:1])
    assert when(jobs, supposed, cluster=one)[0] == ("a", 0, 50)
    early = Supposed(windows=("maintenance,nodes=n0,from=50s,for=100s",))
    assert [start for _, start, _ in when(jobs, early, cluster=one)] == [150]


def test_a_reservation_keeps_cards_for_one_organisation() -> None:
    jobs = [job("a", 0, 10, 4, org="a"), job("b", 0, 10, 4, org="b"), job("c", 0, 10, 4, org="b")]
    found = runs(jobs, Supposed(windows=("reservation,org=a,model=gpu,cards=4",)))
    on = {name: node for name, _, _, node in found}
    assert on["b"] == on["c"] == "n1"
    assert on["a"] in ("n0", "n1")
    assert max(end for name, _, end, _ in found if name != "a") >= 20


def test_windows_that_were_count_from_their_own_days() -> None:
    """Moments of the calendar, where the trace has it; an origin that is none is told."""
    line = "maintenance,nodes=n1,from=2026-01-02T00:00Z,until=2026-01-03T00:00+00:00"
    (one,) = held(line, "w", NODES, 1_767_225_600.0)
    assert one == Held(
        Reservation("w", round(DAY_S * 1e6), round(2 * DAY_S * 1e6), "n1", None, "", ""), known_us=0
    )
    with pytest.raises(InvalidInput, match="on which day"):
        held(line, "w", NODES, 0.0)


def test_windows_reach_nodes_of_virtual_clusters_that_share_one_pool() -> None:
    parts = Cluster({"a": (plain_node("a/0", 4, "gpu"),), "b": (plain_node("b/0", 4, "gpu"),)})
    jobs = [job("x", 0, 100, 4, org="a")]
    window = Terms(held=(Held(Reservation("w", 0, 500_000_000, "a/0")),))
    (outcome,) = play(make_trace(jobs), Case("x", parts, FIFO, sharing="guaranteed", terms=window)).outcomes
    assert [place[0][0] for place in outcome.runs.place] == [1]


def test_weights_decide_whose_turn_it_is() -> None:
    jobs = [job("first", 0, 100, 4, org="c")]
    jobs += [job(f"{org}{i}", 1, 100, 4, org=org) for org in ("a", "b") for i in range(2)]
    weighed = Terms(accounts=(Account("b", "b", org_weight=9.0),))
    fair = replace(FIFO, order="fair-share")
    one = one_pool([plain_node("n", 4, "H100-80G")])

    def turns(terms: Terms) -> str:
        starts = sorted(
            (start, name) for name, start, _, _ in runs(jobs, terms=terms, config=fair, cluster=one)
        )
        return "".join(name[0] for _, name in starts[1:])

    assert turns(NO_TERMS) == "abab"
    assert turns(weighed) == "abba"


def test_machines_are_taken_away_by_name_and_by_kind() -> None:
    nodes = (*NODES, plain_node("big", 8, "H100-80G"), plain_node("bare", 0, "gpu"))
    assert [node.name for node in without(nodes, "n0")] == ["n1", "big", "bare"]
    assert [node.name for node in without(nodes, "1x4xgpu, 1x8xH100")] == ["n0", "bare"]
    assert [node.name for node in without(nodes, "1xcpu")] == ["n0", "n1", "big"]
    for wrong in ("3x4xgpu", "nobody", "0x4xgpu", "2x4xgpu,big,bare"):
        with pytest.raises(InvalidInput):
            without(nodes, wrong)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (Supposed(quotas=("cards,maximum=3",)), "Say whose limit"),
        (Supposed(quotas=("a:watts,maximum=3",)), "A quota is on"),
        (Supposed(quotas=("a:cards",)), "Give guaranteed, maximum, or both"),
        (Supposed(quotas=("a:cards,maximum=-3",)), "not a number from 0 on"),
        (Supposed(quotas=("a:cards,maximum=nan",)), "not a number from 0 on"),
        (Supposed(quotas=("a:cards,guaranteed=3,maximum=2",)), "less than what is guaranteed"),
        (Supposed(quotas=("a:cards,most=3",)), "nothing named most"),
        (Supposed(queues=("rank=3",)), "Say which queue"),
        (Supposed(queues=("u",)), "Say how it is set"),
        (Supposed(queues=("u,rank=high",)), "not a whole number"),
        (Supposed(queues=("u,order=fifi",)), "no order policy named fifi"),
        (Supposed(windows=("closed,nodes=n0",)), "begins with maintenance or reservation"),
        (Supposed(windows=("maintenance",)), "Name either nodes"),
        (Supposed(windows=("maintenance,org=a,nodes=n0",)), "Maintenance is for nobody"),
        (Supposed(windows=("reservation,nodes=n0",)), "Say for which organisation"),
        (Supposed(windows=("reservation,org=a,model=gpu,cards=99",)), "99 cards of gpu are wanted"),
        (Supposed(windows=("maintenance,nodes=n0,from=soon",)), "not a time"),
        (Supposed(windows=("maintenance,nodes=n0,from=2d,until=1d",)), "ends before it begins"),
        (Supposed(windows=("maintenance,nodes=n0,until=1d,for=1d",)), "either until when"),
        (Supposed(windows=("maintenance,nodes=n0,for=9999w",)), "longer than five years"),
    ],
)
def test_what_cannot_be_supposed_is_told(wrong: Supposed, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        suppose(wrong, NO_TERMS, FIFO, NODES, 0.0)


def test_a_line_is_read_as_it_is_written() -> None:
    assert parse_quota("acme/vision:cards:H100,guaranteed=1.5,borrow=no") == Quota(
        "acme", "cards:H100", "vision", 1.5, None, False
    )
    (queue,) = with_queue(FIFO, "u,rank=-1,order=las,min_run_s=30,backfill=").queues
    assert queue == QueuePolicy("u", -1, order="las", min_run_s=30.0)
