"""Serving: what memory, load and prompts do to throughput and waiting."""

from __future__ import annotations

import math

import pytest
from tests.unit.estimate.questions import serving

from pearlstreet.base.errors import InvalidInput
from pearlstreet.compute.estimate.estimators import estimate_serving


def test_a_card_serves_a_small_model_about_as_fast_as_published() -> None:
    """TensorRT-LLM publishes some 15,000 output tokens/s for Llama 3.1 8B in fp8 on one H100, 1,000 tokens in and out."""
    ask = serving(precision="fp8", input_tokens=1000, output_tokens=1000, engine="TensorRT-LLM")
    found = estimate_serving(ask, scenario="offline max throughput")
    assert 8_000 < found.output_tokens_per_s.median < 25_000


def test_alone_a_token_waits_for_the_weights() -> None:
    """16 GB of weights over 3.35 TB/s are 4.8 ms; no engine is faster, none should be three times slower."""
    found = estimate_serving(serving(concurrency=1))
    assert 4.8e-3 < found.tpot_s.median < 15e-3


def test_longer_prompts_cost_throughput_and_time_to_the_first_token() -> None:
    short, long = (estimate_serving(serving(input_tokens=tokens, concurrency=8)) for tokens in (256, 8192))
    assert long.output_tokens_per_s.median < short.output_tokens_per_s.median
    assert long.ttft_s.median > short.ttft_s.median


def test_more_requests_at_once_give_more_throughput_and_longer_gaps() -> None:
    few, many = (estimate_serving(serving(concurrency=number)) for number in (2, 64))
    assert many.output_tokens_per_s.median > few.output_tokens_per_s.median
    assert many.tpot_s.median > few.tpot_s.median


def test_waiting_grows_with_the_load_and_without_end_beyond_capacity() -> None:
    capacity = estimate_serving(serving()).best.output_tokens_per_s / 256
    light, heavy = (
        estimate_serving(serving(requests_per_s=share * capacity)).ttft_s.median for share in (0.3, 0.97)
    )
    assert light < heavy
    assert math.isinf(estimate_serving(serving(requests_per_s=2 * capacity)).ttft_s.median)


def test_a_model_that_does_not_fit_says_so_and_takes_more_devices_when_there_are() -> None:
    tight = estimate_serving(serving("Llama 3.1 70B"))
    assert not tight.best.fits
    assert any("fit" in str(reason) for reason in tight.outside)
    roomy = estimate_serving(serving("Llama 3.1 70B", count=8))
    assert roomy.best.fits
    assert roomy.best.tensor >= 2


def test_energy_of_a_token_falls_with_throughput() -> None:
    one, many = (estimate_serving(serving(concurrency=number)) for number in (1, 128))
    assert many.energy_wh_per_1k_tokens.median < one.energy_wh_per_1k_tokens.median


def test_only_language_models_are_served() -> None:
    with pytest.raises(InvalidInput) as raised:
        serving("ViT-L")
    assert [problem.field for problem in raised.value.problems] == ["family"]
