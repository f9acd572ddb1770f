"""The loops of the jobs package, and of execution with the owners that the package brings."""

from __future__ import annotations

from pearlstreet.compute.execution.inventory_loop import inventory_loop
from pearlstreet.compute.execution.loops import execution_loops
from pearlstreet.compute.execution.owners import Owner, by_kind
from pearlstreet.compute.execution.settings import Execution
from pearlstreet.compute.jobs.builds import BuildOwner
from pearlstreet.compute.jobs.burn_ins import BurnInOwner, burn_in_loop
from pearlstreet.compute.jobs.deadlines import deadline_loop
from pearlstreet.compute.jobs.garbage_collector import sweep_loop
from pearlstreet.compute.jobs.hub_files import publish_loop
from pearlstreet.compute.jobs.idle_loop import idle_loop
from pearlstreet.compute.jobs.owner import JobOwner
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.storage.log_limit import log_limit_loop
from pearlstreet.compute.queueing.planning import plan_loop
from pearlstreet.compute.queueing.windows.loop import window_loop
from pearlstreet.storage.loop import storage_loop
from pearlstreet.store.loop import Loop


def job_loops(runtime: Runtime, *others: Owner) -> tuple[Loop, ...]:
    """Return all loops that drive jobs and attempts. `others`: owners of attempts of other packages."""
    owners = by_kind(JobOwner(runtime), BuildOwner(runtime), BurnInOwner(runtime), *others)
    runtime.owners.update(owners)
    execution = Execution(runtime.engines, owners, runtime.settings, runtime.blobs, runtime.engine_states)
    return (
        inventory_loop(execution),
        burn_in_loop(runtime),
        plan_loop(runtime, owners),
        *execution_loops(execution),
        storage_loop(),
        log_limit_loop(runtime),
        deadline_loop(runtime),
        idle_loop(runtime, owners),
        window_loop(runtime, owners),
        sweep_loop(runtime),
        publish_loop(runtime),
    )
