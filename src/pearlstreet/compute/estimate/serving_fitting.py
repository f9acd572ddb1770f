"""Fitting the constants of serving to measured throughput: physics within priors, then factors, twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pearlstreet.compute.estimate import effects as factors
from pearlstreet.compute.estimate.fitting import Fitted, robust, solve
from pearlstreet.compute.estimate.model import Serving
from pearlstreet.compute.estimate.serving import serve

PRIOR: Mapping[str, tuple[float, float]] = {
    "prefill_share": (0.6, 0.25),
    "attention_share": (0.3, 0.3),
    "decode_share": (0.5, 0.25),
    "weight_share": (0.7, 0.15),
    "cache_share": (0.5, 0.3),
    "step_s": (2e-3, 0.7),
    "layer_s": (3e-5, 0.7),
    "sample_s": (5e-6, 0.5),
    "request_s": (2e-3, 1.0),
    "link_alpha_s": (1e-5, 0.5),
    "link_share": (0.6, 0.2),
    "width_half": (100.0, 0.7),
    "mixing_sharpness": (1.5, 0.25),
    "expert_cost": (1.3, 0.3),
}
"""Constant → (expected value, standard deviation of its logarithm)."""


def features(ask: Serving, scenario: str) -> dict[str, float]:
    """Return the features of a way of serving that have factors."""
    return {
        "serving": 1.0,
        f"engine={ask.engine}": 1.0,
        f"serving chip={ask.hardware.chip}": 1.0,
        f"serving precision={ask.precision}": 1.0,
        f"scenario={scenario}": 1.0,
    }


def fit(
    asks: Sequence[Serving],
    scenarios: Sequence[str],
    output_tokens_per_s: NDArray[np.float64],
    groups: Sequence[str],
) -> Fitted:
    """Return constants and factors from measured output tokens a second."""
    rows = [features(ask, scenario) for ask, scenario in zip(asks, scenarios, strict=True)]
    middle = np.log([value for value, _ in PRIOR.values()])
    wide = np.array([deviation for _, deviation in PRIOR.values()])
    measured = np.log(output_tokens_per_s)
    found, physics = factors.Effects(), middle
    for _ in range(2):
        known = np.array([found.of(row)[0] for row in rows])

        def problem(logs: NDArray[np.float64], known: NDArray[np.float64] = known) -> NDArray[np.float64]:
            left = measured - known - _rates(asks, constants(logs))
            return np.concatenate([(logs - middle) / wide, robust(left, 0.2) / 0.25])

        physics = solve(problem, physics, steps=8)
        found = factors.fit(rows, measured - _rates(asks, constants(physics)), groups)
    return Fitted(constants(physics), found)


def constants(logs: NDArray[np.float64]) -> dict[str, float]:
    """Return constants from their logarithms; a share stays a share."""
    found = {name: float(np.exp(value)) for name, value in zip(PRIOR, logs, strict=True)}
    return {name: min(value, 1.0) if name.endswith("_share") else value for name, value in found.items()}


def _rates(asks: Sequence[Serving], k: Mapping[str, float]) -> NDArray[np.float64]:
    return np.log([serve(ask, k)[0].output_tokens_per_s for ask in asks])
