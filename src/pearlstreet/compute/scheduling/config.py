"""How the planner is set: names of registered policies and bounds. A value, so that a decision log can hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class PlannerConfig:
    """One center's planner settings; every name is looked up in `registry`."""

    order: str = "fair-share"
    placement: str = "pack"
    backfill: str = "easy"
    """`easy`: the first blocked job gets a reservation; `greedy`: none; `strict`: nobody passes a blocked job."""
    preemption: bool = True
    depth: int = 1000
    """Different requests (equal ones count once) tried in one cycle; the rest keep a cheap reason."""
    preempt_depth: int = 8
    """Blocked jobs for which victims are looked for in one cycle."""
    preempt_limit: int = 500
    """No further claim is served by preemption in a cycle that already stops so many attempts."""
    min_run_s: float = 600.0
    """An attempt is not preempted before it ran this long."""
    grace_s: float = 60.0
    """How long a preempted attempt may take to give its resources back."""
    assumed_run_s: float = 86_400.0
    """Run time assumed for an attempt with neither limit nor prediction, for estimates only."""
    half_life_s: float = 7 * 86_400.0
    """Of fair-share usage: after it, use counts half."""

    def to_json(self) -> dict[str, Any]:
        """A form that `config_from_json` reads back."""
        return asdict(self)


def config_from_json(value: Mapping[str, Any]) -> PlannerConfig:
    """The configuration that `to_json` wrote; unknown keys are an error of type TypeError."""
    return PlannerConfig(**value)
