"""Series of numbers as lines of blocks."""

from __future__ import annotations

from pearlstreet.cli.metrics import BLOCKS, series, sparkline


def test_a_line_rises_with_the_values_and_fits_its_width() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == BLOCKS
    long = sparkline([float(value) for value in range(1000)], width=10)
    assert len(long) == 10 and list(long) == sorted(long) and long[0] != long[-1]


def test_what_does_not_change_is_flat_and_one_value_is_one_block() -> None:
    assert sparkline([5.0, 5.0, 5.0]) == BLOCKS[0] * 3
    assert sparkline([5.0]) == BLOCKS[0]


def test_samples_become_series_by_task_and_name() -> None:
    samples = [
        {"rank": 0, "values": {"loss": 2.0, "step": 1}},
        {"rank": 1, "values": {"loss": 3.0}},
        {"rank": 0, "values": {"loss": 1.0}},
    ]
    assert series(samples) == {(0, "loss"): [2.0, 1.0], (0, "step"): [1.0], (1, "loss"): [3.0]}
