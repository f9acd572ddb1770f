"""Scenario of a world, drawn from its seed: size, settings, kinds and rates of faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pearlstreet.compute.jobs.runtime import JobsSettings
from pearlstreet.compute.queueing.policy.model import Policy
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.sim.chance import Chance
from pearlstreet.sim.faults.kind import Kind
from pearlstreet.sim.faults.points import InjectionPoint
from pearlstreet.sim.faults.registry import KINDS

CLUSTERS = ("1x4xH100-80G", "2x4xH100-80G", "2x2xH100-80G,1x4xAscend910B", "3x2xA100-80G")
SHARE_OF_KINDS = 0.7
"""Share of worlds in which each kind of fault occurs; with fewer kinds at once, each leads further."""


@dataclass(frozen=True)
class Scenario:
    """Scenario of one world."""

    seed: int
    cluster: str
    runs_code: bool
    """Whether the engine reports that it runs code; environments are then prepared and outputs collected."""
    tenants: int
    waiting_max: int
    """Maximum number of open jobs per tenant."""
    steps: int
    settings: JobsSettings
    kinds: tuple[Kind, ...]
    rates: Mapping[InjectionPoint, float]
    race: float
    """Probability that another event happens in the middle of a step."""
    forgives: bool
    """Whether quotas are deleted and credit is raised after the faults stop."""


def draw_scenario(seed: int) -> Scenario:
    """Draw the scenario of a seed."""
    chance = Chance(seed, "scenario")
    intensity = chance.pick((0.5, 1.0, 1.0, 1.8))
    scenario = Scenario(
        seed=seed,
        cluster=chance.pick(CLUSTERS),
        runs_code=chance.happens(0.6),
        tenants=chance.whole(2, 3),
        waiting_max=chance.whole(4, 9),
        steps=chance.whole(60, 140),
        settings=_settings(chance),
        kinds=tuple(chance.some(KINDS, SHARE_OF_KINDS)),
        rates={
            InjectionPoint.ENGINE: 0.12 * intensity,
            InjectionPoint.BEFORE_WRITE: 0.04 * intensity,
            InjectionPoint.BEFORE_COMMIT: 0.03 * intensity,
            InjectionPoint.AFTER_COMMIT: 0.03 * intensity,
            InjectionPoint.BEFORE_READ: 0.01 * intensity,
            InjectionPoint.HINT: 0.15 * intensity,
            InjectionPoint.CLIENT: 0.3 * intensity,
            InjectionPoint.WORLD: 0.6 * min(1.0, intensity),
        },
        race=chance.pick((0.0, 0.02, 0.06)),
        forgives=chance.happens(0.5),
    )
    return replace(scenario, settings=_elastic(scenario))


def _elastic(scenario: Scenario) -> JobsSettings:
    """Draw elasticity settings and the start time limit from a stream of their own, which changes no other draw."""
    chance, settings = Chance(scenario.seed, "elastic"), scenario.settings
    planner = replace(
        settings.policy.planner,
        elasticity=chance.pick(("none", "shrink", "grow", "grow-shrink", "grow-shrink")),
        grow_after_s=chance.pick((5.0, 20.0)),
        restart_s=0.5,
        restart_gang_s=0.5,
    )
    policy = replace(settings.policy, planner=planner)
    # With the default of an hour, an attempt that never starts would hold its devices for 15 of the 20 idle cycles.
    return replace(settings, policy=policy, starting_max_s=chance.pick((60.0, 400.0)))


def _settings(chance: Chance) -> JobsSettings:
    return JobsSettings(
        policy=Policy(PlannerConfig(min_run_s=chance.pick((0.0, 5.0)))),
        hold_window_s=chance.pick((60.0, 300.0, 86_400.0)),
        stop_notice_s=chance.pick((5.0, 20.0)),
        start_timeout_s=chance.pick((10.0, 30.0)),
        meter_interval_s=chance.pick((5.0, 15.0)),
        watch_interval_s=chance.pick((0.5, 2.0)),
        plan_interval_s=chance.pick((2.0, 5.0)),
        kept_s=chance.pick((60.0, 600.0, 86_400.0)),
    )
