"""Builds of environments (with uv), fetches of images (with skopeo) and sources (with git): owners of attempts that jobs wait for.

The planner places them like jobs, before all jobs and few at once (ADR 0018).
"""

from __future__ import annotations

import os
import platform
import shutil
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from pearlstreet.base.errors import Conflict, check
from pearlstreet.base.outcome import Done
from pearlstreet.base.text import Text, from_json, text
from pearlstreet.base.units import GIB
from pearlstreet.compute.engines.protocol import AttemptOrder, EndReason, Engine, Limits, Mount, TaskOrder
from pearlstreet.compute.execution.metering import AttemptUsage
from pearlstreet.compute.execution.owners import Kept
from pearlstreet.compute.jobs import images, lifecycle
from pearlstreet.compute.jobs.build_requests import (
    BUILD,
    BUILD_LIMIT_S,
    UNBILLED,
    builders,
    lane_of,
    request_build,
)
from pearlstreet.compute.jobs.preparing import BUILDING, FAILED, WANTED
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
from pearlstreet.compute.queueing.owners import Lane, QueuedOwner
from pearlstreet.compute.queueing.waiting import withdraw_request
from pearlstreet.store.core import Row, Tx
from pearlstreet.store.tables import state_events
from pearlstreet.store.transitions import record_transition
from pearlstreet.workload.environments.images import CONFIG, LOGIN, NAME, read_config
from pearlstreet.workload.environments.spec import LOCK, EnvironmentSpec, build_command
from pearlstreet.workload.spec.model import GitSource

LOST = "lost"
NOT_ITS_DOING = (EndReason.ENGINE_LOST.value, EndReason.STOPPED.value, None)
"""Ends that are not caused by the package: the engine lost the build, or the center stopped one that never began."""
LOG_TAIL = 4000
TEXT_BYTES_MAX = 4 << 20


@dataclass(frozen=True, slots=True)
class BuildOwner(QueuedOwner):
    """Builds what a preparation names, and releases or fails the jobs that wait for it."""

    runtime: Runtime
    kind = BUILD

    @property
    def lane(self) -> Lane:
        return lane_of(self.runtime)

    def on_placed(self, tx: Tx, request: Row, attempt_id: str) -> None:
        row = tx.first(sa.select(preparations).where(preparations.c.id == request["id"]))
        check(row is not None, "a build that is placed has a preparation", build=request["id"])
        assert row is not None
        _move(tx, row, BUILDING, attempt_id=attempt_id)

    def on_refused(self, tx: Tx, request: Row, why: Text) -> bool:
        row = tx.first(sa.select(preparations).where(preparations.c.id == request["id"]))
        withdraw_request(tx, request["id"])
        if row is not None:
            _end(tx, self.runtime.settings, row, FAILED, _failure(row, why))
        return True

    def order(self, tx: Tx, attempt: Row) -> Callable[[], AttemptOrder]:
        row = _preparation(tx, attempt)
        usage = AttemptUsage(**attempt["usage"])
        task = TaskOrder(
            rank=0,
            node=attempt["placement"]["tasks"][0]["node"],
            cpus=usage.cpu_milli / 1000,
            memory_gib=usage.memory_mib / 1024,
        )
        limit_bytes = self.runtime.settings.org_prepared_bytes_max
        use = prepared_use(tx, row["org_id"], limit_bytes)
        refused = refuse_build(use, limit_bytes)
        if refused is not None:
            raise Conflict(refused)
        disk_bytes = build_bytes_max(use, limit_bytes)
        login = images.login_for(tx, row) if row["kind"] == "image" else ""
        return partial(_order, self.runtime, row, task, disk_bytes, login)

    def why_unbilled(self, attempt: Row) -> Text | None:
        return UNBILLED if attempt["hold_id"] is None else None

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
        if row["attempt_id"] != attempt["id"] or row["state"] != BUILDING:
            return  # its end was noted with its result
        if (
            attempt["end_reason"] in NOT_ITS_DOING
            and _lost_before(tx, row["id"]) < lifecycle.ENGINE_FAILURES_MAX
        ):
            engines = attempt["planned"]["request"]["engines"] if attempt["planned"] else ()
            _move(tx, row, WANTED, message, event=LOST, attempt_id=None)
            known = sorted(set(engines) & builders(self.runtime.engines)) or builders(self.runtime.engines)
            request_build(tx, self.runtime, row, known)
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
    tail = log_tail(runtime.engines[attempt["engine"]], attempt["id"])
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


def log_tail(engine: Engine, attempt_id: str) -> str:
    """Return the end of the log of a build, at most `LOG_TAIL` bytes; empty if the engine does not know it any more."""
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
    tx: Tx, row: Row, state: str, message: Text | None = None, *, event: str = BUILD, **values: object
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
