"""Requests of builds: which engines may build, and the row of a build in the table of waiting requests."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import sqlalchemy as sa

from pearlstreet.base.text import text
from pearlstreet.compute.engines.protocol import Capabilities, Engine, Limits
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.pool.inventory import all_nodes
from pearlstreet.compute.queueing.model import ResourceRequest
from pearlstreet.compute.queueing.owners import Lane
from pearlstreet.compute.queueing.waiting import WaitingRequest, add_requests, withdraw_request
from pearlstreet.compute.scheduling.rows import BUILDS, match_models
from pearlstreet.ledger.prices import current_prices
from pearlstreet.store.core import Row, Tx
from pearlstreet.tenancy.tables import projects

BUILD = "build"
"""Kind of a build as an owner of attempts; its id is that of the preparation."""
BUILD_LIMIT_S = 1800.0
BUILD_CPUS, BUILD_MEMORY_GIB = 1.0, 4.0
"""CPU cores and memory of a build, at most those of the largest node that may build."""
PRIORITY = 1 << 20
"""Priority of builds, so that none stands behind the jobs of its project when a cycle loads waiting requests."""
UNBILLED = text("This center does not bill the building of environments")
NO_ENGINE = text("No engine of this center can build environments")


def lane_of(runtime: Runtime) -> Lane:
    """Return the lane in which builds wait: before all queues, few at once."""
    settings = runtime.settings
    return Lane(BUILDS, settings.builds_at_once, settings.org_builds_at_once)


def builders(engines: Mapping[str, Engine]) -> set[str]:
    """Return the names of the engines on which environments can be built."""
    return {name for name, engine in engines.items() if _can_build(engine.capabilities())}


def _can_build(can: Capabilities) -> bool:
    return can.runs_code and can.builds


def engines_with_folders(runtime: Runtime) -> set[str]:
    """Return the engines on which a job can use what was built for it.

    An engine that runs no code needs nothing. Others must see the folder of environments under its path.
    """
    folder = runtime.folders.prepared.absolute()
    return {
        name
        for name, engine in runtime.engines.items()
        if not (can := engine.capabilities()).runs_code
        or (can.folders and folder.is_relative_to(Path(can.folders)))
    }


def engines_near(tx: Tx, runtime: Runtime, ask: ResourceRequest | None) -> tuple[str, ...]:
    """Return the engines that build for a job: those with the accelerators that it may get; without such, all that build."""
    able = builders(runtime.engines)
    if ask is not None and ask.request().wants_device:
        near = {
            node.engine
            for node in all_nodes(tx)
            if match_models(ask.accelerators, (device.model for device in node.report.devices))
        }
        able = (able & near) or able
    return tuple(sorted(able))


def request_build(tx: Tx, runtime: Runtime, row: Row, engines: Collection[str]) -> None:
    """Let the build of a preparation be planned on one of these engines."""
    made = sa.select(sa.func.count()).where(attempts.c.owner_id == row["id"])
    withdraw_request(tx, row["id"])
    request = WaitingRequest(
        id=row["id"],
        owner_kind=BUILD,
        org_id=row["org_id"],
        project_id=row["project_id"] or _default_project(tx, row["org_id"]),
        request=_resources(tx, tuple(sorted(engines))),
        price_version_id=current_prices(tx).id,
        queue=BUILDS,
        submitted_us=tx.now_us,
        name=f"build {row['kind']}",
        priority=PRIORITY,
        attempts=int(tx.scalar(made) or 0),
        billed=runtime.settings.builds_billed,
    )
    add_requests(tx, [request])


def _resources(tx: Tx, engines: tuple[str, ...]) -> ResourceRequest:
    """Return what a build needs; no more than the largest node of these engines has."""
    reports = [node.report for node in all_nodes(tx) if node.engine in engines]
    largest = max(reports, key=lambda report: report.memory_gib, default=None)
    cpus = min(BUILD_CPUS, largest.cpus) if largest is not None else BUILD_CPUS
    memory_gib = min(BUILD_MEMORY_GIB, largest.memory_gib) if largest is not None else BUILD_MEMORY_GIB
    return ResourceRequest(
        tasks=1,
        accelerators=(),
        count=0,
        share_memory_mib=0,
        share_compute_bp=0,
        cpu_milli=int(cpus * 1000),
        memory_mib=int(memory_gib * 1024),
        time_limit_s=BUILD_LIMIT_S,
        preemptible=False,
        retries=0,
        grace_s=Limits().grace_s,
        engines=engines,
    )


def _default_project(tx: Tx, org_id: str) -> str:
    """Return the oldest project of an organisation, for a preparation that an older version requested."""
    query = sa.select(projects.c.id).where(projects.c.org_id == org_id).order_by(projects.c.id).limit(1)
    return str(tx.scalar(query))
