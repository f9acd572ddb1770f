"""Prepares jobs before they are placed: builds their environment with uv and fetches their source with git.

Both run as attempts of an engine in the tenant's sandbox, never in this process. An environment is identified by its digest
and shared within the organisation; a source is fetched for each job unless it names a full commit.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import PearlError, Unavailable
from pearlstreet.base.outcome import Done, Refused, Unknown
from pearlstreet.base.text import Text, text
from pearlstreet.base.units import GIB
from pearlstreet.compute.engines.orders import TOO_WEAK
from pearlstreet.compute.engines.protocol import (
    AttemptOrder,
    AttemptReport,
    EndReason,
    Engine,
    Limits,
    Mount,
    NodeReport,
    TaskOrder,
    TaskState,
)
from pearlstreet.compute.jobs import lifecycle
from pearlstreet.compute.jobs.isolation import read_nodes
from pearlstreet.compute.jobs.runtime import JobsSettings, Runtime
from pearlstreet.compute.jobs.sources import fetch_command
from pearlstreet.compute.jobs.storage.prepared_limit import (
    READY,
    build_bytes_max,
    evict_prepared,
    fit_cache,
    folder_bytes,
    prepared_folder,
    prepared_use,
    refuse_build,
)
from pearlstreet.compute.jobs.tables import preparations
from pearlstreet.store.core import Row, Tx
from pearlstreet.store.loop import Loop, RowLoop
from pearlstreet.store.tables import state_events
from pearlstreet.store.transitions import record_transition
from pearlstreet.workload.environments.spec import EnvironmentSpec, build_command, environment_of
from pearlstreet.workload.spec.model import GitSource, JobSpec

PREPARE = "prepare"
WANTED, BUILDING, FAILED = "wanted", "building", "failed"
LOST = "lost"
BUILD_LIMIT_S = 1800.0
NOT_ITS_DOING = (EndReason.ENGINE_LOST, EndReason.STOPPED)
"""Ends that are not caused by the package: the engine lost the build, or the center stopped one that never began."""
PROBE_S = 0.3
TURN_S = 1.0
"""Seconds between two checks of a preparation that waits for a build slot."""
LOG_TAIL = 4000
LOCK_BYTES_MAX = 4 << 20
BUILD_CPUS, BUILD_MEMORY_GIB = 1.0, 4.0
"""CPU cores and memory of a build, at most those of the node.

The planner does not count them, because few builds run at once; where memory is short, the host's reserve should be larger by
this much.
"""
USED_US = 86_400 * US_PER_S
"""Interval at which the use of a preparation is recorded: once a day."""
_COMMIT = re.compile(r"^[0-9a-f]{40}$")


@dataclass(frozen=True, slots=True)
class NeededPreparations:
    """Preparation ids of a job by kind, and those of them that are not ready yet."""

    ids: Mapping[str, str]
    open_ids: Sequence[str]


def want_preparations(tx: Tx, runtime: Runtime, org_id: str, spec: JobSpec) -> NeededPreparations:
    """Request the preparations that a job needs, and share those that exist already."""
    ids: dict[str, str] = {}
    open_ids: list[str] = []
    if not any(engine.capabilities().runs_code for engine in runtime.engines.values()):
        return NeededPreparations(ids, open_ids)
    environment = environment_of(spec.environment)
    if environment is not None:
        ids["environment"] = _want(
            tx, runtime, org_id, "environment", environment.digest(), environment.to_json(), open_ids
        )
    if spec.git is not None:
        wanted = {"url": spec.git.url, "ref": spec.git.ref, "path": spec.git.path}
        fixed = "" if _COMMIT.match(spec.git.ref) else tx.new_id("src")
        digest = sha256(f"{spec.git.url}\n{spec.git.ref}\n{spec.git.path}\n{fixed}".encode()).hexdigest()
        ids["source"] = _want(tx, runtime, org_id, "source", digest, wanted, open_ids)
    return NeededPreparations(ids, open_ids)


def _want(
    tx: Tx, runtime: Runtime, org_id: str, kind: str, digest: str, spec: Row, open_ids: list[str]
) -> str:
    key = (
        (preparations.c.org_id == org_id) & (preparations.c.kind == kind) & (preparations.c.digest == digest)
    )
    row = tx.first(sa.select(preparations).where(key))
    fresh = {"state": WANTED, "attempt_id": tx.new_id("att"), "at_us": tx.now_us, "due_us": tx.now_us}
    if row is None:
        preparation_id = tx.new_id("prep")
        tx.execute(
            sa.insert(preparations).values(
                id=preparation_id, org_id=org_id, kind=kind, digest=digest, spec=dict(spec), **fresh
            )
        )
        record_transition(tx, preparation_id, None, WANTED, "want")
    else:
        preparation_id = row["id"]
        if row["state"] == READY and prepared_folder(runtime, row).is_dir():
            if row["at_us"] < tx.now_us - USED_US:
                used = sa.update(preparations).where(preparations.c.id == preparation_id)
                tx.execute(used.values(at_us=tx.now_us))
            return str(preparation_id)
        if row["state"] in (READY, FAILED):
            tx.execute(sa.update(preparations).where(preparations.c.id == preparation_id).values(**fresh))
            record_transition(tx, preparation_id, row["state"], WANTED, "again")
    open_ids.append(preparation_id)
    tx.hint(PREPARE)
    return str(preparation_id)


def ready_folders(tx: Tx, runtime: Runtime, ids: Mapping[str, str]) -> dict[str, Path]:
    """Return the folders of a job's ready preparations by kind."""
    rows = tx.rows(sa.select(preparations).where(preparations.c.id.in_(list(ids.values()))))
    return {row["kind"]: prepared_folder(runtime, row) for row in rows if row["state"] == READY}


def prepare_loop(runtime: Runtime) -> Loop:
    """Return the loop that builds environments and fetches sources."""
    late_us = runtime.settings.starting_max_s * US_PER_S
    return RowLoop[Row, Row, "_Step"](
        name="prepare",
        table=preparations,
        conditions=(preparations.c.state.in_((WANTED, BUILDING)),),
        # Running builds are checked in every round, because a slot is free only once the end of its build was observed.
        account=sa.case((preparations.c.state == BUILDING, preparations.c.id), else_=preparations.c.org_id),
        load=partial(_load, runtime.settings),
        decide=lambda row, now_us: {**row, "late": now_us - row["at_us"] > late_us},
        act=partial(_act, runtime),
        apply=partial(_apply, runtime.settings),
        hints=(PREPARE,),
        interval_s=0.5,
        workers=runtime.settings.preparations_at_once,
    )


def _load(settings: JobsSettings, tx: Tx, ids: Sequence[str]) -> Mapping[str, Row]:
    """Load the rows and mark those that may start; the number of concurrent builds is limited.

    Builds use nodes in addition to what is placed there.
    """
    building = tx.rows(sa.select(preparations.c.org_id).where(preparations.c.state == BUILDING))
    held = Counter(row["org_id"] for row in building)
    rows = tx.rows(sa.select(preparations).where(preparations.c.id.in_(ids)))
    free, chosen = settings.preparations_at_once - held.total(), set[str]()
    waiting = sorted((row for row in rows if row["state"] == WANTED), key=lambda row: row["at_us"])
    while free > len(chosen) and waiting:
        # the oldest build of the organisation with the fewest running builds
        following = min(waiting, key=lambda row: held[row["org_id"]])
        waiting.remove(following)
        held[following["org_id"]] += 1
        chosen.add(following["id"])
    return {
        row["id"]: {
            **row,
            "may_start": row["id"] in chosen,
            "is_alone": held[row["org_id"]] == 1,
            "use": prepared_use(tx, row["org_id"], settings.org_prepared_bytes_max)
            if row["id"] in chosen
            else None,
        }
        for row in rows
    }


@dataclass(frozen=True, slots=True)
class _Step:
    state: str
    message: Text | None = None
    result: str | None = None
    size_bytes: int | None = None
    """Size of the prepared folder in bytes."""
    lost: bool = False
    """Whether the engine lost the build, which is not the package's fault."""


def _act(runtime: Runtime, row: Row) -> _Step:
    engine = next((one for one in runtime.engines.values() if one.capabilities().runs_code), None)
    if engine is None:
        return _Step(FAILED, text("No engine of this center runs code"))
    if row["state"] == WANTED:
        if not row["may_start"]:
            return _Step(WANTED)
        return _start(runtime, engine, row)
    outcome = engine.probe(row["attempt_id"])
    if not isinstance(outcome, Done):
        return _Step(BUILDING)
    report = outcome.value
    if report is None:
        return _Step(WANTED)
    if report.state is not TaskState.EXITED:
        if row["late"] and report.state is TaskState.STARTING:
            engine.stop(row["attempt_id"], grace_s=0)  # a later round observes its end
        return _Step(BUILDING)
    return _finish(runtime, engine, row, report)


def _start(runtime: Runtime, engine: Engine, row: Row) -> _Step:
    settings = runtime.settings
    refused = refuse_build(row["use"], settings.org_prepared_bytes_max)
    if refused is not None:
        return _Step(FAILED, refused)
    nodes = read_nodes(engine, settings.minimum_isolation)
    healthy = [node for node in nodes.value if node.healthy] if isinstance(nodes, Done) else []
    cache = _cache_of(runtime, row)
    if not healthy or not fit_cache(cache, settings.org_cache_bytes_max, is_alone=row["is_alone"]):
        return _Step(WANTED)
    try:
        order = _order(runtime, row, max(healthy, key=lambda node: node.memory_gib))
    except Unavailable:
        raise
    except PearlError as error:
        return _Step(FAILED, error.message)
    outcome = engine.start(order)
    if isinstance(outcome, Refused) and outcome.code != TOO_WEAK:
        return _Step(FAILED, outcome.reason)
    return _Step(BUILDING if isinstance(outcome, Done | Unknown) else WANTED)


def _cache_of(runtime: Runtime, row: Row) -> Path:
    """Return the folder of uv's cache of an organisation."""
    return runtime.folders.caches / str(row["org_id"])


def _order(runtime: Runtime, row: Row, node: NodeReport) -> AttemptOrder:
    target = prepared_folder(runtime, row)
    cache = _cache_of(runtime, row)
    for folder in (target, cache):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    mounts = [Mount(str(target), str(target), writable=True)]
    if row["kind"] == "environment":
        import uv

        uv_path = Path(uv.find_uv_bin())
        command: Sequence[str] = build_command(EnvironmentSpec.from_json(row["spec"]), target, cache, uv_path)
        mounts += [
            Mount(str(cache), str(cache), writable=True),
            Mount(str(uv_path.parent), str(uv_path.parent)),
        ]
        variables = dict(runtime.settings.uv_variables)
    else:
        command = fetch_command(
            GitSource(**row["spec"]), target, private=runtime.settings.git_private_allowed
        )
        variables = {}
    return AttemptOrder(
        attempt_id=row["attempt_id"],
        job_id=row["id"],
        tenant_id=row["org_id"],
        command=tuple(command),
        tasks=(
            TaskOrder(
                rank=0,
                node=node.name,
                cpus=min(BUILD_CPUS, node.cpus),
                memory_gib=min(BUILD_MEMORY_GIB, node.memory_gib),
            ),
        ),
        variables=variables,
        mounts=tuple(mounts),
        network="internet",
        limits=Limits(
            time_s=BUILD_LIMIT_S,
            disk_gib=build_bytes_max(row["use"], runtime.settings.org_prepared_bytes_max) / GIB,
        ),
        purpose="environment" if row["kind"] == "environment" else "source",
        minimum_isolation=runtime.settings.minimum_isolation,
    )


def _finish(runtime: Runtime, engine: Engine, row: Row, report: AttemptReport) -> _Step:
    fit_cache(_cache_of(runtime, row), runtime.settings.org_cache_bytes_max, is_alone=row["is_alone"])
    if report.exit_code == 0:
        folder = prepared_folder(runtime, row)
        lock = _read_lock(folder / "requirements.lock")
        return _Step(READY, result=lock, size_bytes=folder_bytes(folder))
    if report.end_reason in NOT_ITS_DOING:
        shutil.rmtree(prepared_folder(runtime, row), ignore_errors=True)
        return _Step(WANTED, report.message, lost=True)
    tail = _log_tail(engine, row["attempt_id"])
    shutil.rmtree(prepared_folder(runtime, row), ignore_errors=True)
    what = (
        text("The environment could not be built")
        if row["kind"] == "environment"
        else text("The source could not be fetched")
    )
    return _Step(FAILED, text("{what}: {log}", what=what, log=tail or str(report.message or "")))


def _read_lock(path: Path) -> str | None:
    """Return the text of the lock file that a build left; None if it is no regular file.

    The build ran the tenant's code, which may have put anything under that name.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        return file.read(LOCK_BYTES_MAX).decode("utf-8", "replace").replace("\0", "")


def _log_tail(engine: Engine, attempt_id: str) -> str:
    offset, tail = 0, b""
    while True:
        answer = engine.read_log(attempt_id, 0, offset=offset, limit=1 << 20)
        if not isinstance(answer, Done) or not answer.value.data:
            return tail.decode("utf-8", "replace").replace("\0", "").strip()
        tail = (tail + answer.value.data)[-LOG_TAIL:]
        offset = answer.value.next_offset


def _once_more(tx: Tx, row_id: str, step: _Step) -> _Step:
    """Request a new attempt to build, unless the engine lost too many attempts already."""
    lost = (state_events.c.entity_id == row_id) & (state_events.c.event == LOST)
    if (tx.scalar(sa.select(sa.func.count()).where(lost)) or 0) >= lifecycle.ENGINE_FAILURES_MAX:
        return _Step(FAILED, step.message)
    tx.execute(sa.update(preparations).where(preparations.c.id == row_id).values(attempt_id=tx.new_id("att")))
    return _Step(WANTED, step.message)


def _apply(
    settings: JobsSettings, tx: Tx, row_id: str, token: str, context: Row, decision: Row, step: _Step
) -> int | None:
    event = "prepare"
    if step.lost:
        step = _once_more(tx, row_id, step)
        event = LOST if step.state == WANTED else event
    if step.state != context["state"]:
        message = step.message.to_json() if step.message else None
        values = {"state": step.state, "message": message, "result": step.result, "at_us": tx.now_us}
        values["size_bytes"] = step.size_bytes
        tx.execute(sa.update(preparations).where(preparations.c.id == row_id).values(**values))
        record_transition(tx, row_id, context["state"], step.state, event, step.message)
    if step.state in (READY, FAILED):
        lifecycle.release_prepared(tx, row_id, ready=step.state == READY, reason=step.message)
        evict_prepared(tx, context["org_id"], settings.org_prepared_bytes_max, row_id)
        return None
    return tx.now_us + int((PROBE_S if step.state == BUILDING else TURN_S) * US_PER_S)
