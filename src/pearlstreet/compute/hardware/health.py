"""Health rules: when a device is kept out of scheduling, with the reason in words. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from pearlstreet.base.text import Text, plural, text
from pearlstreet.compute.hardware.model import DeviceReport


@dataclass(frozen=True, slots=True)
class HealthLimits:
    """Limits between healthy and unhealthy."""

    temperature_c: float = 90.0
    """Data-center cards slow down between 85 and 95 °C and shut down a few degrees above."""
    memory_temperature_c: float = 100.0
    """HBM and GDDR makers allow 95 to 105 °C."""
    slow_share: float = 0.85
    """Share of the device's own median benchmark below which it counts as slow."""
    history_count: int = 3
    """Benchmarks needed before `slow` is judged."""


@dataclass(frozen=True, slots=True)
class Signs:
    """Observations of a probe besides the report; a field is empty or None when the tool does not report it."""

    fault: Text | None = None
    """The vendor's own tool reports the device as unhealthy."""
    throttle: tuple[str, ...] = ()
    """Reasons for which the hardware slows itself down against damage (not for lack of work or a set power cap)."""
    uncorrected_errors: int = 0
    """Memory errors since the driver started that ECC could not correct."""
    remap_failed: bool = False
    """A bad memory row could not be replaced."""
    memory_temperature_c: float | None = None


NO_SIGNS = Signs()
USUAL_LIMITS = HealthLimits()


def judge(
    report: DeviceReport,
    signs: Signs = NO_SIGNS,
    limits: HealthLimits = USUAL_LIMITS,
) -> DeviceReport:
    """`report` with `healthy` and the first reason against it; a report already marked sick stays so."""
    if not report.healthy:
        return report
    reason = _reason(report, signs, limits)
    return replace(report, healthy=reason is None, health_reason=reason)


def _reason(report: DeviceReport, signs: Signs, limits: HealthLimits) -> Text | None:
    if signs.fault is not None:
        return signs.fault
    if signs.remap_failed:
        return text("A bad memory row could not be replaced; the card needs service")
    if signs.uncorrected_errors > 0:
        return plural(
            "{count} memory error that ECC could not correct",
            "{count} memory errors that ECC could not correct",
            count=signs.uncorrected_errors,
        )
    if report.temperature_c is not None and report.temperature_c >= limits.temperature_c:
        return text(
            "Too hot: {celsius} °C, limit {limit} °C",
            celsius=round(report.temperature_c),
            limit=round(limits.temperature_c),
        )
    if signs.memory_temperature_c is not None and signs.memory_temperature_c >= limits.memory_temperature_c:
        return text(
            "Memory too hot: {celsius} °C, limit {limit} °C",
            celsius=round(signs.memory_temperature_c),
            limit=round(limits.memory_temperature_c),
        )
    if signs.throttle:
        return text("The hardware slows itself down: {reasons}", reasons=", ".join(signs.throttle))
    return None


def slow_reason(
    latest_tflops: float, history_tflops: Sequence[float], limits: HealthLimits = USUAL_LIMITS
) -> Text | None:
    """Why a device counts as slow, against the median of its own earlier benchmarks; None when it does not."""
    earlier = [rate for rate in history_tflops if rate > 0]
    if len(earlier) < limits.history_count:
        return None
    usual = median(earlier)
    if latest_tflops >= limits.slow_share * usual:
        return None
    return text(
        "Slow: {latest} TFLOPS in the latest benchmark, usually {usual}",
        latest=f"{latest_tflops:.3g}",
        usual=f"{usual:.3g}",
    )


def with_benchmarks(
    report: DeviceReport, rates_tflops: Sequence[float], limits: HealthLimits = USUAL_LIMITS
) -> DeviceReport:
    """`report` marked sick if the last of `rates_tflops` (oldest first, one precision) is slow against the others."""
    if not report.healthy or not rates_tflops:
        return report
    reason = slow_reason(rates_tflops[-1], rates_tflops[:-1], limits)
    return report if reason is None else replace(report, healthy=False, health_reason=reason)
