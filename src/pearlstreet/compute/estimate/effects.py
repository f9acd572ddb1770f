"""What physics leaves over, learnt: one factor for each kind of chip, software, purpose, family.

A factor is fitted with a prior of "no difference" (a normal one on the logarithm), so that few rows move it little, and
a kind nobody has measured has the factor one and a wide band. This is partial pooling (Gelman and Hill 2007, ch. 12).
What runs of that size and kind have in common beyond it is learnt beside the factors (gaussian_process.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pearlstreet.compute.estimate import gaussian_process
from pearlstreet.compute.estimate.gaussian_process import Place
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
"""Kind of factor → how far one may lie from one, as the standard deviation of its logarithm."""
_ODD = 1.0
"""How many deviations off a row begins to count less."""


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


def where(run: Training) -> Place:
    """Where a run lies among those that were measured."""
    return gaussian_process.place(run, stack(run))


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
    knots: tuple[gaussian_process.Knot, ...] = ()
    """Where runs were measured, for what those alike tell beside the factors."""

    def of(self, found: Mapping[str, float], at: Place | None = None) -> tuple[float, float]:
        """(logarithm of the factor, its standard deviation) for a run's features, and where it lies if that counts.

        Unknown features keep their prior.
        """
        mean, variance = 0.0, self.noise**2
        for name, value in found.items():
            mean += value * self.mean.get(name, 0.0)
            variance += (value * self.deviation.get(name, PRIORS[name.split("=")[0]])) ** 2
        if at is not None:
            more, deviation = gaussian_process.surface(self.knots, at)
            mean, variance = mean + more, variance + deviation**2
        return mean, math.sqrt(variance) * self.band

    def unknown(self, found: Mapping[str, float]) -> tuple[str, ...]:
        """Features that no row spoke of."""
        return tuple(name for name in found if name not in self.mean)


def fit(
    rows: Sequence[Mapping[str, float]],
    residuals: NDArray[np.float64],
    groups: Sequence[str],
    places: Sequence[Place] = (),
    *,
    noise: float = 0.15,
) -> Effects:
    """Factors, and a surface over `places`, that explain `residuals` (logarithms of measured over physics).

    Rows far off count less. How sure a factor is depends on how many groups (sweeps) speak of it, not on their rows:
    one sweep errs as one.
    """
    names = sorted({name for row in rows for name in row})
    at = {name: column for column, name in enumerate(names)}
    prior = np.array([PRIORS[name.split("=")[0]] for name in names])
    design = np.zeros((len(rows), len(names)))
    for line, row in enumerate(rows):
        for name, value in row.items():
            design[line, at[name]] = value
    near = [one.near() for one in places]
    shared = (design * prior**2) @ design.T
    if near:
        shared = shared + gaussian_process.SPREAD**2 * gaussian_process.likeness(near, near)
    once = np.ones(len(rows))
    for _ in range(8):
        pull = np.linalg.solve(shared + np.diag(noise**2 / once), residuals)
        off = residuals - shared @ pull
        once = 1.0 / np.sqrt(1.0 + (off / (_ODD * noise)) ** 2)
    sweeps = _sweeps(rows, groups)
    deviation = prior / np.sqrt([1.0 + len(sweeps[name]) for name in names])
    return Effects(
        mean=dict(zip(names, (prior**2 * (design.T @ pull)).tolist(), strict=True)),
        deviation=dict(zip(names, deviation.tolist(), strict=True)),
        noise=noise,
        knots=_knots(near, pull, groups),
    )


def _sweeps(rows: Sequence[Mapping[str, float]], groups: Sequence[str]) -> dict[str, set[str]]:
    """Factor → the groups that speak of it."""
    found: dict[str, set[str]] = {}
    for row, group in zip(rows, groups, strict=True):
        for name in row:
            found.setdefault(name, set()).add(group)
    return found


def _knots(
    near: Sequence[Place], pull: NDArray[np.float64], groups: Sequence[str]
) -> tuple[gaussian_process.Knot, ...]:
    """One knot for all rows of a place."""
    weights: dict[Place, float] = {}
    sweeps: dict[Place, set[str]] = {}
    for one, value, group in zip(near, pull.tolist(), groups, strict=True) if near else ():
        weights[one] = weights.get(one, 0.0) + gaussian_process.SPREAD**2 * value
        sweeps.setdefault(one, set()).add(group)
    return tuple(gaussian_process.Knot(one, weight, len(sweeps[one])) for one, weight in weights.items())
