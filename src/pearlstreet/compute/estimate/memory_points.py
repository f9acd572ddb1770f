"""Memory of one device where the recipe is named: parts of it, or the peak that a framework reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pearlstreet.compute.estimate.layouts import enumerate_layouts
from pearlstreet.compute.estimate.memory import GIB, activation_bytes, memory, state_bytes
from pearlstreet.compute.estimate.reading import Question

Recipes = Mapping[str, Mapping[str, float]]
RECIPES = ("FSDP2", "FSDP", "ZeRO-1", "ZeRO-2", "ZeRO-3")
PRIOR = {"state_bytes": (18.0, 8.0), "reserve_gib": (6.0, 12.0)}
"""(expected, standard deviation): 2 + 4 + 12 bytes a parameter; context, buffers and fragmentation."""
LOGIT_BYTES = 13.0
"""16-bit logits, their 32-bit copy, the softmax and its gradient."""
DEFAULT: Mapping[str, float] = {"state_bytes": 18.0, "reserve_gib": 4.0, "logit_bytes": LOGIT_BYTES}
BAND = 0.08
"""Spread of a peak about the estimate, as a logarithm's standard deviation; a part by formula spreads a third of it."""


def recipe_of(sharding: str) -> str:
    """Return the recipe that the words name; empty for none."""
    return next((name for name in RECIPES if sharding.startswith(name)), "")


def predicted_gib(question: Question, recipes: Recipes) -> float:
    """Return GiB of the asked part on the fullest device."""
    grid = enumerate_layouts(question.run).take(np.array([0]))
    asked = question.component.lower()
    if "activation" in asked:
        return float(activation_bytes(grid, working=False)[0]) / GIB
    if "optimizer" in asked or "parameters" in asked:
        return float(state_bytes(grid, embeddings=False)[0]) / GIB
    return float(memory(grid, recipes.get(recipe_of(question.sharding), DEFAULT)).total[0]) / GIB


def is_peak(question: Question) -> bool:
    """Return whether all of the memory is asked for, and not a part that a formula gives."""
    return not any(word in question.component.lower() for word in ("activation", "optimizer", "parameters"))


def fit(questions: Sequence[Question], gib: Sequence[float]) -> dict[str, dict[str, float]]:
    """Return bytes a parameter and the reserve of each recipe, by least squares of relative errors with a prior."""
    found: dict[str, dict[str, float]] = {}
    for name in RECIPES:
        rows = [
            (question, seen)
            for question, seen in zip(questions, gib, strict=True)
            if is_peak(question) and recipe_of(question.sharding) == name
        ]
        if not rows:
            continue
        design, wanted = [], []
        for question, seen in rows:
            bare = {"state_bytes": 0.0, "reserve_gib": 0.0, "logit_bytes": LOGIT_BYTES}
            fixed = predicted_gib(question, {name: bare})
            slope = predicted_gib(question, {name: bare | {"state_bytes": 1.0}}) - fixed
            design.append((slope / seen / 0.08, 1.0 / seen / 0.08))
            wanted.append((seen - fixed) / seen / 0.08)
        for at, (expected, deviation) in enumerate(PRIOR.values()):
            design.append(tuple(1.0 / deviation if column == at else 0.0 for column in range(2)))  # type: ignore[arg-type]
            wanted.append(expected / deviation)
        states, reserve = np.linalg.lstsq(np.array(design), np.array(wanted), rcond=None)[0]
        found[name] = {
            "state_bytes": float(states),
            "reserve_gib": float(reserve),
            "logit_bytes": LOGIT_BYTES,
        }
    return found
