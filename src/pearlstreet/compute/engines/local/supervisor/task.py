"""One task of an attempt: its process, output pipe and control group."""

from __future__ import annotations

import contextlib
import os
import signal

from . import jail, usage
from .cgroup import Group
from .logs import LogWriter, Redactor
from .termination import SANDBOX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PIPE_BYTES = 1 << 20
F_SETPIPE_SZ = 1031
REPORT_BYTES = 64


class Task:
    """One task of the gang, from before its fork until its exit status is collected."""

    def __init__(self, plan: dict[str, Any], task: dict[str, Any], folder: str) -> None:
        self.rank: int = task["rank"]
        self.plan, self.order = plan, task
        self.pid: int | None = None
        self.pidfd: int | None = None
        self.pipe: int | None = None
        self.state = "starting"
        self.status: int | None = None
        self.failed_errno: int | None = None
        self.started_us: int | None = None
        self.ended_us: int | None = None
        self.cpu_s = 0.0
        self.memory_peak_bytes = 0
        self.memory_bytes = 0
        self.out_of_memory = False
        self.too_many = False
        self.shells: set[int] = set()
        """Processes of the shells that people have opened in the task."""
        self.is_held = False
        """Whether bubblewrap's outer process is stopped (SIGSTOP), which keeps the sandbox until its last process ends."""
        self.log = LogWriter(f"{folder}/logs", self.rank, plan["log_bytes"])
        self.redactor = Redactor([secret.encode("utf-8", "surrogateescape") for secret in plan["secrets"]])
        self.user_metrics = usage.UserMetrics(f"{folder}/user-metrics/{self.rank}.jsonl")
        groups = plan["cgroup"]
        self.group = Group(groups["version"], groups["parents"], task["group"]) if groups else None
        self._last_cpu: tuple[float, float] | None = None

    def prepare(self) -> None:
        """Create the task's control group and give its user the metrics file. Raises OSError."""
        user = self.plan["user"]
        if user is not None:
            self.user_metrics.own(user["uid"], user["gid"])
        if self.group is not None:
            limits = self.order["limits"]
            self.group.create(memory_bytes=limits["memory_bytes"], cpus=limits["cpus"], pids=limits["pids"])

    def spawn(self, command: list[bytes], variables: dict[bytes, bytes], keep: list[int]) -> None:
        """Start the command; set `failed_errno` if it cannot be executed. `keep`: descriptors that it inherits."""
        import fcntl

        out_read, out_write = os.pipe2(os.O_CLOEXEC)
        with contextlib.suppress(OSError):
            fcntl.fcntl(out_read, F_SETPIPE_SZ, PIPE_BYTES)
        report_read, report_write = os.pipe2(os.O_CLOEXEC)
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become(command, variables, out_write, report_write, keep, parent)
        os.close(out_write)
        os.close(report_write)
        self.pid, self.pidfd = pid, os.pidfd_open(pid)
        self.pipe = out_read
        os.set_blocking(out_read, False)
        raw = os.read(report_read, REPORT_BYTES)
        os.close(report_read)
        if raw:
            self.failed_errno = int(raw)

    def _become(
        self,
        command: list[bytes],
        variables: dict[bytes, bytes],
        out: int,
        report: int,
        keep: list[int],
        parent: int,
    ) -> None:
        try:
            signal.set_wakeup_fd(-1)
            null = os.open("/dev/null", os.O_RDONLY)
            os.dup2(null, 0)
            os.dup2(out, 1)
            os.dup2(out, 2)
            for handle in keep:
                os.set_inheritable(handle, True)
            if self.group is not None:
                self.group.enter()
            jail.enter(self.plan, self.order, parent)
            jail.execute(command, variables)
        except OSError as error:
            os.write(report, str(error.errno or 0).encode())
        except BaseException as error:  # noqa: BLE001  # the forked copy of the supervisor must not continue
            os.write(2, f"The task could not be prepared: {error!r}\n".encode())
            os.write(report, b"0")
        finally:
            os._exit(127)

    def drain(self, most_bytes: int) -> bool:
        """Move output from the pipe to the log. Return False at the end of the pipe."""
        while most_bytes > 0 and self.pipe is not None:
            try:
                data = os.read(self.pipe, 1 << 16)
            except BlockingIOError:
                return True
            if not data:
                self.close_pipe()
                return False
            most_bytes -= len(data)
            self.log.append(self.redactor.feed(data))
        return self.pipe is not None

    def close_pipe(self) -> None:
        """Close the output pipe and finish the log."""
        if self.pipe is not None:
            os.close(self.pipe)
            self.pipe = None
            self.log.append(self.redactor.rest())
            self.log.finish()

    def members(self, everything: list[usage.Process] | None = None) -> list[usage.Process]:
        """Return the task's living processes."""
        if self.pid is None:
            return []
        if self.group is not None:
            return usage.processes(self.group.members())
        everything = everything if everything is not None else usage.processes()
        return [one for pid in (self.pid, *self.shells) for one in usage.tree(pid, everything)]

    def hold_sandbox(self, members: list[usage.Process]) -> None:
        """Keep the sandbox until its last process has ended; bubblewrap removes it as soon as the command ends.

        SIGSTOP keeps bubblewrap's outer process from noticing the command's end, while the inner one, process 1 of the
        sandbox, waits for all processes. Called until the sandbox is empty; then bubblewrap reports the command's end.
        """
        if self.plan["sandbox"] != "bubblewrap" or self.pidfd is None:
            return
        is_empty = all(process.comm == SANDBOX for process in members)
        if is_empty is not self.is_held:
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGCONT if is_empty else signal.SIGSTOP)
        self.is_held = not is_empty

    def kill(self, members: list[usage.Process]) -> None:
        """Send SIGKILL to all processes of the task."""
        if self.group is not None:
            self.group.kill()
        if self.pidfd is not None and self.status is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        for process in members:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, signal.SIGKILL)

    def measure(self, members: list[usage.Process], now_s: float) -> dict[str, float]:
        """Return CPU percent since the last call and memory in GiB, and update peaks and limit flags."""
        if self.group is not None:
            cpu_s, self.memory_bytes = self.group.cpu_s(), self.group.memory_bytes()
            self.out_of_memory = self.out_of_memory or self.group.oom_kills() > 0
        else:
            cpu_s = sum(process.cpu_s for process in members)
            self.memory_bytes = sum(process.rss_bytes for process in members)
            limit = self.order["limits"]["memory_bytes"]
            if (
                self.memory_bytes > limit
            ):  # count shared pages once; reading them is slow, so only near the limit
                self.memory_bytes = sum(usage.proportional_bytes(process) for process in members)
            self.out_of_memory = self.out_of_memory or self.memory_bytes > limit
            self.too_many = len(members) > self.order["limits"]["pids"]
        self.memory_peak_bytes = max(self.memory_peak_bytes, self.memory_bytes)
        self.cpu_s = max(self.cpu_s, cpu_s)
        before, self._last_cpu = self._last_cpu, (now_s, self.cpu_s)
        percent = 0.0
        if before is not None and now_s > before[0]:
            percent = 100 * (self.cpu_s - before[1]) / (now_s - before[0])
        return {"cpu_percent": round(percent, 1), "memory_gib": round(self.memory_bytes / 2**30, 4)}

    def reap(self, now_us: int) -> None:
        """Collect the exit status of the process, which has ended."""
        if self.pid is None:
            return
        _, self.status, used = os.wait4(self.pid, 0)
        self.state, self.ended_us = "exited", now_us
        self.cpu_s = max(self.cpu_s, used.ru_utime + used.ru_stime)
        if self.group is not None:
            self.cpu_s = max(self.cpu_s, self.group.cpu_s())
            self.out_of_memory = self.out_of_memory or self.group.oom_kills() > 0
        self.memory_peak_bytes = max(self.memory_peak_bytes, used.ru_maxrss * 1024)
        if self.out_of_memory:
            self.memory_peak_bytes = max(self.memory_peak_bytes, self.order["limits"]["memory_bytes"])
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None

    def renew(self) -> None:
        """Forget the ended process, so that the command can be started again; its log goes on."""
        self.close_pipe()
        self.pid = self.pidfd = self.status = self.failed_errno = None
        self.is_held = False

    def exit_code(self) -> int | None:
        """Return the exit code as a shell gives it, 128 + N after signal N; None while the task runs."""
        if self.failed_errno is not None:
            return 127 if self.failed_errno in (2, 20) else 126
        if self.status is None:
            return None
        code = os.waitstatus_to_exitcode(self.status)
        return 128 - code if code < 0 else code

    def report(self) -> dict[str, object]:
        """Return the task's entry in the state file."""
        code = self.exit_code() if self.state == "exited" else None
        number = code - 128 if code is not None and 128 < code <= 128 + signal.NSIG else None
        return {
            "rank": self.rank,
            "state": self.state,
            "exit_code": code,
            "signal": number,
            "started_us": self.started_us,
            "ended_us": self.ended_us,
            "cpu_s": round(self.cpu_s, 3),
            "memory_peak_bytes": self.memory_peak_bytes,
        }
