"""The simulated engine has any hardware and runs no code; it serves for demos, what-if questions and tests."""

from __future__ import annotations

from pearlstreet.compute.engines.simulated.attempt_timeline import EXIT_CODE_VARIABLE, Habits
from pearlstreet.compute.engines.simulated.engine import SimulatedEngine
from pearlstreet.compute.engines.simulated.faults import FAULTS, Fault, FaultPlan, FaultRule, parse_faults
from pearlstreet.compute.engines.simulated.layout import nodes_from

__all__ = [
    "EXIT_CODE_VARIABLE",
    "FAULTS",
    "Fault",
    "FaultPlan",
    "FaultRule",
    "Habits",
    "SimulatedEngine",
    "nodes_from",
    "parse_faults",
]
