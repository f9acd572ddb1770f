"""Fitting the calibration constants to measured rows: used by the script that writes constants.toml, and to check it.

Physics constants move within priors (a lognormal around a value from the literature, below one where they are shares),
by Gauss-Newton steps on a loss that a few outliers cannot dominate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pearlstreet.compute.estimate import effects as factors
from pearlstreet.compute.estimate.grid import Column, Grid
from pearlstreet.compute.estimate.layouts import enumerate_layouts
from pearlstreet.compute.estimate.memory import memory
from pearlstreet.compute.estimate.model import Training
from pearlstreet.compute.estimate.samples import sample_seconds
from pearlstreet.compute.estimate.step import step_time

PRIOR: Mapping[str, tuple[float, float]] = {
    "product_share": (0.8, 0.1),
    "attention_share": (0.4, 0.3),
    "width_half": (100.0, 0.7),
    "tokens_half": (60.0, 0.7),
    "touched_bytes": (150.0, 0.5),
    "fused_bytes": (90.0, 0.25),
    "scores_touched": (4.0, 0.5),
    "unshared": (0.3, 0.7),
    "launch_s": (9e-4, 1.0),
    "fused_launch_s": (3e-4, 0.7),
    "expert_launch_s": (5e-4, 1.0),
    "collective_s": (1e-4, 1.0),
    "overlap_sharpness": (2.0, 0.3),
    "micro_batch_s": (2e-3, 1.0),
    "hop_s": (1.5e-4, 0.7),
    "link_alpha_s": (1.5e-5, 0.7),
    "link_share": (0.7, 0.1),
    "network_share": (0.75, 0.1),
    "optimizer_bytes": (30.0, 0.5),
    "step_s": (4e-3, 1.0),
    "gradient_exposed": (0.6, 0.4),
    "hidden_share": (0.6, 0.3),
    "expert_exposed": (0.6, 0.3),
    "tensor_exposed": (0.5, 0.3),
}
"""Constant → (expected value, standard deviation of its logarithm)."""
SHARES = ("product_share", "attention_share", "unshared", "link_share", "network_share", "gradient_exposed",
          "hidden_share", "expert_exposed", "tensor_exposed")  # fmt: skip
Problem = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Packed:
    """Candidates of many runs in one grid: run number i has the rows from start[i] on."""

    grid: Grid
    start: NDArray[np.intp]

    def per_token(self, k: Mapping[str, float]) -> Column:
        """Return device-seconds a token of each run's fastest layout."""
        seconds = step_time(self.grid, k).total * self.grid.devices / self.grid.step_tokens
        found: Column = np.minimum.reduceat(seconds, self.start)
        return found


@dataclass(frozen=True, slots=True)
class Fitted:
    """Constants and factors together."""

    physics: Mapping[str, float]
    effects: factors.Effects


def pack(runs: Sequence[Training], k: Mapping[str, float]) -> Packed:
    """Return the layouts of every run that fit into memory; where none does, those with the smallest shortfall."""
    grids, sizes = [], []
    for run in runs:
        grid = enumerate_layouts(run)
        needed = memory(grid, k).total
        fits = needed <= run.hardware.memory
        grids.append(grid.take(fits if fits.any() else np.argsort(needed)[:3]))
        sizes.append(len(grids[-1]))
    return Packed(Grid.join(grids), np.concatenate(([0], np.cumsum(sizes)[:-1])).astype(np.intp))


def constants(logs: NDArray[np.float64]) -> dict[str, float]:
    """Return physics constants from their logarithms; a share stays a share."""
    found = {name: float(np.exp(value)) for name, value in zip(PRIOR, logs, strict=True)}
    return found | {name: min(found[name], 1.0) for name in SHARES}


def solve(problem: Problem, start: NDArray[np.float64], steps: int = 12) -> NDArray[np.float64]:
    """Return the point with the least sum of squares: damped Gauss-Newton with a numeric derivative (Levenberg 1944)."""
    here, damping = start.copy(), 1.0
    values = problem(here)
    for _ in range(steps):
        slopes = np.stack(
            [(problem(here + shift) - values) / 1e-4 for shift in 1e-4 * np.eye(len(here))], axis=1
        )
        for _ in range(6):
            move = np.linalg.solve(slopes.T @ slopes + damping * np.eye(len(here)), -slopes.T @ values)
            tried = here + np.clip(move, -0.7, 0.7)
            there = problem(tried)
            if there @ there < values @ values:
                gained = 1.0 - (there @ there) / (values @ values)
                here, values, damping = tried, there, max(damping / 4, 1e-4)
                break
            damping *= 4.0
        else:
            break
        if gained < 1e-4:
            break
    return here


def robust(off: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Return residuals whose squares grow linearly beyond `scale` (pseudo-Huber)."""
    found: NDArray[np.float64] = (
        np.sign(off) * np.sqrt(2.0 * (np.sqrt(1.0 + (off / scale) ** 2) - 1.0)) * scale
    )
    return found


def fit(
    steps: Sequence[Training],
    seconds: NDArray[np.float64],
    step_weights: NDArray[np.float64],
    runs: Sequence[Training],
    per_unit: NDArray[np.float64],
    groups: Sequence[str],
    memory_constants: Mapping[str, float],
    *,
    rounds: int = 2,
) -> Fitted:
    """Return physics and factors from measured steps (seconds each) and runs (device-seconds a token, or a sample)."""
    counted = np.array([run.architecture.forward_flops is None for run in runs])
    tokens = [run for run, token in zip(runs, counted, strict=True) if token]
    packed_steps, packed_runs = pack(steps, memory_constants), pack(tokens, memory_constants)
    per_step = np.array([run.batch * run.sequence / run.hardware.count for run in steps])
    rows = [factors.features(run, run.hardware.chip) for run in runs]
    points = [factors.feature_point(run) for run in runs]
    middle = np.log([value for value, _ in PRIOR.values()])
    wide = np.array([deviation for _, deviation in PRIOR.values()])
    found, physics = factors.Effects(), middle
    target = np.log(per_unit[counted])
    for _ in range(rounds):
        known = np.array([found.of(row, at)[0] for row, at in zip(rows, points, strict=True)])[counted]

        def problem(logs: NDArray[np.float64], known: NDArray[np.float64] = known) -> NDArray[np.float64]:
            k = constants(logs)
            off = np.log(seconds / (packed_steps.per_token(k) * per_step))
            left = target - known - np.log(packed_runs.per_token(k))
            return np.concatenate(
                [(logs - middle) / wide, robust(off, 0.15) / 0.1 * step_weights, robust(left, 0.2) / 0.3]
            )

        physics = solve(problem, physics)
        base = np.empty(len(runs))
        base[counted] = packed_runs.per_token(constants(physics))
        base[~counted] = [sample_seconds(run) for run, token in zip(runs, counted, strict=True) if not token]
        found = factors.fit(rows, np.log(per_unit / base), groups, points)
    return Fitted(constants(physics), found)
