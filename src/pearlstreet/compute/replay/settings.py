"""Assumptions of a replay beyond the planner's configuration, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """Behaviour of stopped jobs, and the information that the planner gets."""

    restart_s: float = 40.0
    """Seconds that a restart after a preemption costs a job on one node."""
    restart_gang_s: float = 60.0
    """The same for a job that needs several nodes."""
    checkpoint_s: float = 0.0
    """Seconds between checkpoints, after which work is lost on a stop; 0: a job saves when it is told to stop; -1: never."""
    stop_s: float = 0.0
    """Seconds in which a job still holds its devices after it was told to stop."""
    tell_durations: bool = False
    """Tell the planner how long each job will run, as an oracle would."""
    learn: bool = True
    """Let the planner see what the predictor learns from jobs that ended; without, it knows limits only."""
    elastic_power: float = 0.9
    """Exponent of an elastic job's speed: with n times the requested tasks it runs n to this power as fast; 1: linear."""
    tick_s: float = 60.0
    """The planner is asked at least so often while jobs wait, where ages, bounds on waiting or queues may change its mind."""

    def to_json(self) -> dict[str, object]:
        """Return a JSON form that `settings_from_json` reads back."""
        return asdict(self)


def settings_from_json(value: Mapping[str, Any]) -> ReplaySettings:
    """Return the settings that `to_json` wrote."""
    return ReplaySettings(**value)
