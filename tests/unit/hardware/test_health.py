"""Sick devices are recognised, and only those."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.base.text import text
from pearlstreet.compute.hardware.health import Signs, judge, slow_reason, with_benchmarks
from pearlstreet.compute.hardware.model import DeviceReport


def device(celsius: float | None = 50.0, *, healthy: bool = True) -> DeviceReport:
    reason = (
        None
        if healthy
        else text("Seen on the PCI bus only: Pearlstreet cannot read {vendor} devices yet", vendor="X")
    )
    return DeviceReport(0, "NVIDIA", "t4", 16, healthy=healthy, health_reason=reason, temperature_c=celsius)


def test_a_well_device_stays_well() -> None:
    assert judge(device(), Signs()).healthy
    assert judge(device(None), Signs()).healthy


def test_the_gravest_reason_is_the_one_given() -> None:
    signs = Signs(
        fault=text("{tool} reports the health {state}", tool="npu-smi", state="Alarm"), uncorrected_errors=3
    )
    assert "Alarm" in str(judge(device(120.0), signs).health_reason)
    assert judge(device(120.0)).health_reason is not None
    assert "温度过高" in judge(device(120.0)).health_reason.render("zh-CN")  # type: ignore[union-attr]


def test_an_earlier_reason_is_kept() -> None:
    assert "PCI" in str(judge(device(120.0, healthy=False)).health_reason)


@pytest.mark.parametrize(
    ("history", "latest", "slow"),
    [
        ([100.0, 101.0, 99.0], 84.0, True),
        ([100.0, 101.0, 99.0], 86.0, False),
        ([100.0, 20.0, 101.0], 99.0, False),
        ([100.0, 100.0], 10.0, False),
        ([0.0, 0.0, 0.0], 10.0, False),
    ],
)
def test_slow_is_judged_against_the_device_s_own_past(
    history: list[float], latest: float, slow: bool
) -> None:
    assert (slow_reason(latest, history) is not None) is slow
    assert with_benchmarks(device(), [*history, latest]).healthy is not slow


@given(st.lists(st.floats(1, 1000), min_size=1, max_size=8))
def test_a_device_at_its_usual_rate_is_never_slow(history: list[float]) -> None:
    assert with_benchmarks(device(), [*history, max(history)]).healthy
