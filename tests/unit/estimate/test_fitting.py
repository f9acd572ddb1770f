"""Fitting: factors are shrunk, odd rows carry nothing away, constants survive being written and read."""

from __future__ import annotations

import numpy as np
import pytest

from pearlstreet.compute.estimate import effects, fitting, measured
from pearlstreet.compute.estimate.constants import constants, dump, parse

ROWS = 12


def fit(logs: list[float], chips: list[str], groups: list[str]) -> effects.Effects:
    return effects.fit([{f"chip={chip}": 1.0} for chip in chips], np.array(logs), groups)


def test_a_factor_moves_towards_what_its_rows_say_but_not_all_the_way() -> None:
    few = fit([0.3], ["new"], ["g"]).mean["chip=new"]
    many = fit([0.3] * ROWS, ["new"] * ROWS, ["g"] * ROWS).mean["chip=new"]
    assert 0.0 < few < many < 0.3


def test_one_odd_row_does_not_carry_a_factor_away() -> None:
    logs = [0.1] * ROWS + [4.0]
    found = fit(logs, ["new"] * len(logs), ["g"] * len(logs))
    assert found.mean["chip=new"] < 0.2


def test_a_factor_is_surer_by_sweeps_not_by_rows() -> None:
    one_sweep = fit([0.1] * ROWS, ["new"] * ROWS, ["g"] * ROWS)
    many_sweeps = fit([0.1] * ROWS, ["new"] * ROWS, [f"g{number}" for number in range(ROWS)])
    assert many_sweeps.deviation["chip=new"] < one_sweep.deviation["chip=new"]
    unknown = one_sweep.of({"chip=unheard of": 1.0})
    assert unknown[0] == 0.0
    assert unknown[1] > one_sweep.of({"chip=new": 1.0})[1]


def test_least_squares_finds_a_minimum_that_is_known() -> None:
    found = fitting.solve(lambda at: np.array([at[0] - 2.0, 10.0 * (at[1] - at[0] ** 2)]), np.zeros(2), 60)
    assert found == pytest.approx([2.0, 4.0], abs=0.01)


def test_a_sweep_is_never_split_over_folds() -> None:
    groups = [f"sweep {number % 7}" for number in range(50)]
    folds = measured.folds(groups, 5, 0)
    assert {
        len({int(fold) for fold, group in zip(folds, groups, strict=True) if group == one}) for one in groups
    } == {1}
    assert set(folds.tolist()) == set(range(5))


def test_constants_survive_being_written_and_read() -> None:
    known = constants()
    again = parse(dump(known))
    assert again.physics == pytest.approx(dict(known.physics), rel=1e-4)
    assert again.training.mean == pytest.approx(dict(known.training.mean), abs=1e-4)
    assert again.memory.keys() == known.memory.keys()
    assert set(known.physics) == set(fitting.PRIOR)


def test_shares_are_shares() -> None:
    for name, value in constants().physics.items():
        assert value > 0
        assert name not in fitting.SHARES or value <= 1.0
