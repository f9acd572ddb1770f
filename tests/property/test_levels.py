"""The levels of the order `las`, whatever jobs took: few, ascending, the first as set, and no matter who is called how."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pearlstreet.compute.scheduling.model import I64
from pearlstreet.compute.scheduling.order.levels import chosen, learnt

HOUR_US = 3_600_000_000
many = settings(max_examples=150, deadline=None)
times = st.lists(st.integers(0, 10**17), max_size=500).map(lambda row: np.array(row, dtype=np.int64))
"""Device times in µs: none, and far beyond any."""
repeated = st.tuples(times, st.integers(1, 40)).map(lambda pair: np.tile(pair[0], pair[1]))
settings_h = st.lists(st.floats(0.01, 5000, allow_nan=False), max_size=4, unique=True).map(
    lambda row: tuple(sorted(row))
)


@many
@given(settings_h, repeated, times)
def test_levels_are_ascending_and_some_of_those_wanted_with_one_more(
    wanted: tuple[float, ...], ended: I64, living: I64
) -> None:
    found = chosen(wanted, ended, living).tolist()
    as_set = [round(hours * HOUR_US) for hours in wanted]
    assert found == sorted(found)
    assert found[:1] == as_set[:1] or (not as_set and len(found) <= 1)
    assert len([at for at in found if at not in as_set]) <= 1
    assert all(at in as_set for at in found[:-1]), "only the last may be learnt"
    assert chosen(wanted, ended[::-1], living[::-1]).tolist() == found, "rows have no order"


@many
@given(repeated, times)
def test_shares_are_shares(ended: I64, living: I64) -> None:
    left, below = learnt(ended, living)
    assert len(left) == len(below)
    assert (left[0], left[-1], below[-1]) == (1.0, 0.0, 1.0)
    assert (np.diff(left) <= 0).all()
    assert (np.diff(below) >= 0).all()
    assert below[0] > 0


@many
@given(times, st.integers(1, 30))
def test_a_last_level_has_few_behind_it(ended: I64, times_over: int) -> None:
    """Of jobs that all ended no more than one in a hundred took more than the level that was learnt, but for the pretended ones."""
    rows = np.tile(ended, times_over)
    found = chosen((5.0,), rows, rows[:0])
    if len(found) > 1:
        assert (rows > found[-1]).sum() <= (len(rows) + 30) / 100 + 1e-9
