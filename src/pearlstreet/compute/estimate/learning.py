"""Learning factors of a center's estimates from benchmarks of nodes and finished runs, by device and by recipe.

A calibration is a value: it can be shown, kept, and left out again. Each factor is shrunk towards "no difference": with
few runs, or runs that disagree, it stays near one (the posterior mean of a normal prior; Efron and Morris 1975).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import text
from pearlstreet.compute.estimate import devices
from pearlstreet.compute.hardware.bench.result import DeviceBench
from pearlstreet.compute.hardware.catalogue import Catalogue

PRIOR_DEVICE = 0.15
PRIOR_RECIPE = 0.2
RUN_NOISE = 0.1
"""Spread of equal runs of one recipe on one kind of device, as a logarithm's standard deviation."""
BENCH_NOISE = 0.1
"""Standard deviation between a node's benchmark of matrix products and its training speed, since a step has other parts too."""
FARTHEST = math.log(4.0)
"""A run that took four times more or less than estimated says something else went wrong; it counts as that at most."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that ended well: device time as estimated (without what was learnt) and as it was."""

    device: str
    recipe: str
    estimated_s: float
    actual_s: float


@dataclass(frozen=True, slots=True)
class Bench:
    """A node's measured rate of matrix products, and the rate expected from the catalogue and its achievable share."""

    device: str
    measured_tflops: float
    expected_tflops: float


@dataclass(frozen=True, slots=True)
class Learnt:
    """A learnt factor: the logarithm of actual over estimated time, its deviation, and its evidence."""

    log_factor: float
    deviation: float
    runs: int = 0
    benches: int = 0

    @property
    def factor(self) -> float:
        """Factor by which estimates are multiplied."""
        return math.exp(self.log_factor)


@dataclass(frozen=True, slots=True)
class Calibration:
    """All factors of a center."""

    devices: Mapping[str, Learnt] = field(default_factory=dict)
    recipes: Mapping[tuple[str, str], Learnt] = field(default_factory=dict)
    """(recipe, device) → what it differs from the device's factor."""

    def correct(self, device: str, recipe: str, log_factor: float, deviation: float) -> tuple[float, float]:
        """Return the factor and its deviation with what was learnt of this device and recipe."""
        own, special = self.devices.get(device), self.recipes.get((recipe, device))
        for found, prior in ((own, PRIOR_DEVICE), (special, PRIOR_RECIPE)):
            if found is not None:
                log_factor += found.log_factor
                # The deviation learnt replaces the prior's share of the variance.
                left = max(deviation**2 - prior**2, RUN_NOISE**2)
                deviation = min(deviation, math.sqrt(left + found.deviation**2))
        return log_factor, deviation

    def without(self, *, device: str | None = None, recipe: str | None = None) -> Calibration:
        """Return the calibration with the named device's or recipe's factors forgotten; with neither named, with none left."""
        if device is None and recipe is None:
            return NOTHING
        devices = {name: kept for name, kept in self.devices.items() if recipe is not None or name != device}
        recipes = {
            key: kept
            for key, kept in self.recipes.items()
            if not ((device is None or key[1] == device) and (recipe is None or key[0] == recipe))
        }
        return replace(self, devices=devices, recipes=recipes)


NOTHING = Calibration()


def bench_of(measured: DeviceBench, book: Catalogue, precision: str = "bf16") -> Bench | None:
    """Return a node's benchmark with the rate that the catalogue leads to expect; None if either is unknown."""
    entry = devices.find(measured.model, book)
    rate = measured.rates.get(precision)
    expected = None if entry is None else devices.device(entry, precision, 1, book)
    if rate is None or expected is None:
        return None
    return Bench(expected.accelerator, rate, expected.peak * expected.achievable * devices.REFERENCE / 1e12)


def calibrate(runs: Iterable[Finished], benches: Iterable[Bench] = ()) -> Calibration:
    """Return the factors from all benchmarks and runs of a center. The order of runs does not matter. Raises InvalidInput for times of zero."""
    by_device: dict[str, list[tuple[float, float]]] = {}
    counts: dict[str, list[int]] = {}
    for bench in benches:
        _positive(bench.measured_tflops, bench.expected_tflops)
        # A node slower than expected has a factor above 1, since the factor multiplies times.
        seen = math.log(bench.expected_tflops / bench.measured_tflops)
        by_device.setdefault(bench.device, []).append((_bounded(seen), BENCH_NOISE))
        counts.setdefault(bench.device, [0, 0])[1] += 1
    by_recipe: dict[tuple[str, str], list[float]] = {}
    for run in runs:
        _positive(run.actual_s, run.estimated_s)
        seen = _bounded(math.log(run.actual_s / run.estimated_s))
        by_recipe.setdefault((run.recipe, run.device), []).append(seen)
        counts.setdefault(run.device, [0, 0])[0] += 1
    for (_, name), logs in sorted(by_recipe.items()):
        # A recipe speaks for its device once, however often it ran.
        spread = math.hypot(PRIOR_RECIPE, RUN_NOISE / math.sqrt(len(logs)))
        by_device.setdefault(name, []).append((sum(logs) / len(logs), spread))
    devices = {
        name: replace(_posterior(seen, PRIOR_DEVICE), runs=counts[name][0], benches=counts[name][1])
        for name, seen in by_device.items()
    }
    recipes = {
        key: replace(
            _posterior([(value - devices[key[1]].log_factor, RUN_NOISE) for value in logs], PRIOR_RECIPE),
            runs=len(logs),
        )
        for key, logs in by_recipe.items()
        if key[0]
    }
    return Calibration(devices, recipes)


def _posterior(seen: list[tuple[float, float]], prior: float) -> Learnt:
    """Return mean and deviation of a factor under a normal prior around no difference."""
    weight = 1.0 / prior**2 + sum(1.0 / noise**2 for _, noise in seen)
    mean = sum(value / noise**2 for value, noise in seen) / weight
    return Learnt(mean, math.sqrt(1.0 / weight))


def _bounded(value: float) -> float:
    return max(-FARTHEST, min(FARTHEST, value))


def _positive(*values: float) -> None:
    if not all(math.isfinite(value) and value > 0 for value in values):
        raise InvalidInput(text("A calibration needs times and rates greater than zero"))
