"""Unlike devices count in one unit: measured first, else an honest assumption."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.compute.hardware.catalogue import catalogue
from pearlstreet.compute.hardware.model import DeviceReport
from pearlstreet.compute.hardware.normalise import Basis, capacity, normalised_rate


def device(index: int, model: str, *, healthy: bool = True) -> DeviceReport:
    return DeviceReport(index=index, vendor="", model=model, memory_gib=80, uuid=f"u{index}", healthy=healthy)


@pytest.mark.parametrize(
    ("measured", "precision", "pflops"),
    [
        ({"bf16": 700.0, "fp16": 720.0, "fp32": 50.0}, "bf16", 0.7),
        ({"fp16": 100.0, "fp32": 14.0}, "fp16", 0.1),
        ({"fp32": 14.0, "int8": 900.0}, "fp32", 0.014),
        ({"bf16": 0.0, "fp16": 60.0}, "fp16", 0.06),
    ],
)
def test_a_measurement_counts_in_order_of_precision(
    measured: dict[str, float], precision: str, pflops: float
) -> None:
    rate = normalised_rate(catalogue().get("h100-sxm-80g"), measured)
    assert (rate.basis, rate.precision) == (Basis.MEASURED, precision)
    assert rate.pflops == pytest.approx(pflops)


def test_an_unmeasured_card_counts_six_tenths_of_its_dense_peak() -> None:
    rate = normalised_rate(catalogue().get("h100-sxm-80g"))
    assert rate.basis is Basis.ASSUMED
    assert rate.pflops == pytest.approx(0.6 * 0.9894)
    assert normalised_rate(catalogue().get("v100-sxm-32g")).precision == "fp16"


def test_a_card_without_a_floating_point_rate_counts_nothing_and_says_so() -> None:
    rate = normalised_rate(catalogue().get("mlu270-s4"), {"int8": 100.0})
    assert (rate.pflops, rate.basis) == (0.0, Basis.UNKNOWN)
    assert normalised_rate(None).basis is Basis.UNKNOWN


def test_a_t4_never_counts_as_an_a100() -> None:
    t4, a100 = (normalised_rate(catalogue().find(name)) for name in ("T4", "A100"))
    assert t4.pflops < a100.pflops / 4


def test_capacity_adds_up_what_works() -> None:
    devices = [device(0, "h100-sxm-80g"), device(1, "h100-sxm-80g"), device(2, "h100-sxm-80g", healthy=False)]
    total = capacity(
        [*devices, device(3, "pci 1234:5678")], lambda d: {"bf16": 700.0} if d.index == 0 else None
    )
    assert (total.cards, total.healthy_cards) == (4, 3)
    assert (total.measured_cards, total.assumed_cards, total.unknown_cards) == (1, 1, 1)
    assert total.peak_pflops == pytest.approx(2 * 0.9894)
    assert total.measured_pflops == pytest.approx(0.7)
    assert total.normalised_pflops == pytest.approx(0.7 + 0.6 * 0.9894)


@given(st.lists(st.sampled_from([entry.id for entry in catalogue()]), max_size=12))
def test_capacity_never_exceeds_the_peak_without_measurements(models: list[str]) -> None:
    total = capacity([device(index, model) for index, model in enumerate(models)])
    assert total.normalised_pflops <= total.peak_pflops + 1e-9
    assert total.measured_pflops == 0
    assert total.cards == len(models)
