"""Gaussian process over the logarithm of measured time divided by the time that physics and factors estimate.

It interpolates between measured runs (Rasmussen and Williams 2006, ch. 2). The kernel of two runs is exp(−½·Σ(Δ/length)²)
over their quantities in doublings, times exp(−loss) for each kind in which they differ. Lengths and losses were chosen by
cross-validation; chosen on one half of the sweeps they also help on the other, and the error hardly depends on them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pearlstreet.compute.estimate.model import Training

Array = NDArray[np.float64]
LENGTHS = {"params": 5.0, "devices": 10.0, "sequence": 6.0, "device_tokens": 4.0, "peak": 2.5}
"""Length scales of the kernel by quantity, in doublings."""
KINDS = {"family": 1.5, "purpose": 2.0, "stack": 0.5}
"""Losses of the kernel by kind, subtracted from its exponent where two runs differ in that kind."""
SPREAD = 0.4
"""Prior standard deviation of the process, as a logarithm of time."""


@dataclass(frozen=True, slots=True)
class FeaturePoint:
    """Input of the Gaussian process for one run: its quantities and its kinds."""

    doublings: tuple[float, ...]
    """Logarithms to base 2 of the quantities, in the order of LENGTHS."""
    kinds: tuple[str, ...]
    """Names of the kinds, in the order of KINDS."""

    def rounded(self) -> FeaturePoint:
        """Return the point with whole doublings; the kernel hardly differs below one doubling."""
        return FeaturePoint(tuple(float(round(value)) for value in self.doublings), self.kinds)


@dataclass(frozen=True, slots=True)
class InducingPoint:
    """A rounded point at which runs were measured, with its weight in predictions."""

    point: FeaturePoint
    weight: float
    """Weight of the kernel at this point in the predicted logarithm of the factor."""
    sweeps: int
    """Number of sweeps measured at this point."""


def feature_point(run: Training, stack: str) -> FeaturePoint:
    """Return the point of a run that uses the training software `stack`."""
    devices = float(max(run.hardware.count, 1))
    tokens = max(run.batch, 1.0) * run.sequence / devices
    sizes = (run.architecture.params, devices, run.sequence, tokens, run.hardware.peak)
    return FeaturePoint(
        tuple(math.log2(max(size, 1e-9)) for size in sizes), (run.architecture.family, run.purpose, stack)
    )


def kernel(left: Sequence[FeaturePoint], right: Sequence[FeaturePoint]) -> Array:
    """Return the similarity of every left point to every right point, from 0 to 1, as an array [left, right]."""
    exponent = np.zeros((len(left), len(right)))
    for column, length in enumerate(LENGTHS.values()):
        rows, columns = (np.array([point.doublings[column] for point in points]) for points in (left, right))
        exponent += 0.5 * ((rows[:, None] - columns[None, :]) / length) ** 2
    for column, loss in enumerate(KINDS.values()):
        row_kinds, column_kinds = (
            np.array([point.kinds[column] for point in points]) for points in (left, right)
        )
        exponent += loss * (row_kinds[:, None] != column_kinds[None, :])
    similarity: Array = np.exp(-exponent)
    return similarity


def predict(inducing_points: Sequence[InducingPoint], at: FeaturePoint) -> tuple[float, float]:
    """Return the logarithm of the factor at a point and its standard deviation.

    Far from every inducing point, or without any, the result is the prior (0, SPREAD). The deviation shrinks with the number
    of sweeps measured nearby, weighted by the kernel.
    """
    if not inducing_points:
        return 0.0, SPREAD
    similarity = kernel([at], [inducing.point for inducing in inducing_points])[0]
    sweeps = float(similarity @ np.array([inducing.sweeps for inducing in inducing_points]))
    weights = np.array([inducing.weight for inducing in inducing_points])
    return float(similarity @ weights), SPREAD / math.sqrt(1.0 + sweeps)
