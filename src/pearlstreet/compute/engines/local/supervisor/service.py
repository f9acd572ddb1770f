"""Tasks of a service in the supervisor: ports, probes, restarts and drain, also while no server runs.

A port of a task is a Unix socket in a folder that only the center's user enters, so no other tenant's sandbox reaches it. One process
of ours in the network namespace of the attempt passes its bytes on to the task's port on loopback, and counts the connections.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

from . import files
from .proxy import COUNT, check, serve
from .task import Task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

KINDS = ("readiness", "liveness")


class Rank:
    """State of one task of a service."""

    def __init__(self, task: Task, now_s: float) -> None:
        self.task = task
        self.restarts = 0
        self.begin(now_s)

    def begin(self, now_s: float) -> None:
        """Note that the task was started, for the first time or again."""
        self.is_ready = False
        self.started_s = now_s
        self.restart_at_s: float | None = None
        self.streaks = dict.fromkeys(KINDS, 0)
        """Successes in a row of each probe; below 0: failures."""
        self.next_s = dict.fromkeys(KINDS, now_s)


class Service:
    """The tasks of an attempt as a service; for an attempt that is none, every method does nothing."""

    def __init__(
        self,
        folder: str,
        plan: dict[str, Any],
        tasks: list[Task],
        run_command: Callable[[list[str], Task], int | None],
    ) -> None:
        self._folder, self._tasks = folder, tasks
        self._order: dict[str, Any] = plan.get("service") or {}
        self._run_command = run_command
        self._ranks: dict[int, Rank] = {}
        self._probes: dict[int, tuple[Rank, str, float]] = {}
        """Process of a probe → its task, kind, and the time at which it is killed."""
        self._proxy: int | None = None
        self._counts: int | None = None
        self._connections = 0
        self._drain_until_s: float | None = None
        self._is_over = False
        self.has_changed = False
        """Whether the report has changed since it was written."""

    def start(self) -> None:
        """Open the ports. Called in the network namespace of the attempt, before its tasks start. Raises OSError."""
        if not self._order:
            return
        now_s = time.monotonic()
        self._ranks = {task.rank: Rank(task, now_s) for task in self._tasks}
        ports = [
            (f"{rank}.{name}", port)
            for rank, each in self._order["ports"].items()
            for name, port in each.items()
        ]
        if not ports:
            return
        folder = f"{self._folder}/{files.PORTS}"
        os.makedirs(folder, mode=0o700, exist_ok=True)
        read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        parent = os.getpid()
        self._proxy = os.fork()
        if self._proxy == 0:
            serve(folder, ports, write, parent)
        os.close(write)
        self._counts = read

    @property
    def keeps_running(self) -> bool:
        """Whether a task that has ended is to be started again."""
        return not self._is_over and any(rank.restart_at_s is not None for rank in self._ranks.values())

    def next_s(self) -> float | None:
        """Return the time at which something is due, on the monotonic clock."""
        due = [rank.restart_at_s for rank in self._ranks.values() if rank.restart_at_s is not None]
        for rank in self._ranks.values():
            due += [rank.next_s[kind] for kind in KINDS if self._order[kind] and rank.task.status is None]
        due += [until_s for _, _, until_s in self._probes.values()]
        return min(due, default=None) if not self._is_over else None

    def restarts(self, task: Task) -> bool:
        """Return whether a task that has ended will be started again, and note when."""
        rank = self._ranks.get(task.rank)
        if rank is None or self._is_over or self._drain_until_s is not None:
            return False
        self._set_ready(rank, ready=False)
        policy = self._order["restart"]
        failed = task.exit_code() != 0
        if policy["when"] == "never" or (policy["when"] == "on_failure" and not failed):
            return False
        if rank.restarts >= policy["maximum"]:
            return False
        delay_s = min(policy["backoff_s"] * 2.0 ** min(rank.restarts, 32), policy["backoff_max_s"])
        rank.restart_at_s = time.monotonic() + delay_s
        return True

    def due_restarts(self) -> list[Task]:
        """Return the tasks to start again now, and count the restarts."""
        now_s = time.monotonic()
        due = (
            []
            if self._is_over
            else [r for r in self._ranks.values() if r.restart_at_s is not None and r.restart_at_s <= now_s]
        )
        for rank in due:
            rank.restarts += 1
            rank.begin(now_s)
            self.has_changed = True
        return [rank.task for rank in due]

    def turn(self) -> None:
        """Run due probes, end those that take too long, and read how many connections are open."""
        if not self._order or self._is_over:
            return
        self._read_counts()
        now_s = time.monotonic()
        for pid, (_, _, until_s) in self._probes.items():
            if now_s >= until_s:
                _kill(pid)
        busy = {(rank.task.rank, kind) for rank, kind, _ in self._probes.values()}
        for rank in self._ranks.values():
            if rank.task.pid is None or rank.task.status is not None:
                continue
            if self._order["readiness"] is None:
                self._set_ready(rank, ready=self._drain_until_s is None)
            for kind in KINDS:
                probe = self._order[kind]
                if probe is not None and now_s >= rank.next_s[kind] and (rank.task.rank, kind) not in busy:
                    rank.next_s[kind] = now_s + probe["period_s"]
                    self._probe(rank, kind, probe, now_s)

    def _probe(self, rank: Rank, kind: str, probe: dict[str, Any], now_s: float) -> None:
        if probe["kind"] == "exec":
            pid = self._run_command(probe["command"], rank.task)
        else:
            port, parent = self._order["ports"][str(rank.task.rank)][probe["port"]], os.getpid()
            path = probe["path"] if probe["kind"] == "http" else None
            pid = os.fork()
            if pid == 0:
                check(port, path, probe["timeout_s"], parent)
        if pid is None:
            self._note(rank, kind, passed=False)
        else:
            self._probes[pid] = rank, kind, now_s + probe["timeout_s"]

    def ended(self, pid: int, status: int) -> None:
        """Take note of the end of a process that may be a probe."""
        rank, kind, _ = self._probes.pop(pid, (None, "", 0.0))
        if pid == self._proxy:
            self._proxy = None
        if rank is not None and not self._is_over and rank.task.status is None:
            self._note(rank, kind, passed=os.waitstatus_to_exitcode(status) == 0)

    def _note(self, rank: Rank, kind: str, *, passed: bool) -> None:
        streak, probe = rank.streaks[kind], self._order[kind]
        rank.streaks[kind] = streak = max(streak, 0) + 1 if passed else min(streak, 0) - 1
        if kind == "readiness":
            if streak >= probe["successes"] and self._drain_until_s is None:
                self._set_ready(rank, ready=True)
            elif streak <= -probe["failures"]:
                self._set_ready(rank, ready=False)
        elif (
            streak <= -probe["failures"]
            and time.monotonic() >= rank.started_s + self._order["startup_grace_s"]
        ):
            rank.streaks[kind] = 0
            rank.task.kill(rank.task.members())

    def _set_ready(self, rank: Rank, *, ready: bool) -> None:
        if rank.is_ready is not ready:
            rank.is_ready = ready
            self.has_changed = True

    # -- drain and end

    def drain(self, grace_s: float) -> bool:
        """Take no more requests; return whether no connection is open any more, or the grace is over."""
        now_s = time.monotonic()
        if self._drain_until_s is None:
            self._drain_until_s = now_s + max(grace_s, 0.0)
            for rank in self._ranks.values():
                self._set_ready(rank, ready=False)
        self._read_counts()
        return self._connections == 0 or now_s >= self._drain_until_s

    def _read_counts(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._counts is not None:
                data = os.read(self._counts, COUNT.size * 1024)
                if not data:
                    os.close(self._counts)
                    self._counts, self._connections = None, 0
                else:
                    self._connections = COUNT.unpack(data[-COUNT.size :])[0]

    def end(self) -> None:
        """Close the ports and end the probes: the attempt ends."""
        self._is_over = True
        for rank in self._ranks.values():
            rank.restart_at_s = None
            self._set_ready(rank, ready=False)
        for pid in (*self._probes, self._proxy):
            if pid is not None:
                _kill(pid)

    def report(self, rank: int) -> dict[str, object]:
        """Return what the state file tells of a task beside its processes; empty for an attempt that is no service."""
        found = self._ranks.get(rank)
        return {} if found is None else {"restarts": found.restarts, "is_ready": found.is_ready}


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
