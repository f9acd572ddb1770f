"""The planner behind a judge's line protocol: what it answers to arrivals and ends."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from pearlstreet.base.errors import InvalidInput
from pearlstreet.cli.referee import queued
from pearlstreet.compute.replay.online import shape_of
from pearlstreet.compute.scheduling.config import PlannerConfig

CONFIG = PlannerConfig(
    order="las", preemption="rank", backfill="greedy", placement="pack", min_run_s=0.0, grace_s=0.0
)
HEAD = {"cluster": {"a": [2, 4], "b": [1, 4]}, "restart_cost": [40, 60]}


def job(name: str, gpus: int, vc: str = "a", **more: object) -> dict[str, object]:
    return {"job": name, "vc": vc, "gpus": gpus, "user": "", "model": "", **more}


def event(t: float, *arrived: dict[str, object], finished: Sequence[str] = ()) -> dict[str, object]:
    return {"t": t, "arrived": list(arrived), "finished": list(finished)}


def play(*events: dict[str, object], config: PlannerConfig = CONFIG) -> list[dict[str, object]]:
    return [json.loads(line) for line in queued([json.dumps(row) for row in (HEAD, *events)], config)]


def test_a_gang_takes_the_fewest_nodes_of_its_own_cluster() -> None:
    (answer,) = play(event(0, job("wide", 8), job("small", 3, "b")))
    assert answer["start"] == {"wide": {"a/0": 4, "a/1": 4}, "small": {"b/0": 3}}
    assert answer["preempt"] == []


def test_clusters_do_not_help_each_other_out() -> None:
    first, second = play(event(0, job("full", 4, "b")), event(1, job("next", 1, "b")))
    assert first["start"] == {"full": {"b/0": 4}}
    assert second["start"] == {}


def test_it_asks_to_be_woken_when_a_job_has_had_its_share() -> None:
    """4 devices reach 5 device hours after 4,500 s; then the one that waits goes first."""
    events = event(0, job("long", 4, "b")), event(10, job("new", 4, "b")), event(4500)
    _, waits, swap = play(*events)
    assert (waits["start"], waits["wake"]) == ({}, 4500)
    assert swap["preempt"] == ["long"]
    assert swap["start"] == {"new": {"b/0": 4}}


def test_what_was_stopped_comes_back() -> None:
    *_, last = play(
        event(0, job("long", 4, "b")),
        event(10, job("new", 4, "b")),
        event(4500),
        event(4600, finished=["new"]),
    )
    assert last == {"preempt": [], "start": {"long": {"b/0": 4}}, "wake": None}


def test_levels_follow_from_what_jobs_took() -> None:
    """Where nearly every job takes 30 device hours nobody falls a level at 40: who waits would wait for all work."""

    def asked_to_wake(history: int) -> list[float]:
        past: list[dict[str, object]] = []
        for number in range(history):
            start, end = number * 27_000.0, (number + 1) * 27_000.0 - 1
            past += [event(start, job(f"h{number}", 4, "b")), event(end, finished=[f"h{number}"])]
        now = history * 27_000.0
        later = event(now, job("long", 4, "b")), event(now + 10, job("new", 4, "b"))
        falls = event(now + 4500), event(now + 9000)
        return [float(str(answer["wake"] or now)) - now for answer in play(*past, *later, *falls)[-3:]]

    assert asked_to_wake(0) == [4500, 9000, 36_000 + 4500]
    assert asked_to_wake(60) == [4500, 9000, 0]


def test_told_durations_put_the_shortest_first() -> None:
    _, swap, last = play(
        event(0, job("runs", 4, "b", duration=500.0)),
        event(1, job("slow", 4, "b", duration=900.0), job("quick", 4, "b", duration=30.0)),
        event(31, finished=["quick"]),
    )
    assert (swap["preempt"], swap["start"]) == (["runs"], {"quick": {"b/0": 4}})
    assert last["start"] == {"runs": {"b/0": 4}}


def test_an_end_of_a_job_that_does_not_run_is_refused() -> None:
    with pytest.raises(InvalidInput, match="ghost"):
        play(event(0, finished=["ghost"]))


@pytest.mark.parametrize(
    ("gpus", "shape"), [(1, (1, 1)), (8, (8, 1)), (12, (6, 2)), (24, (8, 3)), (13, (7, 2))]
)
def test_gangs_are_cut_evenly(gpus: int, shape: tuple[int, int]) -> None:
    assert shape_of(gpus, 8) == shape


@pytest.mark.parametrize(
    "wrong", [job("x", 1, "nowhere"), job("x", 9), job("x", 0), job("x", -1), {**job("x", 1), "gpus": "two"}]
)
def test_jobs_that_cannot_be_are_refused_with_the_line(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match="2"):
        play(event(0, wrong))
