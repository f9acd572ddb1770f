"""What physics leaves over, learnt: one factor for each kind of chip, software, purpose, family.

A factor is fitted with a prior of "no difference" (a normal one on the logarithm), so that few rows move it little, and
a kind nobody has measured has the factor one and a wide band. This is partial pooling (Gelman and Hill 2007, ch. 12).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pearlstreet.compute.estimate.model import Training

PRIORS: Mapping[str, float] = {
    "family": 0.3,
    "chip": 0.2,
    "chip+precision": 0.15,
    "chip+purpose": 0.2,
    "chip+family": 0.15,
    "family+precision": 0.2,
    "precision": 0.15,
    "purpose": 0.15,
    "family+purpose": 0.15,
    "stack": 0.13,
    "vendor": 0.2,
    "constant": 0.3,
    "scale+lora": 0.1,
    "long": 0.15,
    "serving": 0.2,
    "engine": 0.25,
    "serving chip": 0.15,
    "serving precision": 0.15,
    "scenario": 0.2,
}
"""Kind of factor → how far one may lie from one, as the standard deviation of its logarithm."""


def features(run: Training, chip: str) -> dict[str, float]:
    """What the factors of a run are: `kind=level` with one, or a kind with a number."""
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


def stack(run: Training) -> str:
    """The kind of training software that a layout speaks of."""
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
    """Fitted factors: the mean and the standard deviation of each one's logarithm, and of what remains."""

    mean: Mapping[str, float] = field(default_factory=dict)
    deviation: Mapping[str, float] = field(default_factory=dict)
    noise: float = 0.2
    band: float = 1.0
    """Stretches the deviations so that 80 % of rows left out while fitting lie between P10 and P90."""

    def of(self, found: Mapping[str, float]) -> tuple[float, float]:
        """(logarithm of the factor, its standard deviation) for a run's features; unknown ones keep their prior."""
        mean, variance = 0.0, self.noise**2
        for name, value in found.items():
            mean += value * self.mean.get(name, 0.0)
            variance += (value * self.deviation.get(name, PRIORS[name.split("=")[0]])) ** 2
        return mean, math.sqrt(variance) * self.band

    def unknown(self, found: Mapping[str, float]) -> tuple[str, ...]:
        """Features that no row spoke of."""
        return tuple(name for name in found if name not in self.mean)


def fit(
    rows: Sequence[Mapping[str, float]],
    residuals: NDArray[np.float64],
    groups: Sequence[str],
    *,
    noise: float = 0.18,
) -> Effects:
    """Factors that explain `residuals` (logarithms of measured over physics); rows far off count less.

    How sure a factor is depends on how many groups (sweeps) speak of it, not on their rows: one sweep errs as one.
    """
    names = sorted({name for row in rows for name in row})
    at = {name: column for column, name in enumerate(names)}
    prior = np.array([PRIORS[name.split("=")[0]] for name in names])
    design = np.zeros((len(rows), len(names)))
    for line, row in enumerate(rows):
        for name, value in row.items():
            design[line, at[name]] = value
    once = np.ones(len(rows))
    for _ in range(8):
        inner = (design * once[:, None]).T @ design / noise**2 + np.diag(1.0 / prior**2)
        solved = np.linalg.solve(inner, (design * once[:, None]).T @ residuals / noise**2)
        off = residuals - design @ solved
        once = 1.0 / np.sqrt(1.0 + (off / (1.5 * noise)) ** 2)
    sweeps: dict[str, set[str]] = {name: set() for name in names}
    for row, group in zip(rows, groups, strict=True):
        for name in row:
            sweeps[name].add(group)
    deviation = prior / np.sqrt([1.0 + len(sweeps[name]) for name in names])
    return Effects(
        mean={name: float(value) for name, value in zip(names, solved, strict=True)},
        deviation={name: float(value) for name, value in zip(names, deviation, strict=True)},
        noise=noise,
    )
