"""What a center learns from its own runs and nodes, and forgets when told to."""

from __future__ import annotations

import math

import pytest
from tests.unit.estimate.questions import training

from pearlstreet.base.errors import InvalidInput
from pearlstreet.compute.estimate.estimators import estimate_training
from pearlstreet.compute.estimate.learning import NOTHING, Bench, Calibration, Finished, bench_of, calibrate
from pearlstreet.compute.hardware.bench.result import DeviceBench, Measurement
from pearlstreet.compute.hardware.catalogue import catalogue

DEVICE = "a100-sxm-80g"


def runs(ratio: float, count: int, recipe: str = "llm") -> list[Finished]:
    return [Finished(DEVICE, recipe, 1000.0, 1000.0 * ratio)] * count


def total(found: Calibration, recipe: str = "llm") -> float:
    return math.exp(found.correct(DEVICE, recipe, 0.0, 0.2)[0])


def test_nothing_seen_changes_nothing() -> None:
    assert calibrate([]) == NOTHING
    assert NOTHING.correct(DEVICE, "llm", 0.3, 0.2) == (0.3, 0.2)


def test_one_run_moves_an_estimate_a_part_of_the_way_and_many_nearly_all() -> None:
    one, many = total(calibrate(runs(1.3, 1))), total(calibrate(runs(1.3, 50)))
    assert 1.0 < one < many < 1.3
    assert many == pytest.approx(1.3, rel=0.05)


def test_a_single_wild_run_is_bounded() -> None:
    assert total(calibrate(runs(1000.0, 1))) < 4.0


def test_the_order_of_runs_does_not_matter() -> None:
    seen = [*runs(1.3, 2), *runs(0.9, 3), *runs(1.1, 1, "vision")]
    forward, backward = calibrate(seen), calibrate(seen[::-1])
    for recipe in ("llm", "vision"):
        assert total(forward, recipe) == pytest.approx(total(backward, recipe))


def test_another_recipe_profits_less_and_another_device_not_at_all() -> None:
    found = calibrate(runs(1.3, 20))
    assert 1.0 < total(found, "other") < total(found, "llm")
    assert found.correct("h100-sxm-80g", "llm", 0.0, 0.2) == (0.0, 0.2)


def test_a_slow_node_lengthens_estimates_and_says_on_what_it_stands() -> None:
    found = calibrate([], [Bench(DEVICE, measured_tflops=200.0, expected_tflops=270.0)])
    learnt = found.devices[DEVICE]
    assert 1.0 < learnt.factor < 1.35
    assert (learnt.runs, learnt.benches) == (0, 1)


def test_a_node_benchmark_is_held_against_the_catalogue() -> None:
    def bench(model: str, precision: str) -> DeviceBench:
        figure = Measurement("gemm", precision, 200.0, 8192, 5, 0.01, "cuda")
        return DeviceBench(0, "uuid", model, (figure,))

    found = bench_of(bench("NVIDIA A100-SXM4-80GB", "bf16"), catalogue())
    assert found is not None
    assert found.device == DEVICE
    assert found.measured_tflops == 200.0
    assert found.expected_tflops == pytest.approx(312 * 0.87)
    assert bench_of(bench("NVIDIA A100-SXM4-80GB", "fp8"), catalogue()) is None
    assert bench_of(bench("nobody's card", "bf16"), catalogue()) is None


def test_ranges_narrow_with_evidence() -> None:
    before = estimate_training(training(recipe="llm"))
    after = estimate_training(training(recipe="llm"), learnt=calibrate(runs(1.0, 30)))
    assert after.per_unit_s.median == pytest.approx(before.per_unit_s.median)
    assert after.per_unit_s.p90 / after.per_unit_s.p10 < before.per_unit_s.p90 / before.per_unit_s.p10


def test_learnt_factors_reach_the_estimate() -> None:
    before = estimate_training(training(recipe="llm"))
    after = estimate_training(training(recipe="llm"), learnt=calibrate(runs(1.2, 100)))
    assert after.per_unit_s.median / before.per_unit_s.median == pytest.approx(1.2, rel=0.03)


def test_what_was_learnt_can_be_forgotten_by_device_by_recipe_or_whole() -> None:
    found = calibrate([*runs(1.3, 5), *runs(0.8, 5, "vision")])
    assert found.without() == NOTHING
    assert found.without(device=DEVICE) == NOTHING
    kept = found.without(recipe="llm")
    assert ("vision", DEVICE) in kept.recipes
    assert ("llm", DEVICE) not in kept.recipes
    assert DEVICE in kept.devices


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan, math.inf])
def test_impossible_times_are_refused(wrong: float) -> None:
    with pytest.raises(InvalidInput):
        calibrate([Finished(DEVICE, "llm", 1.0, wrong)])
    with pytest.raises(InvalidInput):
        calibrate([], [Bench(DEVICE, 1.0, wrong)])
