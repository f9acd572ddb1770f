"""The peak of an accelerator whose maker tells none, from what is known of it and from its nearest relatives."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pearlstreet.compute.estimate.model import PEAKS
from pearlstreet.compute.hardware.catalogue import Accelerator, Catalogue

BASES: tuple[tuple[str, Callable[[Accelerator], float | None], float], ...] = (
    ("int8", lambda entry: entry.peak_tflops.get("int8"), 0.35),
    ("bf16", lambda entry: entry.peak_tflops.get("bf16") or entry.peak_tflops.get("fp16"), 0.6),
    ("fp32", lambda entry: entry.peak_tflops.get("fp32"), 0.65),
    ("bandwidth", lambda entry: entry.bandwidth_gbs, 0.5),
    ("power", lambda entry: entry.power_w, 0.55),
    ("memory", lambda entry: entry.memory_gib, 0.7),
)
"""(known quantity, how it is read, least standard deviation of the logarithm of a peak inferred from it), best first.

The deviations are those that make 80 % of the P10 to P90 ranges hold when each card of the catalogue with a known peak
is left out in turn (tests/unit/estimate/test_relatives.py measures it)."""
YEARS = 2.0
"""Distance in release dates at which a relative counts e^-½."""
SAME_VENDOR, SAME_FORM, SAME_MEMORY = 4.0, 2.0, 2.0
"""Weight of a relative that shares the property, relative to one that does not."""
FAR = 0.5
"""Deviation added for each factor of e by which the card lies beyond its nearest relative in the known quantity."""


@dataclass(frozen=True, slots=True)
class InferredPeak:
    """A peak that no data sheet gives."""

    tflops: float
    """Dense peak of the whole card in 10¹² operations/s."""
    deviation: float
    """Standard deviation of its natural logarithm."""
    basis: str
    """Quantity that it was scaled by: `int8`, `bf16`, `fp32`, `bandwidth`, `power` or `memory`."""


def infer_peak(entry: Accelerator, precision: str, book: Catalogue) -> InferredPeak | None:
    """Return the peak of `precision` scaled from relatives; None when nothing at all is known of the card."""
    for basis, read, least in BASES:
        own = read(entry)
        if own is None or own <= 0:
            continue
        relatives = list(_relatives(entry, own, precision, read, book))
        if not relatives:
            continue
        weights = sum(relative.weight for relative in relatives)
        mean = sum(relative.weight * relative.log_ratio for relative in relatives) / weights
        spread = sum(relative.weight * (relative.log_ratio - mean) ** 2 for relative in relatives) / weights
        beyond = min(relative.distance for relative in relatives)
        return InferredPeak(
            own * math.exp(mean), math.hypot(least, math.sqrt(spread) / 2, FAR * beyond), basis
        )
    return None


@dataclass(frozen=True, slots=True)
class _Relative:
    weight: float
    log_ratio: float
    """Logarithm of its peak over its known quantity."""
    distance: float
    """Distance between the logarithms of the two known quantities."""


def _relatives(
    entry: Accelerator,
    own: float,
    precision: str,
    read: Callable[[Accelerator], float | None],
    book: Catalogue,
) -> Iterator[_Relative]:
    year = _year(entry)
    for other in book:
        known = read(other)
        peak = next(
            (found for name in PEAKS.get(precision, (precision,)) if (found := other.peak_tflops.get(name))),
            None,
        )
        if other.id == entry.id or peak is None or known is None or known <= 0:
            continue
        distance = abs(math.log(own / known))
        weight = math.exp(-0.5 * ((_year(other) - year) / YEARS) ** 2 - 0.5 * distance**2)
        weight *= SAME_VENDOR if other.vendor == entry.vendor else 1.0
        weight *= SAME_FORM if other.form_factor == entry.form_factor else 1.0
        weight *= SAME_MEMORY if other.memory_type and other.memory_type == entry.memory_type else 1.0
        yield _Relative(max(weight, 1e-12), math.log(peak / known), distance)


def _year(entry: Accelerator) -> float:
    """Release in years; 2020 where nothing says when."""
    year, _, month = entry.release.partition("-")
    return float(year or 2020) + (float(month or 1) - 1) / 12
