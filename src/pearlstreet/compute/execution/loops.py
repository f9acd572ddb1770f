"""The loops of the execution package."""

from __future__ import annotations

from pearlstreet.compute.execution.attempt_loops import start_loop, stop_loop
from pearlstreet.compute.execution.checkpoint_loop import checkpoint_loop
from pearlstreet.compute.execution.collect_loop import collect_loop
from pearlstreet.compute.execution.engine_view import EngineView
from pearlstreet.compute.execution.metering_loop import meter_loop
from pearlstreet.compute.execution.settings import Execution
from pearlstreet.compute.execution.sweep import attempt_sweep_loop
from pearlstreet.compute.execution.watch_loop import watch_loop
from pearlstreet.store.loop import Loop


def execution_loops(execution: Execution) -> tuple[Loop, ...]:
    """Return all loops that drive attempts; the inventory is a loop of its own (`inventory_loop`)."""
    views = {name: EngineView(engine) for name, engine in execution.engines.items()}
    return (
        start_loop(execution),
        *(watch_loop(execution, view) for view in views.values()),
        stop_loop(execution),
        collect_loop(execution),
        meter_loop(execution, views),
        attempt_sweep_loop(execution),
        checkpoint_loop(execution),
    )
