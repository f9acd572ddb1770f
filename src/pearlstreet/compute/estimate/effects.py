"""Fitted factors that correct the estimate of physics, one for each chip, training software, purpose and family.

The logarithm of a factor has a normal prior around zero, so a few rows move it little; a kind without measurements keeps
the factor one and a wide band. This is partial pooling (Gelman and Hill 2007, ch. 12). A Gaussian process learns the
residual that runs of similar size and kind have in common (gaussian_process.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pearlstreet.compute.estimate import gaussian_process
from pearlstreet.compute.estimate.gaussian_process import FeaturePoint, InducingPoint
from pearlstreet.compute.estimate.model import Training

PRIORS: Mapping[str, float] = {
    "family": 0.2,
    "chip": 0.15,
    "chip+precision": 0.1,
    "chip+purpose": 0.15,
    "chip+family": 0.1,
    "family+precision": 0.15,
    "precision": 0.1,
    "purpose": 0.1,
    "family+purpose": 0.1,
    "stack": 0.1,
    "vendor": 0.15,
    "constant": 0.2,
    "scale+lora": 0.07,
    "long": 0.1,
    "serving": 0.2,
    "engine": 0.25,
    "serving chip": 0.15,
    "serving precision": 0.15,
    "scenario": 0.2,
}
"""Prior standard deviations of the logarithm of a factor, by kind of factor."""
_ODD = 1.0
"""Residual, in standard deviations of the noise, beyond which a row is down-weighted as an outlier."""


def features(run: Training, chip: str) -> dict[str, float]:
    """Return the features of a run: `kind=level` with the value 1, or a numeric kind with its value."""
    shape = run.architecture
    family = shape.family
    precision = run.precision.split("-")[0]
    found = {
        "constant": 1.0,
        f"family={family}": 1.0,
        f"chip={chip}": 1.0,
        f"chip+precision={chip} {precision}": 1.0,
        f"chip+purpose={chip} {run.purpose}": 1.0,
        f"chip+family={chip} {family}": 1.0,
        f"family+precision={family} {precision}": 1.0,
        f"precision={run.precision}": 1.0,
        f"purpose={run.purpose}": 1.0,
        f"family+purpose={family} {run.purpose}": 1.0,
        f"stack={stack(run)}": 1.0,
        f"vendor={run.hardware.vendor}": 1.0,
        "long": max(0.0, math.log2(run.sequence / 4096.0)),
    }
    doublings = math.log2(max(1.0, run.hardware.count / 8.0))
    if run.mode == "lora":
        found["scale+lora"] = doublings / 3.0
    return {name: value for name, value in found.items() if value}


def feature_point(run: Training) -> FeaturePoint:
    """Return the point of a run, the input of the Gaussian process."""
    return gaussian_process.feature_point(run, stack(run))


def stack(run: Training) -> str:
    """Return the kind of training software that the layout of a run implies."""
    given = run.layout
    if run.hardware.accelerator.startswith("tpu"):
        return "xla"
    if given.zero is not None and given.zero >= 2:
        return "fully sharded"
    if given.virtual_stages is not None or (given.pipeline or 1) > 1 or (given.tensor or 1) > 1:
        return "megatron"
    return "unsaid" if given.tensor is None else "data parallel"


@dataclass(frozen=True, slots=True)
class Effects:
    """Fitted factors, the residual noise and the inducing points of the Gaussian process."""

    mean: Mapping[str, float] = field(default_factory=dict)
    """Mean of the logarithm of each factor, by feature."""
    deviation: Mapping[str, float] = field(default_factory=dict)
    """Standard deviation of the logarithm of each factor, by feature."""
    noise: float = 0.2
    """Standard deviation of the logarithm of the residual."""
    band: float = 1.0
    """Multiplier of the deviations by which 80 % of the rows left out while fitting lie between P10 and P90."""
    inducing_points: tuple[InducingPoint, ...] = ()
    """Inducing points of the Gaussian process; empty where none was fitted."""

    def of(self, features: Mapping[str, float], at: FeaturePoint | None = None) -> tuple[float, float]:
        """Return the logarithm of the factor for the features of a run and its standard deviation.

        With `at`, the point of the run, both include the Gaussian process. Features without a fit keep their prior.
        """
        mean, variance = 0.0, self.noise**2
        for name, value in features.items():
            mean += value * self.mean.get(name, 0.0)
            variance += (value * self.deviation.get(name, PRIORS[name.split("=")[0]])) ** 2
        if at is not None:
            more, deviation = gaussian_process.predict(self.inducing_points, at)
            mean, variance = mean + more, variance + deviation**2
        return mean, math.sqrt(variance) * self.band

    def unknown(self, features: Mapping[str, float]) -> tuple[str, ...]:
        """Return the features that occurred in no fitted row."""
        return tuple(name for name in features if name not in self.mean)


def fit(
    rows: Sequence[Mapping[str, float]],
    residuals: NDArray[np.float64],
    groups: Sequence[str],
    points: Sequence[FeaturePoint] = (),
    *,
    noise: float = 0.15,
) -> Effects:
    """Fit factors, and a Gaussian process over `points`, to residuals.

    `residuals`: logarithms of measured over estimated time, one per row. Outliers are down-weighted. The deviation of a factor
    shrinks with the number of groups (sweeps) that contain it, not with their rows: errors within a sweep are correlated.
    """
    names = sorted({name for row in rows for name in row})
    at = {name: column for column, name in enumerate(names)}
    prior = np.array([PRIORS[name.split("=")[0]] for name in names])
    design = np.zeros((len(rows), len(names)))
    for line, row in enumerate(rows):
        for name, value in row.items():
            design[line, at[name]] = value
    rounded = [point.rounded() for point in points]
    shared = (design * prior**2) @ design.T
    if rounded:
        shared = shared + gaussian_process.SPREAD**2 * gaussian_process.kernel(rounded, rounded)
    weights = np.ones(len(rows))
    for _ in range(8):
        pull = np.linalg.solve(shared + np.diag(noise**2 / weights), residuals)
        off = residuals - shared @ pull
        weights = 1.0 / np.sqrt(1.0 + (off / (_ODD * noise)) ** 2)
    sweeps = _sweeps(rows, groups)
    deviation = prior / np.sqrt([1.0 + len(sweeps[name]) for name in names])
    return Effects(
        mean=dict(zip(names, (prior**2 * (design.T @ pull)).tolist(), strict=True)),
        deviation=dict(zip(names, deviation.tolist(), strict=True)),
        noise=noise,
        inducing_points=_inducing_points(rounded, pull, groups),
    )


def _sweeps(rows: Sequence[Mapping[str, float]], groups: Sequence[str]) -> dict[str, set[str]]:
    """Return the groups that contain each factor."""
    sweeps: dict[str, set[str]] = {}
    for row, group in zip(rows, groups, strict=True):
        for name in row:
            sweeps.setdefault(name, set()).add(group)
    return sweeps


def _inducing_points(
    points: Sequence[FeaturePoint], pull: NDArray[np.float64], groups: Sequence[str]
) -> tuple[InducingPoint, ...]:
    """Return one inducing point for all rows that share a rounded point."""
    weights: dict[FeaturePoint, float] = {}
    sweeps: dict[FeaturePoint, set[str]] = {}
    for point, value, group in zip(points, pull.tolist(), groups, strict=True) if points else ():
        weights[point] = weights.get(point, 0.0) + gaussian_process.SPREAD**2 * value
        sweeps.setdefault(point, set()).add(group)
    return tuple(InducingPoint(point, weight, len(sweeps[point])) for point, weight in weights.items())
