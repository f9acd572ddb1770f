"""What rows of lessons make of the calibration, and what a node's benchmark says."""

from __future__ import annotations

import json

import pytest

from pearlstreet.compute.estimate.learning import NOTHING
from pearlstreet.compute.hardware.bench.result import BenchResult, DeviceBench, Measurement
from pearlstreet.quotes.calibrating import BENCH, RUN, benches_of, calibration_of, recipe_key

DEVICE = "h100-sxm-80g"


def lesson(kind: str, expected: float, actual: float, recipe: str = "") -> dict[str, object]:
    return {"kind": kind, "device": DEVICE, "recipe": recipe, "expected": expected, "actual": actual}


def test_runs_that_took_longer_lengthen_estimates_of_their_recipe_most() -> None:
    found = calibration_of([lesson(RUN, 1000, 1500, "acme/tune")] * 5)
    mine, others = (found.correct(DEVICE, recipe, 0.0, 0.3)[0] for recipe in ("acme/tune", "beta/tune"))
    assert mine > others > 0


def test_a_node_that_is_slower_than_expected_lengthens_estimates() -> None:
    assert calibration_of([lesson(BENCH, 600, 400)]).devices[DEVICE].factor > 1
    assert calibration_of([]) == NOTHING


def bench(*tflops: float, precision: str = "bf16", model: str = DEVICE) -> dict[str, object]:
    devices = tuple(
        DeviceBench(index, f"u{index}", model, (Measurement("gemm", precision, value, 8192, 5, 0.01, "x"),))
        for index, value in enumerate(tflops)
    )
    return dict(json.loads(BenchResult("n1", 0, 1.0, 1, devices).to_json()))


def test_a_nodes_benchmark_speaks_by_its_middle_device() -> None:
    found = benches_of(bench(600.0, 100.0, 620.0))
    assert found[DEVICE].measured_tflops == 600.0
    assert found[DEVICE].expected_tflops == pytest.approx(989 * 0.8, rel=0.02)


def test_what_cannot_be_read_or_compared_teaches_nothing() -> None:
    assert benches_of({"format": 99}) == {}
    assert benches_of(bench(600.0, precision="fp64")) == {}
    assert benches_of(bench(600.0, model="nobody knows")) == {}


def test_a_recipe_is_its_organisations_own() -> None:
    assert recipe_key("org_1", "tune") != recipe_key("org_2", "tune")
    assert recipe_key("org_1", "") == ""
