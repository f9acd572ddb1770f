"""Fitting: factors are shrunk, odd rows carry nothing away, constants survive being written and read."""

from __future__ import annotations

import numpy as np
import pytest

from pearlstreet.compute.estimate import effects, fitting, measured
from pearlstreet.compute.estimate.constants import constants, dump, parse
from pearlstreet.compute.estimate.gaussian_process import FeaturePoint

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


def at(params: float, purpose: str = "pretrain") -> FeaturePoint:
    return FeaturePoint((params, 6.0, 12.0, 14.0, 50.0), ("dense-transformer", purpose, "megatron"))


def fit_points(logs: list[float], points: list[FeaturePoint]) -> effects.Effects:
    rows = [{"family=dense-transformer": 1.0}] * len(logs)
    return effects.fit(rows, np.array(logs), [f"g{number}" for number in range(len(logs))], points)


def test_what_runs_of_one_size_have_in_common_is_learnt_beside_the_factors() -> None:
    found = fit_points([0.4] * 4 + [-0.4] * 4, [at(28.0)] * 4 + [at(38.0)] * 4)
    small, middle, large = (found.of({}, at(size))[0] for size in (28.0, 33.0, 38.0))
    assert small > 0.2
    assert large < -0.2
    assert abs(middle) < 0.05


def test_runs_tell_little_of_another_purpose_and_nothing_from_afar() -> None:
    found = fit_points([0.4] * 6, [at(30.0)] * 6)
    here, other, far = (found.of({}, point) for point in (at(30.0), at(30.0, "lora"), at(90.0)))
    assert 0.0 < other[0] < here[0] / 3
    assert abs(far[0]) < 1e-6
    assert here[1] < other[1] <= far[1]


def test_runs_with_the_same_rounded_point_share_an_inducing_point() -> None:
    found = fit_points([0.1, 0.2, 0.3], [at(30.1), at(29.9), at(33.0)])
    points = [(inducing.point.doublings[0], inducing.sweeps) for inducing in found.inducing_points]
    assert sorted(points) == [(30.0, 2), (33.0, 1)]


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
    assert again.training.inducing_points == tuple(
        sorted(
            known.training.inducing_points,
            key=lambda inducing: (inducing.point.kinds, inducing.point.doublings),
        )
    )
    assert again.serving.inducing_points == ()
    assert again.memory.keys() == known.memory.keys()
    assert set(known.physics) == set(fitting.PRIOR)


def test_shares_are_shares() -> None:
    for name, value in constants().physics.items():
        assert value > 0
        assert name not in fitting.SHARES or value <= 1.0
