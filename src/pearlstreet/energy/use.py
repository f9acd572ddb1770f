"""PURE: energy of the machines (IT energy) that work used: measured where its devices were, else from rated power.

A node at work draws more than its accelerators. Rated: the accelerators' rated power times what whole nodes draw for
each watt of it, the factor that estimates use, with its range. Measured: what the accelerators drew, plus the rest of
the node as the same factor has it at rated power; the range is that of the rest. Work without accelerators is counted
by the power of a core that the site has stated, and not at all while it has stated none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import pairwise

from pearlstreet.base.clock import US_PER_S
from pearlstreet.compute.engines.protocol import MetricSample
from pearlstreet.compute.estimate.estimators import NODE_POWER
from pearlstreet.compute.hardware.catalogue import catalogue
from pearlstreet.ledger.model import CARD_BP

J_PER_KWH = 3.6e6
SAMPLES_LEAST = 3
COVERED_LEAST = 0.5
"""Smallest share of a run between a device's first and last sample; the rest counts like the nearest sample."""


class Basis(StrEnum):
    """Basis of a figure of energy."""

    MEASURED = "measured"
    RATED = "rated"
    CORES = "cores"
    """Stated power of CPU cores."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Watts:
    """Power of the nodes attributed to some work: low (10th percentile), median, high (90th percentile)."""

    low: float
    middle: float
    high: float
    basis: Basis

    def kwh(self, us: int) -> tuple[float, float, float]:
        """Return the energy of a period in kilowatt hours."""
        kwh_per_w = us / US_PER_S / J_PER_KWH
        return self.low * kwh_per_w, self.middle * kwh_per_w, self.high * kwh_per_w


def watts(
    model: str, card_bp: int, cpu_milli: int, *, device_w: float | None = None, core_mw: int | None = None
) -> Watts | None:
    """Return the power of work that holds `card_bp` (1/10,000) of cards of `model`, or cores alone. `device_w`: what all its accelerators
    drew on average, if that was measured. None: not known."""
    if not card_bp:
        if core_mw is None:
            return None
        drawn = core_mw / 1000 * cpu_milli / 1000
        return Watts(drawn, drawn, drawn, Basis.CORES)
    rated = rated_w(model)
    if rated is None:
        return None
    whole = rated * card_bp / CARD_BP
    if device_w is None:
        low, middle, high = (factor * whole for factor in NODE_POWER)
        return Watts(low, middle, high, Basis.RATED)
    low, middle, high = (device_w + (factor - 1.0) * whole for factor in NODE_POWER)
    return Watts(low, middle, high, Basis.MEASURED)


@cache
def rated_w(model: str) -> float | None:
    """Return rated power of one device as software sees it; None: the catalogue does not know it."""
    entry = catalogue().get(model)
    return None if entry is None or entry.power_w is None else entry.power_w / entry.dies


def measured_j(
    samples: Sequence[MetricSample], start_us: int, end_us: int, devices: Mapping[int, Sequence[int]]
) -> int | None:
    """Return joules that the accelerators of an attempt used, from samples of their power. `devices`: rank → indices.

    None when some device was not sampled for most of the run.
    """
    seen: dict[tuple[int, int], list[tuple[int, float]]] = {
        (rank, index): [] for rank, indices in devices.items() for index in indices
    }
    for sample in samples:
        if sample.kind == "use" and start_us <= sample.at_us <= end_us:
            for index in devices.get(sample.rank, ()):
                power = sample.values.get(f"device_{index}_power_w")
                if power is not None and 0 <= power < 1e5:
                    seen[sample.rank, index].append((sample.at_us, power))
    if not seen or end_us <= start_us:
        return None
    total = 0.0
    for readings in seen.values():
        readings.sort()
        covered = len(readings) >= SAMPLES_LEAST and readings[-1][0] - readings[0][0]
        if not covered or covered < COVERED_LEAST * (end_us - start_us):
            return None
        total += _integral(readings, start_us, end_us)
    return round(total)


def _integral(readings: Sequence[tuple[int, float]], start_us: int, end_us: int) -> float:
    """Return joules by trapezoids; the ends count like the nearest reading."""
    points = [(start_us, readings[0][1]), *readings, (end_us, readings[-1][1])]
    return sum((one[1] + two[1]) / 2 * (two[0] - one[0]) / US_PER_S for one, two in pairwise(points))
