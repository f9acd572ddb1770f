"""Time outside the steps: it grows with the size of the model and with the number of accelerators, never with the work."""

from __future__ import annotations

import pytest
from tests.unit.estimate.questions import serving, training

from pearlstreet.compute.estimate.band import Band
from pearlstreet.compute.estimate.estimators import estimate_serving, estimate_training
from pearlstreet.compute.estimate.overhead import training_overhead


def test_steps_do_not_contain_the_overhead() -> None:
    short, long = estimate_training(training(tokens=1e6)), estimate_training(training(tokens=1e9))
    assert short.elapsed_s is not None
    assert long.elapsed_s is not None
    assert long.elapsed_s.median == pytest.approx(1000 * short.elapsed_s.median)
    assert long.overhead == short.overhead


def test_communication_groups_of_many_accelerators_take_longer() -> None:
    """MegaScale (NSDI 2024): 2,048 devices need 1,047 s with stock software, less than 5 s at best."""
    few, many = training_overhead(training(count=8)), training_overhead(training(count=2048))
    assert few.launch_s.median < 30
    assert 60 < many.launch_s.median < 200
    assert many.launch_s.p90 > 1047
    assert many.launch_s.p10 > 0


def test_only_what_is_read_and_written_takes_time() -> None:
    scratch, whole, adapter = (
        training_overhead(training("Llama 2 7B", mode=mode)) for mode in ("pretrain", "full", "lora")
    )
    assert scratch.load_s == Band.exactly(0.0)
    assert adapter.save_s == Band.exactly(0.0)
    assert whole.load_s.median == adapter.load_s.median > 0
    assert whole.save_s == scratch.save_s
    larger = training_overhead(training("Llama 3.1 70B", count=64))
    assert larger.save_s.median > scratch.save_s.median


def test_a_served_model_is_read_at_its_precision() -> None:
    wide, narrow = (estimate_serving(serving(precision=one)).overhead for one in ("bf16", "int8"))
    assert wide.load_s.median == pytest.approx(2 * narrow.load_s.median)
    assert wide.launch_s.median > training_overhead(training(count=1)).launch_s.median


def test_deviations_of_independent_parts_add_by_squares() -> None:
    total = Band(9.0, 10.0, 13.0).plus(Band(16.0, 20.0, 24.0))
    assert total.median == 30.0
    assert total.p90 == pytest.approx(35.0)
    assert total.p10 == pytest.approx(30.0 - 17**0.5)
