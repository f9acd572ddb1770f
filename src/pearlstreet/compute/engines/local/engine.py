"""The local engine: this machine's own, every attempt under a supervisor that outlives the server."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pearlstreet.base.clock import US_PER_S, Clock
from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.outcome import Done, Outcome, Refused, Retry, Unknown
from pearlstreet.base.text import Text, text
from pearlstreet.base.units import GIB
from pearlstreet.compute.engines.local import clearing, reading, reports
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
from pearlstreet.compute.engines.local.plan import make_plan, misfit
from pearlstreet.compute.engines.local.policy import Reserve, SandboxPolicy, Walls
from pearlstreet.compute.engines.local.sampling import DeviceSampler
from pearlstreet.compute.engines.local.supervisor import files
from pearlstreet.compute.engines.orders import TOO_WEAK, plain_id, refusal
from pearlstreet.compute.engines.protocol import (
    AttemptOrder,
    AttemptReport,
    Capabilities,
    EndReason,
    LogChunk,
    MetricSample,
    NodeReport,
    OutputFile,
    TaskState,
)
from pearlstreet.compute.hardware.isolation import shortfall
from pearlstreet.compute.hardware.node import probe_node

T = TypeVar("T")
NOTHING = Reserve()
STRONGEST = SandboxPolicy()
NODES_FOR_S = 1.5
"""How long one probing of the machine serves."""
DISK_RETRY_S = 30.0
LAUNCH_RETRY_S = 5.0
ALIVE_RETRY_S = 2.0
GONE_WITHIN_S = 2.0
WORK_FOLDERS = ("work", "outputs", "tmp", "home", files.SHARED_MEMORY)
"""Folders of an attempt that only the attempt and the collection of its outputs use."""
ENDED_KEPT = 10_000
"""Reports of ended attempts kept in memory (about 1 KB each); those of others are read from disk again when asked for."""


class LocalEngine:
    """Runs attempts on this machine; implements `Engine`. Several objects over one folder may follow each other.

    `probe` tells what the machine has, `reserve` is kept from jobs. Raises ConfigurationError when the host cannot give
    the walls the policy demands.
    """

    def __init__(
        self,
        root: Path,
        *,
        clock: Clock,
        node_name: str | None = None,
        reserve: Reserve = NOTHING,
        probe: Callable[[], NodeReport] = probe_node,
        policy: SandboxPolicy = STRONGEST,
    ) -> None:
        self._folders = Folders(root.absolute())
        self._clock, self._probe, self._policy = clock, probe, policy
        self._node_name, self._reserve = node_name, reserve
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
        self._node: tuple[float, NodeReport] | None = None
        self._probing = threading.Lock()
        self._choosing = threading.Lock()
        self._sandbox_failed = False

    @property
    def name(self) -> str:
        return "local"

    def capabilities(self) -> Capabilities:
        return Capabilities(wall=self._walls.name(), notices=self._walls.notices)

    def nodes(self) -> Outcome[Sequence[NodeReport]]:
        return Done((self._node_now(),))

    def _node_now(self) -> NodeReport:
        now_s = self._clock.monotonic_s()
        cached = self._node
        if cached is not None and (now_s - cached[0] < NODES_FOR_S or self._probing.locked()):
            return cached[
                1
            ]  # one caller at a time waits for a slow driver, the others get what was seen last
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
        """The strongest walls now: chosen anew when what they rest on has changed, or a sandbox has failed."""
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
            return Walls("none", notices=(error.message,))  # `_weaker` lets nothing start behind these

    def _weaker(self, walls: Walls) -> Refused | None:
        """Why nothing may start behind these walls by the policy, or None."""
        wanted = self._policy.minimum if self._policy.sandbox == "auto" else self._policy.sandbox
        reason = shortfall(self._node_now().name, walls.sandbox, wanted)
        return Refused(TOO_WEAK, reason) if reason is not None else None

    # -- start

    def start(self, order: AttemptOrder) -> Outcome[AttemptReport]:
        if not plain_id(order.attempt_id):
            return refusal(order, {}) or Refused("bad_id", text("The attempt's id is no plain name"))
        with self._alone(order.attempt_id):
            try:
                known = self._plan(order.attempt_id)
                if known is not None:
                    return self._go_on(known)
                walls = self._current_walls()
                node = replace(self._node_now(), isolation=walls.sandbox)
                refused = refusal(order, {node.name: node}) or misfit(order) or self._weaker(walls)
                if refused is not None:
                    return refused
                return self._begin(order, node, walls)
            except OSError as error:
                return self._broken(order.attempt_id, error)

    def _begin(self, order: AttemptOrder, node: NodeReport, walls: Walls) -> Outcome[AttemptReport]:
        free = shutil.disk_usage(self._folders.root).free
        if free < self._policy.min_free_gib * GIB:
            return Retry(DISK_RETRY_S, _disk_full())
        plan = make_plan(order, node, walls, self._policy, self._folders, self._seccomp)
        folder = self._folders.attempt(order.attempt_id)
        try:
            make_attempt_folder(self._folders, order.attempt_id, walls)
            files.write_json(str(folder), files.ORDER, plan)
            files.sync_folder(str(self._folders.attempts))
        except OSError as error:
            self._undo(order.attempt_id)
            if error.errno in files.FULL:
                return Retry(DISK_RETRY_S, _disk_full())
            raise
        return self._go_on(plan)

    def _undo(self, attempt_id: str) -> None:
        """Leave nothing half made; a stop that came before must stay."""
        folder = self._folders.attempt(attempt_id)
        for path in folder.glob("*"):
            if path.name != files.STOP:
                with contextlib.suppress(OSError):
                    path.rmdir() if path.is_dir() else path.unlink()
        with contextlib.suppress(OSError):
            folder.rmdir()

    def _go_on(self, plan: dict[str, Any]) -> Outcome[AttemptReport]:
        """The order is on disk: see that a supervisor has it, unless one had it already or a stop came first."""
        attempt_id = plan["attempt_id"]
        folder = self._folders.attempt(attempt_id)
        if not self._begun(plan, folder):
            if (folder / files.STOP).exists():
                return Done(self._never_begun(plan))
            launched = launch(folder, self._forks)
            if launched is Launch.SILENT:
                return Unknown(
                    text("The supervisor of attempt {id} has not said anything yet", id=attempt_id)
                )
            if launched is Launch.NEVER and not (folder / files.LAUNCHED).exists():
                reason = last_words(folder)
                self._undo_launch(attempt_id)
                return Retry(LAUNCH_RETRY_S, text("No supervisor could be started: {reason}", reason=reason))
        return Done(self._look(plan))

    def _undo_launch(self, attempt_id: str) -> None:
        (self._folders.attempt(attempt_id) / files.ORDER).unlink(missing_ok=True)
        self._undo(attempt_id)

    def _never_begun(self, plan: dict[str, Any]) -> AttemptReport:
        """Stopped before a supervisor had it: its end is written here, so that it is told the same ever after."""
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
        cached = self._ended.get(attempt_id)
        if cached is not None:
            return Done(cached)
        try:
            plan = self._plan(attempt_id)
            return Done(None if plan is None else self._look(plan))
        except OSError as error:
            return Unknown(_unreadable(error))

    def scan(self) -> Outcome[Sequence[AttemptReport]]:
        found = []
        try:
            for attempt_id in sorted(path.name for path in self._folders.attempts.iterdir()):
                cached = self._ended.get(attempt_id)
                plan = None if cached is not None else self._plan(attempt_id)
                if cached is not None or plan is not None:
                    # a walk over more than fit must not push each one out just before it is looked at again
                    keep = len(self._ended) < ENDED_KEPT
                    found.append(cached if plan is None else self._look(plan, keep=keep))
        except OSError as error:
            return Unknown(_unreadable(error))
        return Done([report for report in found if report is not None])

    def _plan(self, attempt_id: str) -> dict[str, Any] | None:
        if not plain_id(attempt_id):
            return None
        return files.read_json(str(self._folders.attempt(attempt_id)), files.ORDER)

    def _look(self, plan: dict[str, Any], *, keep: bool = True) -> AttemptReport:
        """`keep`: an end may push the oldest one out of memory."""
        attempt_id = plan["attempt_id"]
        cached = self._ended.get(attempt_id)
        if cached is not None:
            return cached
        folder = self._folders.attempt(attempt_id)
        alive = files.is_locked(
            str(folder / files.LOCK)
        )  # before the state: it is written before the lock is let go
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

    def _begun(self, plan: dict[str, Any], folder: Path) -> bool:
        """Whether a supervisor has, or before the last power cut may have had, the attempt."""
        return plan["boot_id"] != files.boot_id() or (folder / files.LAUNCHED).exists()

    def _remember(self, plan: dict[str, Any], state: dict[str, Any]) -> AttemptReport:
        report = reports.from_state(plan, state)
        if report.end_reason is EndReason.START_FAILED and plan["sandbox"] == "bubblewrap":
            self._sandbox_failed = True  # perhaps the host allows it no longer: the next look tries
        self._sampler.leave(plan["attempt_id"])
        with self._guard:
            self._ended[plan["attempt_id"]] = report
            while len(self._ended) > ENDED_KEPT:
                del self._ended[next(iter(self._ended))]
        return report

    def _revive(self, plan: dict[str, Any]) -> None:
        """A server died between writing the order and starting its supervisor: do it now, unless somebody is at it."""
        with self._guard:
            if plan["attempt_id"] in self._busy:
                return
        folder = self._folders.attempt(plan["attempt_id"])
        with self._alone(plan["attempt_id"]):
            if not self._begun(plan, folder) and (folder / files.ORDER).exists():
                if (folder / files.STOP).exists():
                    self._never_begun(plan)
                else:
                    launch(folder, self._forks)

    def _lost(self, plan: dict[str, Any]) -> AttemptReport:
        """The supervisor is dead and left no end: end what it left, and write the end in its place."""
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
                self._write_making_room(plan["attempt_id"], files.STATE, state)
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
            return Done(None)  # nothing of that name can ever start, or it is over
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
                self._write_making_room(attempt_id, files.STOP, stop)
                files.sync_folder(str(self._folders.attempts))
            self._wake(folder)
        except OSError as error:
            if error.errno in files.FULL:
                return Retry(DISK_RETRY_S, _disk_full())
            return Unknown(_unreadable(error))
        return Done(None)

    def _write_making_room(self, attempt_id: str, name: str, value: object) -> None:
        """Write into an attempt's folder; on a full disk its ballast gives the room."""
        folder = self._folders.attempt(attempt_id)
        try:
            files.write_json(str(folder), name, value)
        except OSError as error:
            if error.errno not in files.FULL:
                raise
            (folder / files.BALLAST).unlink(missing_ok=True)
            files.write_json(str(folder), name, value)

    def _wake(self, folder: Path) -> None:
        """Tell the supervisor to look at the stop file now; it looks by itself a little later anyway."""
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

    def _reading(self, attempt_id: str, read: Callable[[AttemptReport, Path], Outcome[T]]) -> Outcome[T]:
        found = self.probe(attempt_id)
        if not isinstance(found, Done):
            return found
        if found.value is None:
            return Refused("unknown_attempt", text("The engine knows no attempt {id}", id=attempt_id[:200]))
        try:
            return read(found.value, self._folders.attempt(attempt_id))
        except OSError as error:
            return Retry(LAUNCH_RETRY_S, _unreadable(error))

    # -- forget

    def delete_work(self, attempt_id: str) -> Outcome[None]:
        folder = self._folders.attempt(attempt_id)
        if not plain_id(attempt_id) or not any((folder / name).exists() for name in WORK_FOLDERS):
            return Done(None)
        with self._alone(attempt_id):
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

    def forget(self, attempt_id: str) -> Outcome[None]:
        if not plain_id(attempt_id):
            return Done(None)
        folder = self._folders.attempt(attempt_id)
        with self._alone(attempt_id):
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
                clearing.delete_tree(folder, self._folders.trash)
            except FileNotFoundError:
                return Done(None)
            except OSError as error:
                return Retry(LAUNCH_RETRY_S, _unreadable(error))
        return Done(None)

    def _supervisor_gone(self, folder: Path) -> bool:
        """It writes the end a moment before it goes itself."""
        deadline_s = self._clock.monotonic_s() + GONE_WITHIN_S
        while files.is_locked(str(folder / files.LOCK)):
            if self._clock.monotonic_s() > deadline_s:
                return False
            self._clock.sleep(0.01)
        return True

    def close(self) -> None:
        """Supervisors belong to nobody and go on; the fork server ends."""
        self._forks.close()

    # -- one at a time

    @contextlib.contextmanager
    def _alone(self, attempt_id: str) -> Iterator[None]:
        """One start, revival or forgetting of an attempt at a time."""
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
        """What a failing disk means for a start."""
        if (self._folders.attempt(attempt_id) / files.ORDER).exists():
            return Unknown(_unreadable(error))
        if error.errno in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, *files.FULL):
            return Retry(LAUNCH_RETRY_S, _unreadable(error))
        return Unknown(_unreadable(error))


def _disk_full() -> Text:
    return text("The disk of the machine is full: nothing was started")


def _unreadable(error: OSError) -> Text:
    return text("The engine's folder cannot be read or written: {reason}", reason=str(error))
