"""The local engine: runs attempts on this machine, each under a supervisor that outlives the server."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pearlstreet.base.clock import US_PER_S, Clock
from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.outcome import Done, Outcome, Refused, Retry, Unknown
from pearlstreet.base.text import Text, text
from pearlstreet.base.units import GIB
from pearlstreet.compute.engines.checks import EngineCheck
from pearlstreet.compute.engines.local import (
    checkpoints,
    clearing,
    images,
    mps,
    reading,
    reports,
    shells,
    stager,
)
from pearlstreet.compute.engines.local.changes import Changes
from pearlstreet.compute.engines.local.checks import local_checks
from pearlstreet.compute.engines.local.detect import (
    Basis,
    detect,
    look_at_basis,
    make_attempt_folder,
    refuse_weaker,
    write_seccomp,
    write_stubs,
)
from pearlstreet.compute.engines.local.folders import Folders
from pearlstreet.compute.engines.local.launching import ForkServer, Launch, last_words, launch
from pearlstreet.compute.engines.local.plan import make_plan, misfit, running_tasks
from pearlstreet.compute.engines.local.policy import Reserve, SandboxPolicy, Walls
from pearlstreet.compute.engines.local.sampling import DeviceSampler
from pearlstreet.compute.engines.local.supervisor import files
from pearlstreet.compute.engines.local.supervisor.checkpoint import saved_us
from pearlstreet.compute.engines.orders import TOO_WEAK, plain_id, refusal
from pearlstreet.compute.engines.placing import FreeMachines, is_open
from pearlstreet.compute.engines.protocol import (
    AttemptOrder,
    AttemptReport,
    Capabilities,
    CheckpointEntry,
    EndReason,
    LogChunk,
    MetricSample,
    NodeReport,
    Observation,
    OutputFile,
    PlacementMode,
    TaskState,
)
from pearlstreet.compute.engines.shells import Shell, ShellOrder
from pearlstreet.compute.engines.staging.model import StagerReport, StagerTask
from pearlstreet.compute.engines.staging.runner.checkpoint import REPLACED, RESTORING
from pearlstreet.compute.hardware.isolation import shortfall
from pearlstreet.compute.hardware.node import probe_node

T = TypeVar("T")
PLACEMENTS: tuple[PlacementMode, ...] = ("device", "node")
NOTHING = Reserve()
STRONGEST = SandboxPolicy()
NODE_CACHE_TTL_S = 1.5
"""Time for which a report of the machine is reused."""
DISK_RETRY_S = 30.0
LAUNCH_RETRY_S = 5.0
ALIVE_RETRY_S = 2.0
GONE_WITHIN_S = 2.0
WORK_FOLDERS = ("work", "outputs", "tmp", "home", files.SHARED_MEMORY, stager.STAGER, RESTORING, REPLACED)
"""Folders of an attempt that are needed only until its outputs are collected."""
ENDED_KEPT = 10_000
"""Number of reports of ended attempts cached in memory (about 1 KB each); others are read from disk on request."""


class LocalEngine:
    """Runs attempts on this machine; implements `Engine`. A new object over the same folder finds the attempts of the last.

    `probe` reports the machine's resources; `reserve` is withheld from jobs. Raises ConfigurationError if the host
    cannot give the isolation that the policy demands.
    """

    def __init__(
        self,
        root: Path,
        *,
        name: str = "local",
        clock: Clock,
        node_name: str | None = None,
        reserve: Reserve = NOTHING,
        probe: Callable[[], NodeReport] = probe_node,
        policy: SandboxPolicy = STRONGEST,
        placement: PlacementMode = "device",
    ) -> None:
        self._placement = placement
        self._folders = Folders(root.absolute())
        self._clock, self._probe, self._policy = clock, probe, policy
        self._name, self._node_name, self._reserve = name, node_name, reserve
        self._has_mps = mps.daemon_runs(policy.mps_pipe)
        if not self._has_mps:
            self._policy = replace(policy, mps_pipe="")
        self._basis = look_at_basis()
        self._walls = detect(policy, self._folders.root, self._basis)
        refuse_weaker(self._walls, policy.minimum)
        for folder in (self._folders.root, self._folders.attempts):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_stubs(self._folders.stubs)
        self._seccomp = write_seccomp(self._folders.root, self._walls)
        clearing.empty_trash(self._folders)
        self._forks = ForkServer(self._folders.root)
        self._sampler = DeviceSampler(self._folders)
        self._guard = threading.Lock()
        self._busy: dict[str, tuple[threading.Lock, int]] = {}
        self._ended: dict[str, AttemptReport] = {}
        self._ended_log_bytes: dict[str, int] = {}
        """Sizes of logs that change no more, so that thousands of folders are not looked through again and again."""
        self._checkpoint_sizes = checkpoints.Sizes()
        self._changes = Changes(self._folders, clock.now_us())
        self._node: tuple[float, NodeReport] | None = None
        self._probing = threading.Lock()
        self._choosing = threading.Lock()
        self._placing = threading.Lock()
        """Lock from the choice of devices until the choice is on disk, so that no two orders get the same devices."""
        self._sandbox_failed = False
        self._can_fetch_images = images.can_fetch()

    @property
    def name(self) -> str:
        return self._name

    def capabilities(self) -> Capabilities:
        return Capabilities(
            images=self._walls.sandbox == "bubblewrap" and self._can_fetch_images,
            fractions=self._has_mps,
            sharing="mps" if self._has_mps else "time_slice",
            stager=True,
            shells=True,
            services=True,
            placements=PLACEMENTS,
            placement=self._placement,
            wall=self._walls.name(),
            notices=self._walls.notices,
        )

    def checks(self) -> Sequence[EngineCheck]:
        """Return the checks of this machine: isolation, control groups, disk and the programs that images need."""
        return local_checks(self._current_walls(), self._policy, self._folders.root)

    def nodes(self) -> Outcome[Sequence[NodeReport]]:
        return Done((self._node_now(),))

    def set_drain(self, node: str, reason: str | None) -> Outcome[None]:
        return Done(None)  # this machine has no scheduler but the center

    def _node_now(self) -> NodeReport:
        now_s = self._clock.monotonic_s()
        cached = self._node
        if cached is not None and (now_s - cached[0] < NODE_CACHE_TTL_S or self._probing.locked()):
            # A driver may be slow: one caller at a time waits for it, the others get the cached report.
            return cached[1]
        with self._probing:
            return self._node[1] if self._node is not cached and self._node else self._probe_node(now_s)

    def _probe_node(self, now_s: float) -> NodeReport:
        seen, kept = self._probe(), self._reserve
        node = replace(
            seen,
            name=self._node_name or seen.name,
            isolation=self._current_walls().sandbox,
            isolation_gaps=self._walls.notices,
            cpus=max(seen.cpus - kept.cpus, 0.0),
            memory_gib=max(seen.memory_gib - kept.memory_gib, 0.0),
            disk_gib=max(seen.disk_gib - kept.disk_gib, 0.0),
        )
        self._node = (now_s, node)
        self._sampler.take(node, self._clock.now_us())
        return node

    def _current_walls(self) -> Walls:
        """Return the strongest isolation now; detect it again if its basis has changed or a sandbox has failed."""
        with self._choosing:
            basis = look_at_basis()
            if basis != self._basis or self._sandbox_failed:
                if self._sandbox_failed:
                    basis = (*basis, self._clock.now_us())
                self._basis, self._sandbox_failed = look_at_basis(), False
                self._walls = self._choose_walls(basis)
                self._seccomp = write_seccomp(self._folders.root, self._walls)
            return self._walls

    def _choose_walls(self, basis: Basis) -> Walls:
        try:
            return detect(self._policy, self._folders.root, basis)
        except ConfigurationError as error:
            return Walls("none", notices=(error.message,))  # `_weaker` then refuses every start

    def _weaker(self, walls: Walls) -> Refused | None:
        """Return the refusal if `walls` are weaker than the policy demands, else None."""
        wanted = self._policy.minimum if self._policy.sandbox == "auto" else self._policy.sandbox
        reason = shortfall(self._node_now().name, walls.sandbox, wanted)
        return Refused(TOO_WEAK, reason) if reason is not None else None

    # -- start

    def start(self, order: AttemptOrder) -> Outcome[AttemptReport]:
        if not plain_id(order.attempt_id):
            return refusal(order, {}) or Refused("bad_id", text("The attempt's id is not a plain name"))
        with self._attempt_lock(order.attempt_id):
            try:
                known = self._plan(order.attempt_id)
                if known is not None:
                    return self._go_on(known)
                walls = self._current_walls()
                node = replace(self._node_now(), isolation=walls.sandbox)
                refused = (
                    refusal(order, {node.name: node}, PLACEMENTS)
                    or misfit(order, walls)
                    or self._weaker(walls)
                )
                if refused is not None:
                    return refused
                return self._begin(order, node, walls)
            except OSError as error:
                return self._broken(order.attempt_id, error)

    def _begin(self, order: AttemptOrder, node: NodeReport, walls: Walls) -> Outcome[AttemptReport]:
        free = shutil.disk_usage(self._folders.root).free
        if free < self._policy.min_free_gib * GIB:
            return Retry(DISK_RETRY_S, _disk_full())
        shared = any(mps.is_shared(task.devices) for task in order.tasks)
        if shared and self._has_mps and not mps.daemon_runs(self._policy.mps_pipe):
            # Without the daemon the share would not be enforced, as its job was told.
            return Retry(DISK_RETRY_S, text("The control daemon of CUDA MPS does not run"))
        order = checkpoints.with_checkpoint(order, self._folders)
        if not is_open(order):
            return self._write_order(order, node, walls)
        with self._placing:
            machine = FreeMachines({node.name: node})
            machine.take_all(running_tasks(plan, node.name) for plan in self._running_plans())
            # The center counts CPU and memory; the engine chooses devices only.
            tasks = machine.place([replace(task, cpus=0.0, memory_gib=0.0) for task in order.tasks])
            if tasks is None:
                return Retry(LAUNCH_RETRY_S, text("The devices of {node} are in use", node=node.name))
            chosen = [
                replace(task, devices=one.devices, wants=None)
                for task, one in zip(order.tasks, tasks, strict=True)
            ]
            return self._write_order(replace(order, tasks=tuple(chosen)), node, walls)

    def _running_plans(self) -> Iterator[dict[str, Any]]:
        """Yield the plans of attempts that have not ended."""
        found = self.scan()
        for report in found.value if isinstance(found, Done) else ():
            plan = self._plan(report.attempt_id) if report.state is not TaskState.EXITED else None
            if plan is not None:
                yield plan

    def _write_order(self, order: AttemptOrder, node: NodeReport, walls: Walls) -> Outcome[AttemptReport]:
        plan = make_plan(order, node, walls, self._policy, self._folders, self._seccomp)
        folder = self._folders.attempt(order.attempt_id)
        try:
            make_attempt_folder(self._folders, order.attempt_id, walls)
            if order.checkpoint:
                checkpoints.make_folder(self._folders, order.checkpoint)
            files.write_json(str(folder), files.ORDER, plan)
            files.sync_folder(str(self._folders.attempts))
        except OSError as error:
            self._undo(order.attempt_id)
            if error.errno in files.FULL:
                return Retry(DISK_RETRY_S, _disk_full())
            raise
        return self._go_on(plan)

    def _undo(self, attempt_id: str) -> None:
        """Delete the files of an incomplete start, except a stop request that came earlier."""
        folder = self._folders.attempt(attempt_id)
        for path in folder.glob("*"):
            if path.name != files.STOP:
                with contextlib.suppress(OSError):
                    path.rmdir() if path.is_dir() else path.unlink()
        with contextlib.suppress(OSError):
            folder.rmdir()

    def _go_on(self, plan: dict[str, Any]) -> Outcome[AttemptReport]:
        """Start a supervisor for an order on disk, unless one has taken it already or a stop came first."""
        attempt_id = plan["attempt_id"]
        folder = self._folders.attempt(attempt_id)
        self._changes.follow(attempt_id)
        if not self._begun(plan, folder):
            if (folder / files.STOP).exists():
                return Done(self._never_begun(plan))
            launched = launch(folder, self._forks)
            if launched is Launch.SILENT:
                return Unknown(text("The supervisor of attempt {id} has not reported yet", id=attempt_id))
            if launched is Launch.NEVER and not (folder / files.LAUNCHED).exists():
                reason = last_words(folder)
                self._undo_launch(attempt_id)
                return Retry(LAUNCH_RETRY_S, text("No supervisor could be started: {reason}", reason=reason))
        return Done(self._look(plan))

    def _undo_launch(self, attempt_id: str) -> None:
        (self._folders.attempt(attempt_id) / files.ORDER).unlink(missing_ok=True)
        self._undo(attempt_id)

    def _never_begun(self, plan: dict[str, Any]) -> AttemptReport:
        """Return the report of an attempt stopped before its start, and write its end so that it never changes."""
        folder = str(self._folders.attempt(plan["attempt_id"]))
        state = files.read_json(folder, files.STATE)
        if state is None:
            state = reports.ended_state(
                None,
                EndReason.STOPPED,
                ended_us=self._clock.now_us(),
                message=text("Attempt {id} was stopped before it started", id=plan["attempt_id"]),
            )
            files.write_json(folder, files.STATE, state)
        return self._remember(plan, state)

    # -- look

    def probe(self, attempt_id: str) -> Outcome[AttemptReport | None]:
        try:
            return Done(self._look_at(attempt_id))
        except OSError as error:
            return Unknown(_unreadable(error))

    def scan(self) -> Outcome[Sequence[AttemptReport]]:
        found = []
        try:
            for attempt_id in sorted(path.name for path in self._folders.attempts.iterdir()):
                cached = self._ended.get(attempt_id)
                plan = None if cached is not None else self._plan(attempt_id)
                if cached is not None or plan is not None:
                    # With more ended attempts than the cache holds, caching each would evict it before its next use.
                    keep = len(self._ended) < ENDED_KEPT
                    found.append(cached if plan is None else self._look(plan, keep=keep))
        except OSError as error:
            return Unknown(_unreadable(error))
        return Done([report for report in found if report is not None])

    def observe(self, cursor: str) -> Outcome[Observation]:
        try:
            self._changes.look(self._look_at)
            changed, newest = self._changes.since(cursor)
            if changed is None:
                found = self.scan()
                if not isinstance(found, Done):
                    return found
                for report in found.value:
                    if report.state is not TaskState.EXITED:
                        self._changes.follow(report.attempt_id)
                return Done(Observation(newest, found.value, is_complete=True))
            told = {attempt_id: self._look_at(attempt_id) for attempt_id in changed}
        except OSError as error:
            return Unknown(_unreadable(error))
        return Done(
            Observation(
                newest,
                tuple(report for report in told.values() if report is not None),
                tuple(attempt_id for attempt_id, report in told.items() if report is None),
            )
        )

    def _look_at(self, attempt_id: str) -> AttemptReport | None:
        cached = self._ended.get(attempt_id)
        plan = None if cached is not None else self._plan(attempt_id)
        return cached if plan is None else self._look(plan)

    def _plan(self, attempt_id: str) -> dict[str, Any] | None:
        if not plain_id(attempt_id):
            return None
        return files.read_json(str(self._folders.attempt(attempt_id)), files.ORDER)

    def _look(self, plan: dict[str, Any], *, keep: bool = True) -> AttemptReport:
        """Return the report of an attempt. `keep`: cache an ended one, which may evict the oldest from the cache."""
        attempt_id = plan["attempt_id"]
        cached = self._ended.get(attempt_id)
        if cached is not None:
            return cached
        folder = self._folders.attempt(attempt_id)
        # Check the lock before reading the state: a supervisor writes its last state before it releases the lock.
        alive = files.is_locked(str(folder / files.LOCK))
        state = files.read_json(str(folder), files.STATE)
        if state is not None and state["state"] == TaskState.EXITED:
            self._sampler.leave(attempt_id)
            return self._remember(plan, state) if keep else reports.from_state(plan, state)
        if not alive and self._begun(plan, folder):
            return self._lost(plan)
        if not alive:
            self._revive(plan)
        self._sampler.watch(plan)
        return reports.from_state(plan, state)

    def _begun(self, plan: dict[str, object], folder: Path) -> bool:
        """Return whether a supervisor took over the attempt, or may have done so before the machine's last boot."""
        return plan["boot_id"] != files.boot_id() or (folder / files.LAUNCHED).exists()

    def _remember(self, plan: dict[str, Any], state: dict[str, Any]) -> AttemptReport:
        report = reports.from_state(plan, state)
        if report.end_reason is EndReason.START_FAILED and plan["sandbox"] == "bubblewrap":
            self._sandbox_failed = True  # the host may no longer allow it: detect the sandbox again
        self._sampler.leave(plan["attempt_id"])
        with self._guard:
            self._ended[plan["attempt_id"]] = report
            while len(self._ended) > ENDED_KEPT:
                del self._ended[next(iter(self._ended))]
        return report

    def _revive(self, plan: dict[str, Any]) -> None:
        """Start the supervisor of an order that a server wrote before it died, unless a thread is starting it now."""
        with self._guard:
            if plan["attempt_id"] in self._busy:
                return
        folder = self._folders.attempt(plan["attempt_id"])
        with self._attempt_lock(plan["attempt_id"]):
            if not self._begun(plan, folder) and (folder / files.ORDER).exists():
                if (folder / files.STOP).exists():
                    self._never_begun(plan)
                else:
                    launch(folder, self._forks)

    def _lost(self, plan: dict[str, Any]) -> AttemptReport:
        """Kill the processes of an attempt whose supervisor died, and write its end in the supervisor's place."""
        folder = str(self._folders.attempt(plan["attempt_id"]))
        lock = files.hold_lock(f"{folder}/{files.LOCK}", 0.0)
        state = files.read_json(folder, files.STATE)
        if lock is None:
            return reports.from_state(plan, state)
        try:
            if state is None or state["state"] != TaskState.EXITED:
                clearing.end_leftovers(plan)
                seen_us = int(os.fstat(lock).st_mtime * US_PER_S)
                begun_us = (state or {}).get("started_us") or 0
                ended_us = min(max(seen_us, begun_us), max(self._clock.now_us(), begun_us))
                message = self._why_lost(plan, folder)
                state = reports.ended_state(state, EndReason.ENGINE_LOST, ended_us=ended_us, message=message)
                if plan.get("checkpoint"):
                    state["saved_us"] = saved_us(plan["checkpoint"])
                self._write_or_free_ballast(plan["attempt_id"], files.STATE, state)
            return self._remember(plan, state)
        finally:
            os.close(lock)

    def _why_lost(self, plan: dict[str, Any], folder: str) -> Text:
        if plan["boot_id"] != files.boot_id():
            return text("The machine was restarted while the attempt ran")
        said = last_words(Path(folder))
        if said:
            return text("The attempt's supervisor failed: {reason}", reason=said)
        return text("The attempt's supervisor was killed")

    # -- stop

    def stop(self, attempt_id: str, *, grace_s: float) -> Outcome[None]:
        if not plain_id(attempt_id) or attempt_id in self._ended:
            return Done(None)  # an attempt of this name can never start, or it has ended
        folder = self._folders.attempt(attempt_id)
        try:
            plan = self._plan(attempt_id)
            if plan is not None and self._look(plan).state is TaskState.EXITED:
                return Done(None)
            folder.mkdir(mode=0o700, exist_ok=True)
            before = files.read_json(str(folder), files.STOP)
            grace_s = max(grace_s, 0.0)
            if before is None or before["grace_s"] > grace_s:
                stop = {"grace_s": grace_s, "at_us": self._clock.now_us()}
                self._write_or_free_ballast(attempt_id, files.STOP, stop)
                files.sync_folder(str(self._folders.attempts))
            self._wake(folder)
        except OSError as error:
            if error.errno in files.FULL:
                return Retry(DISK_RETRY_S, _disk_full())
            return Unknown(_unreadable(error))
        return Done(None)

    def drain(self, attempt_id: str, *, grace_s: float) -> Outcome[None]:
        if not plain_id(attempt_id) or attempt_id in self._ended:
            return Done(None)
        folder = self._folders.attempt(attempt_id)
        try:
            plan = self._plan(attempt_id)
            if plan is None or plan.get("service") is None:
                return self.stop(attempt_id, grace_s=grace_s)
            report = self._look(plan)
            if report.state is TaskState.EXITED:
                return Done(None)
            if report.started_us is None:
                return self.stop(attempt_id, grace_s=grace_s)
            before = files.read_json(str(folder), files.DRAIN)
            if before is None:
                self._write_or_free_ballast(attempt_id, files.DRAIN, {"grace_s": max(grace_s, 0.0)})
            self._wake(folder)
        except OSError as error:
            return (
                Retry(DISK_RETRY_S, _disk_full())
                if error.errno in files.FULL
                else Unknown(_unreadable(error))
            )
        return Done(None)

    def _write_or_free_ballast(self, attempt_id: str, name: str, value: object) -> None:
        """Write a file into an attempt's folder; on a full disk delete its ballast file first to free space."""
        folder = self._folders.attempt(attempt_id)
        try:
            files.write_json(str(folder), name, value)
        except OSError as error:
            if error.errno not in files.FULL:
                raise
            (folder / files.BALLAST).unlink(missing_ok=True)
            files.write_json(str(folder), name, value)

    def _wake(self, folder: Path) -> None:
        """Signal the supervisor to read the stop file now; without the signal it reads it a little later."""
        launched = files.read_json(str(folder), files.LAUNCHED)
        if launched is None or launched["boot_id"] != files.boot_id():
            return
        with contextlib.suppress(OSError):
            handle = os.pidfd_open(launched["pid"])
            try:
                if files.start_ticks(launched["pid"]) == launched["start_ticks"]:
                    signal.pidfd_send_signal(handle, signal.SIGUSR1)
            finally:
                os.close(handle)

    # -- shells

    def open_shell(self, attempt_id: str, rank: int, shell_id: str, order: ShellOrder) -> Outcome[Shell]:
        def begin(report: AttemptReport, folder: Path) -> Outcome[Shell]:
            if report.state is not TaskState.RUNNING or not 0 <= rank < len(report.tasks):
                return Refused("not_running", text("The task does not run"))
            if not plain_id(shell_id) or not order.command:
                return Refused("bad_order", text("A shell needs a plain name and a command"))
            return shells.open_shell(folder, shell_id, rank, order, self._wake)

        return self._reading(attempt_id, begin)

    # -- read

    def read_log(self, attempt_id: str, rank: int, *, offset: int, limit: int) -> Outcome[LogChunk]:
        def read(report: AttemptReport, folder: Path) -> Outcome[LogChunk]:
            if not 0 <= rank < len(report.tasks):
                return Refused(
                    "unknown_task", text("Attempt {id} has no task {rank}", id=attempt_id, rank=rank)
                )
            over = report.state is TaskState.EXITED
            return Done(reading.read_log(folder, rank, max(offset, 0), limit, over=over))

        return self._reading(attempt_id, read)

    def read_metrics(self, attempt_id: str, *, since_us: int) -> Outcome[Sequence[MetricSample]]:
        return self._reading(attempt_id, lambda _, folder: Done(reading.read_metrics(folder, since_us)))

    def list_outputs(self, attempt_id: str) -> Outcome[Sequence[OutputFile]]:
        return self._reading(attempt_id, lambda _, folder: Done(reading.list_outputs(folder)))

    def read_output(self, attempt_id: str, path: str, *, offset: int, limit: int) -> Outcome[bytes]:
        def read(_: AttemptReport, folder: Path) -> Outcome[bytes]:
            data = reading.read_output(folder, path, offset, limit)
            if data is None:
                return Refused(
                    "no_such_output",
                    text("Attempt {id} left no file {path}", id=attempt_id, path=repr(path[:200])),
                )
            return Done(data)

        return self._reading(attempt_id, read)

    def start_stager(self, task: StagerTask) -> Outcome[None]:
        try:
            if not task.is_checkpoint:
                found = self.probe(task.subject)
                if not isinstance(found, Done):
                    return found
                if found.value is None:
                    return self._unknown(task.subject)
                if found.value.state is not TaskState.EXITED:
                    return Retry(ALIVE_RETRY_S, text("Attempt {id} is still running", id=task.subject))
            return stager.start(self._folders, task)
        except OSError as error:
            return Retry(LAUNCH_RETRY_S, _unreadable(error))

    def stager_report(self, task: StagerTask) -> Outcome[StagerReport]:
        return stager.report(self._folders, task)

    def _unknown(self, attempt_id: str) -> Refused:
        return Refused("unknown_attempt", text("The engine knows no attempt {id}", id=attempt_id[:200]))

    def _reading(self, attempt_id: str, read: Callable[[AttemptReport, Path], Outcome[T]]) -> Outcome[T]:
        found = self.probe(attempt_id)
        if not isinstance(found, Done):
            return found
        if found.value is None:
            return self._unknown(attempt_id)
        try:
            return read(found.value, self._folders.attempt(attempt_id))
        except OSError as error:
            return Retry(LAUNCH_RETRY_S, _unreadable(error))

    # -- forget

    def delete_work(self, attempt_id: str) -> Outcome[None]:
        folder = self._folders.attempt(attempt_id)
        if not plain_id(attempt_id) or not any((folder / name).exists() for name in WORK_FOLDERS):
            return Done(None)
        with self._attempt_lock(attempt_id):
            try:
                plan = self._plan(attempt_id)
                if plan is not None and self._look(plan).state is not TaskState.EXITED:
                    return Retry(ALIVE_RETRY_S, text("Attempt {id} is still running", id=attempt_id))
                for name in WORK_FOLDERS:
                    with contextlib.suppress(FileNotFoundError):
                        clearing.delete_tree(folder / name, self._folders.trash)
            except OSError as error:
                return Retry(LAUNCH_RETRY_S, _unreadable(error))
        return Done(None)

    def checkpoint_sizes(self) -> Outcome[Mapping[str, int]]:
        try:
            return Done(self._checkpoint_sizes.read(self._folders, self._clock.monotonic_s()))
        except OSError as error:
            return Retry(LAUNCH_RETRY_S, _unreadable(error))

    def list_checkpoint(self, key: str) -> Outcome[Sequence[CheckpointEntry]]:
        try:
            return Done(checkpoints.list_entries(self._folders, key) if plain_id(key) else ())
        except OSError as error:
            return Retry(LAUNCH_RETRY_S, _unreadable(error))

    def delete_checkpoint(self, key: str) -> Outcome[None]:
        try:
            checkpoints.delete(self._folders, key)
        except OSError as error:
            return Retry(LAUNCH_RETRY_S, _unreadable(error))
        return Done(None)

    def log_sizes(self) -> Outcome[Mapping[str, int]]:
        sizes: dict[str, int] = {}
        try:
            for attempt_id in (path.name for path in self._folders.attempts.iterdir()):
                size = self._ended_log_bytes.get(attempt_id)
                if size is None:
                    ended = (
                        attempt_id in self._ended
                    )  # before the look: what ends after it is looked at again
                    size = clearing.log_bytes(self._folders.attempt(attempt_id))
                    if ended:
                        self._ended_log_bytes[attempt_id] = size
                sizes[attempt_id] = size
        except OSError as error:
            return Retry(LAUNCH_RETRY_S, _unreadable(error))
        for attempt_id in self._ended_log_bytes.keys() - sizes.keys():
            self._ended_log_bytes.pop(attempt_id, None)
        return Done(sizes)

    def trim_log(self, attempt_id: str, *, size_bytes: int) -> Outcome[int]:
        found = self.probe(attempt_id)
        if not isinstance(found, Done):
            return found
        if found.value is None:
            return Done(0)
        try:
            folder, over = self._folders.attempt(attempt_id), found.value.state is TaskState.EXITED
            freed = clearing.trim_log(folder, len(found.value.tasks), size_bytes, over=over)
        except OSError as error:
            return Retry(LAUNCH_RETRY_S, _unreadable(error))
        self._ended_log_bytes.pop(attempt_id, None)
        return Done(freed)

    def forget(self, attempt_id: str) -> Outcome[None]:
        if not plain_id(attempt_id):
            return Done(None)
        folder = self._folders.attempt(attempt_id)
        with self._attempt_lock(attempt_id):
            try:
                plan = self._plan(attempt_id)
                if plan is not None and self._look(plan).state is not TaskState.EXITED:
                    return Retry(ALIVE_RETRY_S, text("Attempt {id} is still running", id=attempt_id))
                if not self._supervisor_gone(folder):
                    return Retry(ALIVE_RETRY_S, text("Attempt {id} is still running", id=attempt_id))
                if plan is not None:
                    clearing.remove_groups(plan)
                with self._guard:
                    self._ended.pop(attempt_id, None)
                self._changes.forget(attempt_id)
                clearing.delete_tree(folder, self._folders.trash)
            except FileNotFoundError:
                return Done(None)
            except OSError as error:
                return Retry(LAUNCH_RETRY_S, _unreadable(error))
        return Done(None)

    def _supervisor_gone(self, folder: Path) -> bool:
        """Wait up to GONE_WITHIN_S for the supervisor to exit; it writes the attempt's end shortly before."""
        deadline_s = self._clock.monotonic_s() + GONE_WITHIN_S
        while files.is_locked(str(folder / files.LOCK)):
            if self._clock.monotonic_s() > deadline_s:
                return False
            self._clock.sleep(0.01)
        return True

    def close(self) -> None:
        """End the fork server; supervisors are detached and continue."""
        self._forks.close()

    # -- one at a time

    @contextlib.contextmanager
    def _attempt_lock(self, attempt_id: str) -> Iterator[None]:
        """Hold the lock of one attempt: only one thread at a time starts, revives, clears or forgets it."""
        with self._guard:
            lock, users = self._busy.get(attempt_id, (threading.Lock(), 0))
            self._busy[attempt_id] = (lock, users + 1)
        try:
            with lock:
                yield
        finally:
            with self._guard:
                lock, users = self._busy[attempt_id]
                if users == 1:
                    del self._busy[attempt_id]
                else:
                    self._busy[attempt_id] = (lock, users - 1)

    def _broken(self, attempt_id: str, error: OSError) -> Outcome[AttemptReport]:
        """Return the outcome of a start that failed with `error`."""
        if (self._folders.attempt(attempt_id) / files.ORDER).exists():
            return Unknown(_unreadable(error))
        if error.errno in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, *files.FULL):
            return Retry(LAUNCH_RETRY_S, _unreadable(error))
        return Unknown(_unreadable(error))


def _disk_full() -> Text:
    return text("The disk of the machine is full: nothing was started")


def _unreadable(error: OSError) -> Text:
    return text("The engine's folder cannot be read or written: {reason}", reason=str(error))
