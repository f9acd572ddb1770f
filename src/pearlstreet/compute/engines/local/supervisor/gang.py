"""Life cycle of one attempt: stage its files, start all tasks, watch them, end them together, write the report."""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Callable

from . import files, linux, usage
from .checkpoint import saved_us
from .files import text
from .launch import Launcher
from .service import Service
from .shells import Shells
from .task import Task
from .termination import Termination
from .watch import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TICK_S = 0.25
PRESS_S = 0.05
"""Time between two searches for processes that have not received SIGTERM yet."""
HEARTBEAT_S = 5.0
DRAIN_BYTES = 4 << 20
TOLD_TO_END = ("stopped", "time_limit", "engine_lost")
"""Reasons for which the supervisor ends a running job; the job then lasts until its last process ends, within the grace."""
LAST_WORDS_S = 1.0
"""Time to wait for the end of an output pipe that a process outside the sandbox keeps open."""


class Gang:
    """The tasks of one attempt."""

    def __init__(self, folder: str, plan: dict[str, Any], wake: dict[str, Any], lock: int) -> None:
        self._folder, self._plan, self._wake, self._lock = folder, plan, wake, lock
        self._clock = files.WallClock()
        self._state = "starting"
        self._started_us: int | None = None
        self._started_s: float | None = None
        self._ended_us: int | None = None
        self._saved_us: int | None = None
        self._reason: str | None = None
        self._message: dict[str, object] | None = None
        self._kill_at_s: float | None = None
        self._ending_s = 0.0
        self._next_press_s = 0.0
        self._termination = Termination()
        self._tasks: list[Task] = []
        self._poll = select.poll()
        self._poll.register(wake["handle"], select.POLLIN)
        self._shells = Shells(folder, plan, self._tasks, self._poll)
        self._service = Service(folder, plan, self._tasks, self._shells.run_command)
        self._launcher = Launcher(folder, plan)
        self._ballast()

    def _ballast(self) -> None:
        with contextlib.suppress(OSError):
            handle = os.open(
                f"{self._folder}/{files.BALLAST}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
            try:
                os.posix_fallocate(handle, 0, files.BALLAST_BYTES)
            finally:
                os.close(handle)

    def run(self, running: Callable[[], None]) -> None:
        """Run the attempt to its end. `running` is called once all tasks run."""
        self._look_for_stop()
        if self._reason is None:
            self._start()
        if self._reason is None:
            self._state = "running"
            self._write(sync=False)
            running()
            self._sync_state()
        self._watch = Watch(self._folder, self._plan, self._tasks, self._clock)
        while self._has_running_task() or self._have_leftovers_grace():
            self._turn()
        self._finish()

    def _has_running_task(self) -> bool:
        runs = any(task.pid is not None and task.status is None for task in self._tasks)
        return runs or self._service.keeps_running

    def _have_leftovers_grace(self) -> bool:
        """Return whether processes that outlived their task's command still run and their grace is not over."""
        if self._reason not in TOLD_TO_END or self._kill_at_s is None:
            return False
        return time.monotonic() < self._kill_at_s and bool(self._leftovers())

    # -- beginning

    def _start(self) -> None:
        linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
        launcher = self._launcher
        try:
            launcher.stage(self._stop_asked)
            self._tasks += [Task(self._plan, task, self._folder) for task in self._plan["tasks"]]
            for task in self._tasks:
                task.prepare()
            launcher.open_walls()
            self._service.start()
            for task in self._tasks:
                self._spawn(launcher, task)
        except launcher.Failed as error:
            self._fail(error.reason, error.message)
        except OSError as error:
            if error.errno in files.FULL:
                self._fail("engine_lost", text("The disk of the machine is full: nothing could be started"))
            else:
                self._fail(
                    "engine_lost",
                    text("The machine could not start the attempt: {reason}", reason=str(error)),
                )
        if self._reason is not None:
            return
        failed = next((task for task in self._tasks if task.failed_errno is not None), None)
        if failed is not None:
            reason = os.strerror(failed.failed_errno or 0)
            message = text(
                "The command {command} cannot be run: {reason}", command=self._name(), reason=reason
            )
            self._fail("start_failed", message)
            return
        self._started_us = self._clock.now_us()
        self._started_s = time.monotonic()
        for task in self._tasks:
            task.started_us, task.state = self._started_us, "running"

    def _stop_asked(self) -> bool:
        """Return whether the attempt must stop; called between files during staging."""
        self._look_for_stop()
        return self._reason is not None

    def _name(self) -> str:
        return str(self._plan["command"][0])[:200]

    def _spawn(self, launcher: Launcher, task: Task) -> None:
        command, variables, keep = launcher.program(task.order)
        task.spawn(command, variables, keep)
        if task.pidfd is not None and task.pipe is not None:
            self._poll.register(task.pidfd, select.POLLIN)
            self._poll.register(task.pipe, select.POLLIN)

    def _fail(self, reason: str, message: dict[str, object] | None) -> None:
        """End the attempt before it ran."""
        self._end(reason, message, 0.0)

    # -- middle

    def _turn(self) -> None:
        now_s = time.monotonic()
        press_s = None if self._kill_at_s is None else self._next_press_s
        dues = (self._watch.next_s(), press_s, self._time_limit_s(), self._service.next_s())
        due_s = min(item for item in dues if item is not None)
        ready = dict(self._poll.poll(max(0.0, min(due_s - now_s, TICK_S)) * 1000))
        if self._wake["handle"] in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake["handle"], 4096)
        if self._reason is None and (self._wake["handle"] in ready or self._shells.are_waiting):
            self._shells.start_asked()
        for task in self._tasks:
            if task.pipe in ready:
                self._drain(task, DRAIN_BYTES)
            if task.pidfd in ready:
                self._reap(task)
        self._shells.turn(ready)
        self._reap_strangers()
        self._turn_service()
        self._look_for_stop()
        self._check_limits()
        self._press_on()

    def _turn_service(self) -> None:
        """Probe the tasks of a service, and start those again whose time has come."""
        for task in self._service.due_restarts():
            self._drain(task, DRAIN_BYTES)
            if task.pipe is not None:  # a process that outlived the command may keep it open
                self._poll.unregister(task.pipe)
            task.renew()
            try:
                self._spawn(self._launcher, task)
            except OSError as error:
                message = text("The task could not be started again: {reason}", reason=str(error))
                self._end("engine_lost", message, self._plan["grace_s"])
        self._service.turn()
        if self._service.has_changed:
            self._service.has_changed = False
            self._write(sync=False)

    def _drain(self, task: Task, most_bytes: int) -> None:
        pipe = task.pipe
        if pipe is not None and not task.drain(most_bytes):
            self._poll.unregister(pipe)

    def _reap(self, task: Task) -> None:
        if task.pidfd is None:
            return
        self._poll.unregister(task.pidfd)
        task.reap(self._clock.now_us())
        if task.out_of_memory:
            self._end_memory(task)
        elif self._reason is None and self._service.restarts(task):
            task.state, task.ended_us = "running", None
        elif task.exit_code() != 0 and self._reason is None:
            self._end("exited", None, self._plan["grace_s"])
        self._write(sync=False)

    def _reap_strangers(self) -> None:
        """Reap orphans that became children of the supervisor; `_reap` collects the tasks themselves."""
        task_pids = {task.pid for task in self._tasks}
        with contextlib.suppress(ChildProcessError):
            while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if ended.si_pid in task_pids:
                    return
                _, status = os.waitpid(ended.si_pid, 0)
                self._shells.ended(ended.si_pid, status)
                self._service.ended(ended.si_pid, status)

    def _look_for_stop(self) -> None:
        stop = files.read_json(self._folder, files.STOP)
        if stop is not None:
            if self._reason is None:
                self._end("stopped", None, float(stop["grace_s"]))
            elif self._kill_at_s is not None:
                self._kill_at_s = min(self._kill_at_s, self._ending_s + float(stop["grace_s"]))
        elif self._wake["shutdown"] and self._reason is None:
            self._end("engine_lost", text("The machine was shut down"), self._plan["grace_s"])
        elif self._reason is None and self._plan.get("service") is not None:
            drain = files.read_json(self._folder, files.DRAIN)
            if drain is not None and self._service.drain(drain["grace_s"]):
                self._end("stopped", None, self._plan["grace_s"])

    def _time_limit_s(self) -> float | None:
        limit = self._plan["time_s"]
        return None if limit is None or self._started_s is None or self._reason else self._started_s + limit

    def _check_limits(self) -> None:
        limit_s = self._time_limit_s()
        if limit_s is not None and time.monotonic() >= limit_s:
            message = text("The time limit of {seconds} s is reached", seconds=f"{self._plan['time_s']:g}")
            self._end("time_limit", message, self._plan["grace_s"])
        if self._watch.next_s() > time.monotonic():
            return
        self._watch.look()
        for task in self._tasks:
            if task.out_of_memory and task.status is None:
                self._end_memory(task)
            if task.too_many and self._reason is None:
                message = text("Task {rank} had more processes than its limit", rank=task.rank)
                self._end("exited", message, 0.0)
        if self._watch.disk_over is not None and self._reason not in ("disk_limit", "memory_limit"):
            self._end("disk_limit", self._watch.disk_over, 0.0)
        if self._watch.heartbeat_due(HEARTBEAT_S):
            os.utime(self._lock)

    def _end_memory(self, task: Task) -> None:
        if self._reason == "memory_limit":
            return
        limit_gib = task.order["limits"]["memory_bytes"] / 2**30
        message = text(
            "Task {rank} used more memory than its limit of {limit} GiB",
            rank=task.rank,
            limit=f"{limit_gib:.4g}",
        )
        self._end("memory_limit", message, 0.0)

    # -- end

    def _end(self, reason: str, message: dict[str, object] | None, grace_s: float) -> None:
        """Begin to end all tasks. If one exceeds a memory or disk limit meanwhile, that becomes the reason."""
        if self._reason is not None and reason not in ("memory_limit", "disk_limit"):
            return
        if self._reason is None or self._reason == "exited":
            self._reason, self._message = reason, message
        self._shells.end()
        self._service.end()
        self._ending_s = time.monotonic()
        kill_at_s = self._ending_s + max(grace_s, 0.0)
        self._kill_at_s = kill_at_s if self._kill_at_s is None else min(self._kill_at_s, kill_at_s)

    def _press_on(self) -> None:
        """Send SIGTERM to each process that has not received it, and SIGKILL to all once the grace is over."""
        now_s = time.monotonic()
        if self._kill_at_s is None or now_s < self._next_press_s:
            return
        self._next_press_s = now_s + PRESS_S
        kill = now_s >= self._kill_at_s
        everything = usage.processes()
        members: list[usage.Process] = []
        for task in self._tasks:
            if task.status is None:
                its_members = task.members(everything)
                members += its_members
                if kill:
                    task.kill(its_members)
                else:
                    task.hold_sandbox(its_members)
        if not kill:
            known = {process.pid for process in members}
            self._termination.tell(members + [item for item in self._leftovers() if item.pid not in known])

    def kill_everything(self) -> None:
        """Kill all processes of the attempt because the supervisor itself fails."""
        for task in self._tasks:
            with contextlib.suppress(OSError):
                task.kill(task.members())

    def _finish(self) -> None:
        self._end_strangers()
        deadline_s = time.monotonic() + LAST_WORDS_S
        for task in self._tasks:
            while task.pipe is not None and time.monotonic() < deadline_s:
                if task.drain(DRAIN_BYTES):
                    select.select([task.pipe], [], [], 0.02)
            task.close_pipe()
        self._watch.last_look()
        self._ended_us = self._clock.now_us()
        for task in self._tasks:
            if task.state != "exited":
                task.state = "exited"
                task.ended_us = self._ended_us if task.started_us is not None else None
        self._judge()
        self._state = "exited"
        if self._plan.get("checkpoint"):
            self._saved_us = saved_us(self._plan["checkpoint"])
        self._write_for_good()
        for task in self._tasks:
            if task.group is not None:
                task.group.remove()

    def _end_strangers(self) -> None:
        """Kill the job's remaining processes, which without a process namespace may be outside its process tree."""
        for _ in range(100):
            self._reap_strangers()
            left = self._leftovers()
            if not left:
                return
            for task in self._tasks:
                task.kill(left)
            time.sleep(0.01)

    def _leftovers(self) -> list[usage.Process]:
        """Return the job's processes inside and outside the process trees of its tasks, some perhaps twice."""
        left = [] if self._is_childless() else self._descendants()
        for task in self._tasks:
            if task.group is not None:
                left += usage.processes(task.group.members())
        return left

    def _is_childless(self) -> bool:
        """Return whether the supervisor has no child processes, which is much cheaper to check than a walk over /proc.

        It then has no descendants either, because orphans become its children.
        """
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return True
        return False

    def _descendants(self) -> list[usage.Process]:
        return [item for item in usage.tree(os.getpid(), usage.processes()) if item.pid != os.getpid()]

    def _judge(self) -> None:
        """Set the final end reason and message of the attempt."""
        if self._watch.disk_over is not None and self._reason in (None, "exited"):
            self._reason, self._message = "disk_limit", self._watch.disk_over
        if self._reason in (None, "exited"):
            refused = self._watch.sandbox_refusal()
            self._reason = "start_failed" if refused else "exited"
            self._message = refused or self._message or self._watch.file_size_message()

    def _value(self) -> dict[str, object]:
        return {
            "state": self._state,
            "tasks": [task.report() | self._service.report(task.rank) for task in self._tasks],
            "started_us": self._started_us,
            "ended_us": self._ended_us,
            "end_reason": self._reason if self._state == "exited" else None,
            "exit_code": self._exit_code() if self._state == "exited" else None,
            "message": self._message if self._state == "exited" else None,
            "saved_us": self._saved_us,
        }

    def _exit_code(self) -> int | None:
        """Return the exit code of the first task that failed; 0 if all succeeded, None if a task never ran."""
        codes = [task.exit_code() for task in sorted(self._tasks, key=lambda item: item.ended_us or 0)]
        failed = [code for code in codes if code]
        return failed[0] if failed else 0 if codes and None not in codes else None

    def _write(self, *, sync: bool) -> None:
        with contextlib.suppress(OSError):
            files.write_json(self._folder, files.STATE, self._value(), sync=sync)

    def _sync_state(self) -> None:
        with contextlib.suppress(OSError):
            handle = os.open(f"{self._folder}/{files.STATE}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
            files.sync_folder(self._folder)

    def _write_for_good(self) -> None:
        """Write the last state; on a full disk retry until it succeeds."""
        with contextlib.suppress(OSError):
            os.unlink(f"{self._folder}/{files.BALLAST}")
        while True:
            try:
                files.write_json(self._folder, files.STATE, self._value())
            except OSError:
                os.utime(self._lock)
                time.sleep(1.0)
            else:
                return
