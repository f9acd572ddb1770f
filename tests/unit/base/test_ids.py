"""Ids sort by time, do not repeat, and are recognised by shape."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.base.clock import VirtualClock
from pearlstreet.base.ids import encode, is_id, new_id
from pearlstreet.base.rng import SeededRng, SystemRng


def test_ids_of_later_milliseconds_sort_later() -> None:
    clock, rng = VirtualClock(), SeededRng(1)
    made = []
    for _ in range(200):
        made.append(new_id("job", clock, rng))
        clock.advance(0.001)
    assert made == sorted(made)
    assert len(set(made)) == 200


def test_ids_of_one_millisecond_differ() -> None:
    clock, rng = VirtualClock(), SystemRng()
    assert len({new_id("job", clock, rng) for _ in range(10_000)}) == 10_000


def test_a_seed_replays_its_ids() -> None:
    assert new_id("job", VirtualClock(), SeededRng(7)) == new_id("job", VirtualClock(), SeededRng(7))


@given(st.integers(0, 2**128 - 1), st.integers(0, 2**128 - 1))
def test_the_encoding_keeps_order(first: int, second: int) -> None:
    assert (encode(first) < encode(second)) == (first < second)
    assert is_id(f"job_{encode(first)}", "job")


def test_other_shapes_are_no_ids() -> None:
    good = new_id("job", VirtualClock(), SeededRng(1))
    for bad in (
        "",
        "job_",
        good[:-1],
        good + "0",
        good.upper(),
        good.replace("job", "upl"),
        good[:-1] + "u",
        good + "\n",
    ):
        assert not is_id(bad, "job")
