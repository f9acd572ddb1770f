"""Normalised compute of different devices: PFLOPS of 16-bit training arithmetic, measured where possible. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pearlstreet.base.units import Pflops
from pearlstreet.compute.hardware.catalogue import Accelerator, Catalogue, catalogue
from pearlstreet.compute.hardware.model import DeviceReport

ORDER = ("bf16", "fp16", "fp32")
"""The precision that counts is the first of these that a device has."""

ASSUMED_SHARE = 0.6
"""Share of the dense peak assumed for a device without measurements. Large matrix products reach 0.6 to 0.9 of the dense peak
on the parts with public measurements, so an unmeasured card is never counted above a measured one of its kind."""

TFLOPS_PER_PFLOPS = 1000.0


class Basis(StrEnum):
    """Origin of a normalised figure."""

    MEASURED = "measured"
    ASSUMED = "assumed"
    UNKNOWN = "unknown"
    """Neither measured nor in the catalogue with a floating-point rate: counts as zero until it is measured."""


@dataclass(frozen=True, slots=True)
class NormalisedRate:
    """Normalised compute of one device."""

    pflops: Pflops
    basis: Basis
    precision: str = ""
    """The precision that it was taken from; empty when unknown."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """Total of a set of devices."""

    cards: int
    healthy_cards: int
    peak_pflops: Pflops
    """Catalogue dense peaks, of the first of ORDER that each has."""
    measured_pflops: Pflops
    """Measured devices only."""
    normalised_pflops: Pflops
    """Measured where measured, assumed elsewhere: what quotas and shares count in."""
    measured_cards: int = 0
    assumed_cards: int = 0
    unknown_cards: int = 0


Measured = Mapping[str, float]
"""Precision → measured TFLOPS of one device."""


def normalised_rate(accelerator: Accelerator | None, measured: Measured | None = None) -> NormalisedRate:
    """Return measured bf16, else fp16, else fp32, else 0.6 × the catalogue's dense peak (of the same order)."""
    for precision in ORDER:
        rate = (measured or {}).get(precision, 0.0)
        if rate > 0:
            return NormalisedRate(Pflops(rate / TFLOPS_PER_PFLOPS), Basis.MEASURED, precision)
    precision, peak = dense_peak_tflops(accelerator)
    if peak > 0:
        return NormalisedRate(Pflops(ASSUMED_SHARE * peak / TFLOPS_PER_PFLOPS), Basis.ASSUMED, precision)
    return NormalisedRate(Pflops(0.0), Basis.UNKNOWN)


def dense_peak_tflops(accelerator: Accelerator | None) -> tuple[str, float]:
    """Return the precision that counts and its dense peak per device in TFLOPS; ("", 0.0) when unknown."""
    for precision in ORDER:
        peak = accelerator.device_peak_tflops(precision) if accelerator is not None else None
        if peak:
            return precision, peak
    return "", 0.0


def capacity(
    devices: Iterable[DeviceReport],
    measured: Callable[[DeviceReport], Measured | None] = lambda device: None,
    book: Catalogue | None = None,
) -> Capacity:
    """Return cards, peak, measured and normalised PFLOPS of `devices`; sick ones count as cards but not as compute."""
    known = book or catalogue()
    seen = list(devices)
    working = [device for device in seen if device.healthy]
    kinds: dict[tuple[object, ...], tuple[float, NormalisedRate]] = {}
    """Peak and rate of each kind of device: thousands of devices are of a few kinds."""

    def of(device: DeviceReport) -> tuple[float, NormalisedRate]:
        found = measured(device)
        kind = (device.model, *(found or {}).items())
        if kind not in kinds:
            entry = known.get(device.model)
            kinds[kind] = (dense_peak_tflops(entry)[1], normalised_rate(entry, found))
        return kinds[kind]

    counted = [of(device) for device in working]
    peaks = [peak for peak, _ in counted]
    rates = [rate for _, rate in counted]
    by_basis = {basis: [rate for rate in rates if rate.basis is basis] for basis in Basis}
    return Capacity(
        cards=len(seen),
        healthy_cards=len(working),
        peak_pflops=Pflops(sum(peaks) / TFLOPS_PER_PFLOPS),
        measured_pflops=Pflops(sum(rate.pflops for rate in by_basis[Basis.MEASURED])),
        normalised_pflops=Pflops(sum(rate.pflops for rate in rates)),
        measured_cards=len(by_basis[Basis.MEASURED]),
        assumed_cards=len(by_basis[Basis.ASSUMED]),
        unknown_cards=len(by_basis[Basis.UNKNOWN]),
    )
