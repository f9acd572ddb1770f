"""What physics and factors leave over, learnt from runs alike: a smooth surface over size, scale and kind of work.

A Gaussian process beside the factors (Rasmussen and Williams 2006, ch. 2). Two runs are alike as exp(−½·Σ(Δ/length)²) of
what they differ by in doublings, and less for each kind that they do not share. Lengths and weights were chosen by
cross-validation; chosen on half of the sweeps they help on the other half, too, and the error hardly depends on them.
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
"""Quantity → doublings within which runs tell of each other."""
KINDS = {"family": 1.5, "purpose": 2.0, "stack": 0.5}
"""Kind → what another one takes from the exponent."""
SPREAD = 0.4
"""Standard deviation of the surface (logarithm of time)."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run lies: LENGTHS' quantities in doublings, and KINDS' words."""

    doublings: tuple[float, ...]
    kinds: tuple[str, ...]

    def near(self) -> Place:
        """The whole doubling closest by: runs of one place are told apart by nothing that matters here."""
        return Place(tuple(float(round(value)) for value in self.doublings), self.kinds)


@dataclass(frozen=True, slots=True)
class Knot:
    """A place with measured runs."""

    place: Place
    weight: float
    """What it adds to the surface where it stands."""
    sweeps: int
    """That were measured there."""


def place(run: Training, stack: str) -> Place:
    """Where a run lies."""
    devices = float(max(run.hardware.count, 1))
    tokens = max(run.batch, 1.0) * run.sequence / devices
    sizes = (run.architecture.params, devices, run.sequence, tokens, run.hardware.peak)
    return Place(
        tuple(math.log2(max(size, 1e-9)) for size in sizes), (run.architecture.family, run.purpose, stack)
    )


def likeness(these: Sequence[Place], those: Sequence[Place]) -> Array:
    """[these, those] how alike they are, from 0 to 1."""
    apart = np.zeros((len(these), len(those)))
    for column, length in enumerate(LENGTHS.values()):
        here, there = (np.array([at.doublings[column] for at in places]) for places in (these, those))
        apart += 0.5 * ((here[:, None] - there[None, :]) / length) ** 2
    for column, loss in enumerate(KINDS.values()):
        here_kind, there_kind = (np.array([at.kinds[column] for at in places]) for places in (these, those))
        apart += loss * (here_kind[:, None] != there_kind[None, :])
    found: Array = np.exp(-apart)
    return found


def surface(knots: Sequence[Knot], at: Place) -> tuple[float, float]:
    """(logarithm of the factor, its standard deviation) at a place; far from every knot (0, SPREAD)."""
    if not knots:
        return 0.0, SPREAD
    alike = likeness([at], [knot.place for knot in knots])[0]
    told = float(alike @ np.array([knot.sweeps for knot in knots]))
    return float(alike @ np.array([knot.weight for knot in knots])), SPREAD / math.sqrt(1.0 + told)
