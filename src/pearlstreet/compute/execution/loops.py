"""The loops of the execution package."""

from __future__ import annotations

from pearlstreet.compute.execution.attempt_loops import start_loop, stop_loop, watch_loop
from pearlstreet.compute.execution.collect_loop import collect_loop
from pearlstreet.compute.execution.metering_loop import meter_loop
from pearlstreet.compute.execution.settings import Execution
from pearlstreet.compute.execution.sweep import attempt_sweep_loop
from pearlstreet.store.loop import Loop


def execution_loops(execution: Execution) -> tuple[Loop, ...]:
    """Return all loops that drive attempts; the inventory is a loop of its own (`inventory_loop`)."""
    return (
        start_loop(execution),
        *(watch_loop(execution, name) for name in execution.engines),
        stop_loop(execution),
        collect_loop(execution),
        meter_loop(execution),
        attempt_sweep_loop(execution),
    )
