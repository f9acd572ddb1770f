"""The calibration constants: read from constants.toml, which scripts/fit_estimate.py writes."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from pearlstreet.compute.estimate.effects import Effects
from pearlstreet.compute.estimate.gaussian_process import KINDS, LENGTHS, Knot, Place


@dataclass(frozen=True, slots=True)
class Constants:
    """Everything that was fitted."""

    physics: Mapping[str, float]
    """Of a training step."""
    training: Effects
    step_deviation: float
    """Standard deviation of the logarithm of a measured step over the estimate, where layout and recipe are known."""
    serving_physics: Mapping[str, float]
    serving: Effects
    memory: Mapping[str, Mapping[str, float]]
    """Recipe → its constants."""
    memory_deviation: float
    source: Mapping[str, str]


@cache
def constants() -> Constants:
    """The packaged constants, read once."""
    path = resources.files("pearlstreet.compute.estimate") / "constants.toml"
    return parse(path.read_text(encoding="utf-8"))


def parse(content: str) -> Constants:
    """Constants from the text of constants.toml."""
    found = tomllib.loads(content)
    return Constants(
        physics=found["physics"],
        training=_effects(found["training"]),
        step_deviation=found["step"]["deviation"],
        serving_physics=found["serving_physics"],
        serving=_effects(found["serving"]),
        memory=found["memory"]["recipes"],
        memory_deviation=found["memory"]["deviation"],
        source=found["source"],
    )


def dump(constants: Constants) -> str:
    """The text of constants.toml."""
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


def _effects(found: Mapping[str, Any]) -> Effects:
    factors = found["factors"]
    return Effects(
        mean={name: value[0] for name, value in factors.items()},
        deviation={name: value[1] for name, value in factors.items()},
        noise=found["noise"],
        band=found["band"],
        knots=tuple(_knot(row) for row in found.get("knots", ())),
    )


def _knot(row: list[Any]) -> Knot:
    weight, sweeps, *where = row
    last = len(LENGTHS)
    return Knot(Place(tuple(where[:last]), tuple(where[last:])), weight, sweeps)


def _dump_effects(name: str, effects: Effects) -> list[str]:
    head = ["", f"[{name}]", f"noise = {effects.noise:.4g}", f"band = {effects.band:.4g}"]
    if effects.knots:
        head += [f"# weight, sweeps, doublings of {', '.join(LENGTHS)}, then {', '.join(KINDS)}"]
        head += [
            "knots = [",
            *(f"  {_dump_knot(knot)}," for knot in sorted(effects.knots, key=_by_place)),
            "]",
        ]
    head += ["", f"# logarithm of the factor, and its standard deviation\n[{name}.factors]"]
    return head + [
        f'"{key}" = [{effects.mean[key]:.4f}, {effects.deviation[key]:.4f}]' for key in sorted(effects.mean)
    ]


def _by_place(knot: Knot) -> tuple[object, ...]:
    return (knot.place.kinds, knot.place.doublings)


def _dump_knot(knot: Knot) -> str:
    cells = [f"{knot.weight:.5f}", str(knot.sweeps), *(f"{value:.1f}" for value in knot.place.doublings)]
    return "[" + ", ".join([*cells, *(f'"{kind}"' for kind in knot.place.kinds)]) + "]"


def _numbers(found: Mapping[str, float]) -> list[str]:
    return [f"{name} = {value:.5g}" for name, value in found.items()]
