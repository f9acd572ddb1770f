"""Levels of service that hold nobody up too long, and the lag of wide gangs, of the order `las`."""

from __future__ import annotations

import numpy as np
from tests.unit.scheduling.test_ranking import HOUR_US, NOW_US, SLICING, node, runs, stopped, waits

from pearlstreet.compute.scheduling.builder import build
from pearlstreet.compute.scheduling.cycle import plan
from pearlstreet.compute.scheduling.model import I64
from pearlstreet.compute.scheduling.order.las import Las
from pearlstreet.compute.scheduling.order.levels import chosen, levels
from pearlstreet.compute.scheduling.rows import Request, Service
from pearlstreet.compute.scheduling.topology_cache import PlannerCache

NOBODY = np.zeros(0, dtype=np.int64)
WANTED_H = (5.0, 40.0)


def hours(*each: float) -> I64:
    return np.array([round(h * HOUR_US) for h in each], dtype=np.int64)


def found_h(ended_us: I64, living_us: I64 = NOBODY) -> list[float]:
    return (chosen(WANTED_H, ended_us, living_us) / HOUR_US).tolist()


def test_before_anything_is_known_the_levels_are_those_of_the_settings() -> None:
    assert found_h(NOBODY) == [5.0, 40.0]


def test_a_level_below_which_most_work_is_done_does_not_count() -> None:
    """Everybody takes about 50 device hours: below 40 is nearly all the work, and the largest would wait for it."""
    alike = hours(*np.linspace(30, 70, 200))
    assert found_h(alike) == [5.0], "the first always counts"
    assert found_h(hours(*np.geomspace(0.1, 2000, 200))) == [5.0, 40.0], "here it is a small part of the work"


def test_jobs_that_live_say_that_they_need_more_than_they_had() -> None:
    short, alive = hours(*np.linspace(1, 9, 2000)), hours(*[900.0] * 60)
    assert 40.0 not in found_h(short)
    assert 40.0 in found_h(short, alive)


def test_few_jobs_with_much_of_the_work_stand_behind_all_others() -> None:
    many, giants = np.linspace(0.5, 2, 997), (3000.0, 3100.0, 3200.0)
    first, *_, last = found_h(hours(*many, *giants))
    assert first == 5.0
    assert 40 < last < 3000
    assert found_h(hours(*many[:200], *giants)) == [5.0, 40.0], "of so few jobs nobody is one in a hundred"


def test_a_snapshot_is_learnt_from_with_what_waits_and_runs_in_it() -> None:
    ended = [Service(round(h * HOUR_US), 1, NOW_US - 99 * HOUR_US, "u") for h in np.linspace(1, 9, 2000)]
    nodes = [node(str(n)) for n in range(2)]
    plain = build(now_us=NOW_US, nodes=nodes, running=[runs("r", "0", 1)], services=ended)
    assert 40 * HOUR_US not in levels(plain, SLICING)
    assert Las().changes_us(plain, SLICING) == NOW_US + 4 * HOUR_US
    old = [waits(f"w{n}", 2000, served_h=900) for n in range(60)]
    known = build(now_us=NOW_US, nodes=nodes, running=[runs("r", "0", 6)], waiting=old, services=ended)
    assert 40 * HOUR_US in levels(known, SLICING)
    assert Las().changes_us(known, SLICING) == NOW_US + 34 * HOUR_US


def test_a_narrow_job_passes_a_wide_gang_that_came_a_little_before_it_only() -> None:
    """The oldest came 100 hours ago: the widest stands five hours later than it came."""
    nodes = [node("n", 4)]
    wide = Request(count=4)

    def first(gang_h: float, narrow_h: float) -> str:
        jobs = [waits("gang", gang_h, request=wide), waits("narrow", narrow_h), waits("old", 100)]
        snapshot = build(now_us=NOW_US, nodes=nodes, running=[], waiting=jobs)
        came = dict(
            zip(
                snapshot.waiting.ids,
                Las().keys(snapshot, SLICING, PlannerCache()).waiting[2].tolist(),
                strict=True,
            )
        )
        assert came["old"] == NOW_US - 100 * HOUR_US, "one device lags by nothing"
        return min(("gang", "narrow"), key=lambda name: came[name])

    assert first(50, 46) == "narrow"
    assert first(50, 44) == "gang"
    assert first(99, 1) == "gang"


def test_a_wide_gang_that_runs_gives_way_to_a_narrow_one_within_its_lag_only() -> None:
    def left(narrow_h: float) -> list[str]:
        gang = runs("gang", "n", 1, cards=(0, 1, 2, 3), submitted_us=NOW_US - 100 * HOUR_US)
        snapshot = build(
            now_us=NOW_US, nodes=[node("n", 4)], running=[gang], waiting=[waits("narrow", narrow_h)]
        )
        return stopped(plan(snapshot, SLICING))

    assert left(96) == ["gang"]
    assert left(94) == []
