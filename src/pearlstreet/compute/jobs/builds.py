"""Builds of environments (with uv), fetches of images (with skopeo) and sources (with git): owners of attempts that jobs wait for.

A build never waits for free CPU and memory, because the jobs that wait for it could then wait for ever; few run at once.
What it takes of its node counts like any attempt, so the planner places nothing else there.
"""

from __future__ import annotations

import os
import platform
import shutil
import stat
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import PaymentRequired
from pearlstreet.base.money import Money
from pearlstreet.base.outcome import Done
from pearlstreet.base.text import Text, from_json, text
from pearlstreet.base.units import GIB
from pearlstreet.compute.engines.protocol import AttemptOrder, EndReason, Engine, Limits, Mount, TaskOrder
from pearlstreet.compute.execution.lifecycle import place_attempt
from pearlstreet.compute.execution.metering import AttemptUsage, hold_amount, rate_of
from pearlstreet.compute.execution.model import LIVE_ATTEMPT
from pearlstreet.compute.execution.new_attempt import NewAttempt
from pearlstreet.compute.execution.owners import Kept, Owner
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs import images, lifecycle
from pearlstreet.compute.jobs.preparing import BUILDING, FAILED, PREPARE, WANTED
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
from pearlstreet.compute.pool.inventory import Node, all_nodes
from pearlstreet.ledger.holds import place_hold
from pearlstreet.ledger.prices import current_prices
from pearlstreet.store.core import Row, Tx
from pearlstreet.store.loop import Loop, RowLoop
from pearlstreet.store.tables import state_events
from pearlstreet.store.transitions import record_transition
from pearlstreet.tenancy.tables import projects
from pearlstreet.workload.environments.images import CONFIG, LOGIN, NAME, read_config
from pearlstreet.workload.environments.spec import LOCK, EnvironmentSpec, build_command
from pearlstreet.workload.spec.model import GitSource

BUILD = "build"
"""Kind of a build as an owner of attempts; its id is that of the preparation."""
LOST = "lost"
BUILD_LIMIT_S = 1800.0
NOT_ITS_DOING = (EndReason.ENGINE_LOST.value, EndReason.STOPPED.value, None)
"""Ends that are not caused by the package: the engine lost the build, or the center stopped one that never began."""
TURN_S = 1.0
"""Seconds between two checks of a preparation that waits for a build slot."""
LOG_TAIL = 4000
TEXT_BYTES_MAX = 4 << 20
BUILD_CPUS, BUILD_MEMORY_GIB = 1.0, 4.0
"""CPU cores and memory of a build, at most those of the node."""
UNBILLED = text("This center does not bill the building of environments")


def prepare_loop(runtime: Runtime) -> Loop:
    """Return the loop that places builds of requested preparations while slots are free."""
    return RowLoop[Row, Row, "bool | Text"](
        name="prepare",
        table=preparations,
        conditions=(preparations.c.state == WANTED,),
        account=preparations.c.org_id,
        load=partial(_load, runtime),
        decide=lambda row, now_us: row,
        act=partial(_may_place, runtime),
        apply=partial(_apply, runtime),
        hints=(PREPARE,),
        interval_s=0.5,
    )


def _load(runtime: Runtime, tx: Tx, ids: Sequence[str]) -> Mapping[str, Row]:
    """Load the rows and mark those that may start; the number of concurrent builds is limited."""
    building = tx.rows(sa.select(preparations.c.org_id).where(preparations.c.state == BUILDING))
    held = Counter(row["org_id"] for row in building)
    rows = tx.rows(sa.select(preparations).where(preparations.c.id.in_(ids)))
    free, chosen = runtime.settings.preparations_at_once - held.total(), set[str]()
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
            "may_start": True,
            "is_alone": held[row["org_id"]] == 1,
            "use": prepared_use(tx, row["org_id"], runtime.settings.org_prepared_bytes_max),
        }
        if row["id"] in chosen
        else {**row, "may_start": False}
        for row in rows
    }


def _node(tx: Tx, runtime: Runtime) -> Node | None:
    """Return the node on which a build is placed, the one with most memory; None if no node may take it now."""
    fit = [
        node
        for node in all_nodes(tx)
        if node.schedulable
        and node.engine in runtime.engines
        and runtime.engines[node.engine].capabilities().runs_code
    ]
    return max(fit, key=lambda node: node.report.memory_gib, default=None)


def _may_place(runtime: Runtime, row: Row) -> bool | Text:
    """Return whether a build may be placed now, or why it fails."""
    if not any(engine.capabilities().runs_code for engine in runtime.engines.values()):
        return text("No engine of this center runs code")
    if not row["may_start"]:
        return False
    settings = runtime.settings
    refused = refuse_build(row["use"], settings.org_prepared_bytes_max)
    if refused is not None:
        return refused
    return fit_cache(_cache_of(runtime, row), settings.org_cache_bytes_max, is_alone=row["is_alone"])


def _apply(
    runtime: Runtime, tx: Tx, row_id: str, token: str, context: Row, decision: Row, allowed: bool | Text
) -> int | None:
    row = tx.first(sa.select(preparations).where(preparations.c.id == row_id))
    if row is None or row["state"] != WANTED:
        return None
    if isinstance(allowed, Text):
        _end(tx, runtime.settings, row, FAILED, allowed)
        return None
    node = _node(tx, runtime) if allowed else None
    if node is None:
        return tx.now_us + int(TURN_S * US_PER_S)
    try:
        place_attempt(tx, _attempt(tx, runtime.settings, row, node))
    except PaymentRequired as error:
        _end(tx, runtime.settings, row, FAILED, _failure(row, error.message))
        return None
    _move(tx, row, BUILDING)
    return None


def _attempt(tx: Tx, settings: JobsSettings, row: Row, node: Node) -> NewAttempt:
    """Return a build's attempt. Raises PaymentRequired if builds are billed and the balance does not cover it.

    It is metered for the CPU and memory that it gets. Of its node it holds what is free of that, so that no node is allocated
    beyond its size.
    """
    cpu_milli, memory_mib = _free(tx, node)
    usage = AttemptUsage(
        model="",
        card_bp=0,
        cpu_milli=int(min(BUILD_CPUS, node.report.cpus) * 1000),
        memory_mib=int(min(BUILD_MEMORY_GIB, node.report.memory_gib) * 1024),
        pflops_per_card=None,
        pflops_basis="unknown",
    )
    version, rate, hold_id = current_prices(tx).id, Money(0), None
    if settings.builds_billed:
        rate = rate_of(tx, version, usage)
        amount = hold_amount(rate, BUILD_LIMIT_S, BUILD_LIMIT_S)
        hold_id = place_hold(tx, row["org_id"], amount, row["attempt_id"])
    task = {
        "rank": 0,
        "node": node.report.name,
        "cpu_milli": min(cpu_milli, usage.cpu_milli),
        "memory_mib": min(memory_mib, usage.memory_mib),
        "devices": [],
    }
    made = sa.select(sa.func.count()).where(attempts.c.owner_id == row["id"])
    return NewAttempt(
        id=row["attempt_id"],
        owner_kind=BUILD,
        owner_id=row["id"],
        org_id=row["org_id"],
        project_id=row["project_id"] or _default_project(tx, row["org_id"]),
        number=int(tx.scalar(made) or 0) + 1,
        engine=node.engine,
        placement={"tasks": [task], "model": ""},
        usage=usage,
        price_version_id=version,
        rate=rate,
        hold_id=hold_id,
        time_limit_s=BUILD_LIMIT_S,
        covered_s=BUILD_LIMIT_S,
        grace_s=Limits().grace_s,
    )


def _free(tx: Tx, node: Node) -> tuple[int, int]:
    """Return the CPU in 1/1,000 cores and the memory in MiB of a node that no live attempt holds; at least 0."""
    cpu_milli, memory_mib = int(node.report.cpus * 1000), int(node.report.memory_gib * 1024)
    for row in tx.rows(sa.select(attempts.c.placement).where(attempts.c.state.in_(LIVE_ATTEMPT))):
        for task in row["placement"]["tasks"]:
            if task["node"] == node.report.name:
                cpu_milli -= task["cpu_milli"]
                memory_mib -= task["memory_mib"]
    return max(cpu_milli, 0), max(memory_mib, 0)


def _default_project(tx: Tx, org_id: str) -> str:
    """Return the oldest project of an organisation, for a preparation that an older version requested."""
    query = sa.select(projects.c.id).where(projects.c.org_id == org_id).order_by(projects.c.id).limit(1)
    return str(tx.scalar(query))


@dataclass(frozen=True, slots=True)
class BuildOwner(Owner):
    """Builds what a preparation names, and releases or fails the jobs that wait for it."""

    runtime: Runtime
    kind = BUILD

    def order(self, tx: Tx, attempt: Row) -> Callable[[], AttemptOrder]:
        row = _preparation(tx, attempt)
        usage = AttemptUsage(**attempt["usage"])
        task = TaskOrder(
            rank=0,
            node=attempt["placement"]["tasks"][0]["node"],
            cpus=usage.cpu_milli / 1000,
            memory_gib=usage.memory_mib / 1024,
        )
        use = prepared_use(tx, row["org_id"], self.runtime.settings.org_prepared_bytes_max)
        disk_bytes = build_bytes_max(use, self.runtime.settings.org_prepared_bytes_max)
        login = images.login_for(tx, row) if row["kind"] == "image" else ""
        return partial(_order, self.runtime, row, task, disk_bytes, login)

    def why_unbilled(self, attempt: Row) -> Text | None:
        return None if self.runtime.settings.builds_billed else UNBILLED

    def load_outputs(self, tx: Tx, attempt: Row) -> Row:
        row = _preparation(tx, attempt)
        mine = (preparations.c.org_id == row["org_id"]) & (preparations.c.state == BUILDING)
        count = tx.scalar(sa.select(sa.func.count()).select_from(preparations).where(mine))
        return {**row, "is_alone": count == 1}

    def keep_outputs(self, attempt: Row, loaded: Row) -> _Built:
        return _look_at_result(self.runtime, attempt, loaded)

    def note_outputs(self, tx: Tx, attempt: Row, loaded: Row, stored: _Built) -> Kept:
        row = _preparation(tx, attempt)
        if row["attempt_id"] == attempt["id"] and row["state"] == BUILDING and stored.state != WANTED:
            _end(
                tx, self.runtime.settings, row, stored.state, stored.message, stored.result, stored.size_bytes
            )
        return Kept()

    def on_ended(self, tx: Tx, attempt: Row, message: Text | None, *, outputs_refused: bool) -> None:
        row = _preparation(tx, attempt)
        tx.hint(PREPARE)
        if row["attempt_id"] != attempt["id"] or row["state"] != BUILDING:
            return  # its end was noted with its result
        if (
            attempt["end_reason"] in NOT_ITS_DOING
            and _lost_before(tx, row["id"]) < lifecycle.ENGINE_FAILURES_MAX
        ):
            _move(tx, row, WANTED, message, event=LOST, attempt_id=tx.new_id("att"), due_us=tx.now_us)
        else:
            _end(tx, self.runtime.settings, row, FAILED, message)


def _preparation(tx: Tx, attempt: Row) -> Row:
    row = tx.first(sa.select(preparations).where(preparations.c.id == attempt["owner_id"]))
    return row or {
        "id": attempt["owner_id"],
        "org_id": attempt["org_id"],
        "state": FAILED,
        "attempt_id": None,
    }


def _order(runtime: Runtime, row: Row, task: TaskOrder, disk_bytes: int, login: str) -> AttemptOrder:
    """Return the order of a build.

    Raises a PearlError if the source's address is not allowed, and Unavailable while its host name cannot be resolved.
    """
    target, cache = prepared_folder(runtime, row), _cache_of(runtime, row)
    for folder in (target, cache):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    mounts = [Mount(str(target), str(target), writable=True)]
    variables: dict[str, str] = {}
    if row["kind"] == "environment":
        import uv

        uv_path = Path(uv.find_uv_bin())
        command: Sequence[str] = build_command(EnvironmentSpec.from_json(row["spec"]), target, cache, uv_path)
        mounts += [
            Mount(str(cache), str(cache), writable=True),
            Mount(str(uv_path.parent), str(uv_path.parent)),
        ]
        variables = dict(runtime.settings.uv_variables)
    elif row["kind"] == "image":
        command = images.command_for(row, target, runtime.settings.image_registries)
        variables = {
            name: value for name, value in runtime.settings.uv_variables.items() if not name.startswith("UV_")
        } | ({LOGIN: login} if login else {})
    else:
        private = runtime.settings.git_private_allowed
        command = fetch_command(GitSource(**row["spec"]), target, private=private)
    return AttemptOrder(
        attempt_id=row["attempt_id"],
        job_id=row["id"],
        tenant_id=row["org_id"],
        command=tuple(command),
        tasks=(task,),
        variables=variables,
        secret_names=frozenset({LOGIN} & variables.keys()),
        mounts=tuple(mounts),
        network="internet",
        limits=Limits(time_s=BUILD_LIMIT_S, disk_gib=disk_bytes / GIB),
        purpose=row["kind"],
        minimum_isolation=runtime.settings.minimum_isolation,
    )


def _cache_of(runtime: Runtime, row: Row) -> Path:
    """Return the folder of uv's cache of an organisation."""
    return runtime.folders.caches / str(row["org_id"])


@dataclass(frozen=True, slots=True)
class _Built:
    """Result of a build: READY, FAILED, or WANTED if it was not its doing that it ended."""

    state: str
    message: Text | None = None
    result: str | None = None
    """Text that is kept: the lock file of an environment, what is known of an image."""
    size_bytes: int | None = None
    """Size of the prepared folder in bytes."""


def _look_at_result(runtime: Runtime, attempt: Row, row: Row) -> _Built:
    if row["attempt_id"] != attempt["id"]:
        return _Built(WANTED)
    fit_cache(_cache_of(runtime, row), runtime.settings.org_cache_bytes_max, is_alone=row["is_alone"])
    folder = prepared_folder(runtime, row)
    if attempt["end_reason"] == EndReason.EXITED.value and attempt["exit_code"] == 0:
        built = _keep(row, folder)
        if built.state == FAILED:
            shutil.rmtree(folder, ignore_errors=True)
        return built
    shutil.rmtree(folder, ignore_errors=True)
    if attempt["end_reason"] in NOT_ITS_DOING:
        return _Built(WANTED)
    tail = _log_tail(runtime.engines[attempt["engine"]], attempt["id"])
    message = from_json(attempt["message"]) if attempt["message"] else ""
    return _Built(FAILED, _failure(row, tail or str(message)))


def _keep(row: Row, folder: Path) -> _Built:
    """Return what is kept of a build that has succeeded; an image may turn out to be for other machines."""
    if row["kind"] != "image":
        return _Built(READY, result=_read_text(folder / LOCK), size_bytes=folder_bytes(folder))
    name = (_read_text(folder / NAME) or "").strip()
    found = read_config(_read_text(folder / CONFIG) or "", name, platform.machine())
    if isinstance(found, Text):
        return _Built(FAILED, _failure(row, found))
    return _Built(READY, result=found.to_json(), size_bytes=folder_bytes(folder))


_FAILURES: Mapping[str, Text] = {
    "environment": text("The environment could not be built"),
    "image": text("The image could not be fetched"),
    "source": text("The source could not be fetched"),
}


def _failure(row: Row, reason: Text | str) -> Text:
    return text("{what}: {log}", what=_FAILURES[row["kind"]], log=reason)


def _read_text(path: Path) -> str | None:
    """Return the text of a file that a build left; None if it is no regular file.

    The build ran the tenant's code, which may have put anything under that name.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        return file.read(TEXT_BYTES_MAX).decode("utf-8", "replace").replace("\0", "")


def _log_tail(engine: Engine, attempt_id: str) -> str:
    offset, tail = 0, b""
    while True:
        answer = engine.read_log(attempt_id, 0, offset=offset, limit=1 << 20)
        if not isinstance(answer, Done) or not answer.value.data:
            return tail.decode("utf-8", "replace").replace("\0", "").strip()
        tail = (tail + answer.value.data)[-LOG_TAIL:]
        offset = answer.value.next_offset


def _lost_before(tx: Tx, row_id: str) -> int:
    """Return how many attempts to build were lost already."""
    lost = (state_events.c.entity_id == row_id) & (state_events.c.event == LOST)
    return int(tx.scalar(sa.select(sa.func.count()).where(lost)) or 0)


def _move(
    tx: Tx, row: Row, state: str, message: Text | None = None, *, event: str = PREPARE, **values: object
) -> None:
    told = message.to_json() if message else None
    values |= {"state": state, "message": told, "at_us": tx.now_us}
    tx.execute(sa.update(preparations).where(preparations.c.id == row["id"]).values(**values))
    record_transition(tx, row["id"], row["state"], state, event, message)


def _end(
    tx: Tx,
    settings: JobsSettings,
    row: Row,
    state: str,
    message: Text | None,
    result: str | None = None,
    size_bytes: int | None = None,
) -> None:
    """Record that a preparation is READY or FAILED, and release or fail the jobs that wait for it."""
    _move(tx, row, state, message, result=result, size_bytes=size_bytes, due_us=None)
    lifecycle.release_prepared(tx, row["id"], ready=state == READY, reason=message)
    evict_prepared(tx, row["org_id"], settings.org_prepared_bytes_max, row["id"])
