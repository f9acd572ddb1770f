"""Power of work: rated, measured, by cores."""

from __future__ import annotations

import pytest

from pearlstreet.compute.engines.protocol import MetricSample
from pearlstreet.compute.estimate.estimators import NODE_POWER
from pearlstreet.energy.use import Basis, measured_j, rated_w, watts

S = 1_000_000
MODEL = "h100-sxm-80g"


def sample(at_s: float, rank: int = 0, kind: str = "use", **values: float) -> MetricSample:
    """One sample."""
    return MetricSample(int(at_s * S), rank, kind, values)  # type: ignore[arg-type]


def test_rated_power_takes_the_factor_that_estimates_use() -> None:
    found = watts(MODEL, 20_000, 0)
    assert found is not None
    assert (found.low, found.middle, found.high) == pytest.approx(
        tuple(1400 * factor for factor in NODE_POWER)
    )
    assert found.basis is Basis.RATED
    half = watts(MODEL, 5_000, 0)
    assert half is not None and half.middle == pytest.approx(found.middle / 4)


def test_a_device_of_a_card_with_two_has_half_of_its_power() -> None:
    assert rated_w("mi250x") == pytest.approx(280.0)


def test_what_the_catalogue_does_not_know_is_not_guessed() -> None:
    assert watts("no-such-card", 10_000, 0) is None
    assert watts("", 0, 4_000) is None


def test_measured_power_keeps_the_rest_of_the_node_at_rated() -> None:
    found = watts(MODEL, 10_000, 0, device_w=400.0)
    assert found is not None
    assert (found.low, found.middle, found.high) == pytest.approx((414.0, 554.0, 582.0))
    assert found.basis is Basis.MEASURED


def test_samples_are_integrated_over_the_run() -> None:
    samples = [sample(at, device_0_power_w=power) for at, power in ((10, 100.0), (20, 300.0), (90, 300.0))]
    joules = measured_j(samples, 0, 100 * S, {0: [0]})
    assert joules == (10 * 100 + 10 * 200 + 70 * 300 + 10 * 300)


def test_what_a_tenants_own_metrics_say_does_not_count() -> None:
    samples = [sample(at, kind="user", device_0_power_w=1.0) for at in range(0, 100, 10)]
    assert measured_j(samples, 0, 100 * S, {0: [0]}) is None


def test_half_a_measurement_is_none() -> None:
    every = [sample(at, device_0_power_w=100.0) for at in range(0, 100, 10)]
    assert measured_j(every, 0, 100 * S, {0: [0, 1]}) is None, "one of two devices"
    assert measured_j(every[:4], 0, 100 * S, {0: [0]}) is None, "a third of the run"
    assert measured_j(every[:2], 0, 15 * S, {0: [0]}) is None, "two samples"
    assert measured_j([], 0, 100 * S, {}) is None
