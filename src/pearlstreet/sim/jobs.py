"""Random job specifications of every shape, for the tenants of a world."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pearlstreet.sim.chance import Chance
from pearlstreet.sim.contracts import SimulatedWorld

SHAPES = (
    ("plain", 5.0),
    ("gang", 2.0),
    ("array", 2.0),
    ("share", 2.0),
    ("after", 1.5),
    ("cpu", 1.0),
    ("fails", 1.5),
    ("too_long", 1.0),
    ("prepared", 1.0),
)
PACKAGES = ("numpy==1.26.4", "rich==13.9.4")


def draw_job(chance: Chance, world: SimulatedWorld, earlier: Sequence[str]) -> dict[str, object]:
    """Draw a specification without name and command. `earlier`: ids of jobs on which it may depend."""
    shape = chance.weighted(SHAPES)
    length_s = chance.pick((0.5, 3.0, 10.0, 25.0, 60.0))
    spec: dict[str, Any] = {
        "simulate": f"{length_s}s",
        "time_limit": f"{int(length_s * 3) + 20}s",
        "priority": chance.pick((0, 0, 0, 10, 50)),
        "preemptible": chance.happens(0.4),
        "per_task": {"accelerator": "any", "count": chance.pick((1, 1, 1, 2, 4)), "cpus": 1, "memory_gib": 1},
        "limits": {"grace": chance.pick((1, 10))},
    }
    match shape:
        case "gang":
            spec["tasks"] = chance.whole(2, 3)
            spec["per_task"]["count"] = 1
            if world.scenario.settings.policy.planner.elasticity != "none":
                spec["elastic"] = {"min_tasks": 1, "max_tasks": 6}
        case "array":
            size = chance.whole(2, 4)
            spec["array"] = {"size": size, "max_running": chance.whole(1, size)}
            spec["per_task"]["count"] = 1
        case "share":
            fraction = chance.pick(
                ({"memory_gib": 10}, {"compute_percent": 30}, {"memory_gib": 20, "compute_percent": 50})
            )
            spec["per_task"] = {"accelerator": "any", "fraction": fraction, "cpus": 0.5, "memory_gib": 1}
        case "after" if earlier:
            spec["depends_on"] = [
                {"job": chance.pick(earlier), "condition": chance.pick(("ended", "succeeded"))}
            ]
        case "cpu":
            spec["per_task"] = {"cpus": chance.pick((1, 8)), "memory_gib": chance.pick((1, 64))}
        case "fails":
            spec["variables"] = {"SIMULATE_EXIT_CODE": "1"}
            spec["retries"] = {
                "max": chance.whole(0, 2),
                "on": chance.some(("failure", "engine_lost", "preemption"), 0.7),
            }
        case "too_long":
            spec["time_limit"] = f"{max(1, int(length_s / 2))}s"
        case "prepared" if world.scenario.runs_code:
            spec["environment"] = {"packages": [chance.pick(PACKAGES)]}
    return spec
