"""Past use counts half after each half-life, and nothing counts more than it was."""

from __future__ import annotations

import pytest

from pearlstreet.compute.execution.fair_use import decayed

WEEK_S = 7 * 86_400.0
WEEK_US = int(WEEK_S) * 1_000_000


@pytest.mark.parametrize(("weeks", "left"), [(0, 8.0), (1, 4.0), (2, 2.0), (3, 1.0)])
def test_use_halves_with_each_half_life(weeks: int, left: float) -> None:
    assert decayed(8.0, 5, 5 + weeks * WEEK_US, WEEK_S) == pytest.approx(left)


def test_half_a_half_life_leaves_its_square_root() -> None:
    assert decayed(1.0, 0, WEEK_US // 2, WEEK_S) == pytest.approx(0.5**0.5)


def test_a_clock_that_went_back_makes_no_use_out_of_nothing() -> None:
    assert decayed(8.0, WEEK_US, 0, WEEK_S) == 8.0
