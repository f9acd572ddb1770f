"""The fitted constants of the estimator, read from constants.toml, which scripts/fit_estimate.py writes."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from pearlstreet.compute.estimate.effects import Effects
from pearlstreet.compute.estimate.gaussian_process import KINDS, LENGTHS, FeaturePoint, InducingPoint


@dataclass(frozen=True, slots=True)
class Constants:
    """All constants that scripts/fit_estimate.py fits."""

    physics: Mapping[str, float]
    """Physics constants of a training step, by name."""
    training: Effects
    """Factors of training runs."""
    step_deviation: float
    """Standard deviation of the logarithm of a measured step over the estimate, where layout and recipe are known."""
    serving_physics: Mapping[str, float]
    """Physics constants of serving, by name."""
    serving: Effects
    """Factors of serving measurements."""
    memory: Mapping[str, Mapping[str, float]]
    """Constants of the memory model, by recipe."""
    memory_deviation: float
    """Standard deviation of the logarithm of measured over estimated peak memory, matched to the 80 % quantile."""
    source: Mapping[str, str]
    """Provenance of the fit, by name."""


@cache
def constants() -> Constants:
    """Return the packaged constants; the file is read once."""
    path = resources.files("pearlstreet.compute.estimate") / "constants.toml"
    return parse(path.read_text(encoding="utf-8"))


def parse(content: str) -> Constants:
    """Return the constants in the text of constants.toml."""
    document = tomllib.loads(content)
    return Constants(
        physics=document["physics"],
        training=_effects(document["training"]),
        step_deviation=document["step"]["deviation"],
        serving_physics=document["serving_physics"],
        serving=_effects(document["serving"]),
        memory=document["memory"]["recipes"],
        memory_deviation=document["memory"]["deviation"],
        source=document["source"],
    )


def dump(constants: Constants) -> str:
    """Return the text of constants.toml for the constants."""
    lines = [
        "# Written by scripts/fit_estimate.py; meanings and sources: docs/concepts/estimates.md.",
        "[source]",
    ]
    lines += [f'{name} = "{value}"' for name, value in constants.source.items()]
    lines += ["", "[physics]", *_numbers(constants.physics)]
    lines += ["", "[step]", f"deviation = {constants.step_deviation:.4g}"]
    lines += _dump_effects("training", constants.training)
    lines += ["", "[serving_physics]", *_numbers(constants.serving_physics)]
    lines += _dump_effects("serving", constants.serving)
    lines += ["", "[memory]", f"deviation = {constants.memory_deviation:.4g}"]
    for name, recipe in constants.memory.items():
        lines += ["", f'[memory.recipes."{name}"]', *_numbers(recipe)]
    return "\n".join(lines) + "\n"


def _effects(table: Mapping[str, Any]) -> Effects:
    factors = table["factors"]
    return Effects(
        mean={name: value[0] for name, value in factors.items()},
        deviation={name: value[1] for name, value in factors.items()},
        noise=table["noise"],
        band=table["band"],
        inducing_points=tuple(_inducing_point(row) for row in table.get("inducing_points", ())),
    )


def _inducing_point(row: list[Any]) -> InducingPoint:
    weight, sweeps, *features = row
    last = len(LENGTHS)
    return InducingPoint(FeaturePoint(tuple(features[:last]), tuple(features[last:])), weight, sweeps)


def _dump_effects(name: str, effects: Effects) -> list[str]:
    head = ["", f"[{name}]", f"noise = {effects.noise:.4g}", f"band = {effects.band:.4g}"]
    if effects.inducing_points:
        head += [f"# weight, sweeps, doublings of {', '.join(LENGTHS)}, then {', '.join(KINDS)}"]
        head += [
            "inducing_points = [",
            *(
                f"  {_dump_inducing_point(inducing)},"
                for inducing in sorted(effects.inducing_points, key=_by_features)
            ),
            "]",
        ]
    head += ["", f"# logarithm of the factor, and its standard deviation\n[{name}.factors]"]
    return head + [
        f'"{key}" = [{effects.mean[key]:.4f}, {effects.deviation[key]:.4f}]' for key in sorted(effects.mean)
    ]


def _by_features(inducing: InducingPoint) -> tuple[object, ...]:
    return (inducing.point.kinds, inducing.point.doublings)


def _dump_inducing_point(inducing: InducingPoint) -> str:
    doublings = (f"{value:.1f}" for value in inducing.point.doublings)
    cells = [f"{inducing.weight:.5f}", str(inducing.sweeps), *doublings]
    return "[" + ", ".join([*cells, *(f'"{kind}"' for kind in inducing.point.kinds)]) + "]"


def _numbers(values: Mapping[str, float]) -> list[str]:
    return [f"{name} = {value:.5g}" for name, value in values.items()]
