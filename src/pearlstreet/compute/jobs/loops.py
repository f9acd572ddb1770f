"""The loops of the jobs package."""

from __future__ import annotations

from pearlstreet.compute.jobs.attempt_loops import start_loop, stop_loop, watch_loop
from pearlstreet.compute.jobs.collecting import collect_loop
from pearlstreet.compute.jobs.deadlines import deadline_loop
from pearlstreet.compute.jobs.garbage_collector import inventory_loop, sweep_loop
from pearlstreet.compute.jobs.metering_loop import meter_loop
from pearlstreet.compute.jobs.planning import plan_loop
from pearlstreet.compute.jobs.preparing import prepare_loop
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.storage.log_limit import log_limit_loop
from pearlstreet.compute.jobs.storage.loop import storage_loop
from pearlstreet.compute.jobs.windows.loop import window_loop
from pearlstreet.store.loop import Loop


def job_loops(runtime: Runtime) -> tuple[Loop, ...]:
    """Return all loops that drive jobs."""
    return (
        inventory_loop(runtime),
        prepare_loop(runtime),
        plan_loop(runtime),
        start_loop(runtime),
        *(watch_loop(runtime, name) for name in runtime.engines),
        stop_loop(runtime),
        collect_loop(runtime),
        meter_loop(runtime),
        storage_loop(),
        log_limit_loop(runtime),
        deadline_loop(runtime),
        window_loop(runtime),
        sweep_loop(runtime),
    )
