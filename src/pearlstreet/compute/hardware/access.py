"""Access of probes to the machine: an interface with a real implementation and one for tests with recorded output."""

from __future__ import annotations

import itertools
import os
import platform
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import psutil

T = TypeVar("T")

MAX_OUTPUT_BYTES = 4 << 20
"""Largest output of a vendor's tool that is read, more than any prints about one machine; the rest is cut."""
_BLOCK_BYTES = 64 << 10
"""Files under /proc/sys refuse reads of megabytes."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """Result of a command. Only `ok` means that it exited with 0."""

    status: Literal["ok", "missing", "timeout", "failed"]
    stdout: str = ""
    stderr: str = ""
    code: int | None = None


@dataclass(frozen=True, slots=True)
class HostAmounts:
    """CPUs and memory that this process may use, with cgroup limits and CPU affinity taken into account."""

    name: str
    cpus: float
    memory_bytes: int
    disk_free_bytes: int
    disk_total_bytes: int


class HostAccess(Protocol):
    """The machine as probes see it. No method raises for what a machine may lack or do wrong."""

    def run(self, command: Sequence[str], *, timeout_s: float) -> CommandResult:
        """Run a program found on PATH (or given by absolute path) and wait for it."""
        ...

    def read_text(self, path: str) -> str | None:
        """Return a file's content, None when it cannot be read."""
        ...

    def list_folder(self, path: str) -> tuple[str, ...]:
        """Return names in a folder, sorted; empty when it cannot be read."""
        ...

    def read_in_each(self, folder: str, file: str) -> Mapping[str, str]:
        """Return the content of `file` in every folder below `folder`, by that folder's name; what cannot be read is left out."""
        ...

    def amounts(self) -> HostAmounts:
        """Return CPU, memory and disk."""
        ...

    def nvml(self) -> Any:
        """Return a module with NVML's functions (pynvml), or None where it is not installed."""
        ...

    def guarded(self, name: str, work: Callable[[], T], *, timeout_s: float) -> T | None:
        """Run `work`, which may hang in a driver; None when it takes longer than `timeout_s` or still hangs."""
        ...


class LocalHost:
    """The machine we run on. `disk_path` is the folder whose file system jobs will fill; `output_bytes` cuts what commands print."""

    def __init__(self, disk_path: str | Path = "/", *, output_bytes: int = MAX_OUTPUT_BYTES) -> None:
        self._disk_path, self._output_bytes = str(disk_path), output_bytes
        self._lock = threading.Lock()
        self._hanging: dict[str, threading.Thread] = {}

    def run(self, command: Sequence[str], *, timeout_s: float, stdin: str = "") -> CommandResult:
        program = shutil.which(command[0])
        if program is None:
            return CommandResult("missing")
        environment = {**os.environ, "LC_ALL": "C", "LANG": "C"}
        try:
            done = subprocess.run(
                [program, *command[1:]],
                input=stdin.encode(),
                capture_output=True,
                timeout=timeout_s,
                env=environment,
                start_new_session=True,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            return CommandResult("timeout", stdout=_decode(late.stdout, self._output_bytes))
        except OSError as error:
            return CommandResult("failed", stderr=str(error))
        status: Literal["ok", "failed"] = "ok" if done.returncode == 0 else "failed"
        stdout, stderr = (_decode(output, self._output_bytes) for output in (done.stdout, done.stderr))
        return CommandResult(status, stdout, stderr, done.returncode)

    def read_text(self, path: str) -> str | None:
        try:
            with open(path, "rb") as file:
                blocks = iter(lambda: file.read(_BLOCK_BYTES), b"")
                return _decode(b"".join(itertools.islice(blocks, MAX_OUTPUT_BYTES // _BLOCK_BYTES)))
        except OSError:
            return None

    def list_folder(self, path: str) -> tuple[str, ...]:
        try:
            return tuple(sorted(entry.name for entry in Path(path).iterdir()))
        except OSError:
            return ()

    def read_in_each(self, folder: str, file: str) -> Mapping[str, str]:
        found = {name: self.read_text(f"{folder}/{name}/{file}") for name in self.list_folder(folder)}
        return {name: content for name, content in found.items() if content is not None}

    def amounts(self) -> HostAmounts:
        disk = psutil.disk_usage(self._disk_path)
        return HostAmounts(
            name=platform.node() or "localhost",
            cpus=_usable_cpus(self),
            memory_bytes=_usable_memory_bytes(self),
            disk_free_bytes=int(disk.free),
            disk_total_bytes=int(disk.total),
        )

    def nvml(self) -> object:
        try:
            import pynvml
        except ImportError:
            return None
        return pynvml

    def guarded(self, name: str, work: Callable[[], T], *, timeout_s: float) -> T | None:
        with self._lock:
            stuck = self._hanging.get(name)
            if stuck is not None and stuck.is_alive():
                return None
            box: list[T] = []
            thread = threading.Thread(target=lambda: box.append(work()), name=f"probe-{name}", daemon=True)
            self._hanging[name] = thread
        thread.start()
        thread.join(timeout_s)
        return box[0] if box else None


def _decode(output: bytes | str | None, most_bytes: int = MAX_OUTPUT_BYTES) -> str:
    if output is None:
        return ""
    raw = output if isinstance(output, bytes) else output.encode()
    return raw[:most_bytes].decode("utf-8", errors="replace")


def _usable_cpus(access: HostAccess) -> float:
    """Return CPUs that our affinity mask and cgroup quota (v2, then v1) leave us."""
    count = float(len(os.sched_getaffinity(0)))
    fields = (access.read_text("/sys/fs/cgroup/cpu.max") or "").split()
    if len(fields) == 2 and fields[0].isdecimal():
        return min(count, int(fields[0]) / int(fields[1]))
    quota = (access.read_text("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") or "").strip()
    period = (access.read_text("/sys/fs/cgroup/cpu/cpu.cfs_period_us") or "").strip()
    if quota.isdecimal() and period.isdecimal() and int(quota) > 0:
        return min(count, int(quota) / int(period))
    return count


def _usable_memory_bytes(access: HostAccess) -> int:
    """Return memory of the machine, or of our cgroup where that is less."""
    total = int(psutil.virtual_memory().total)
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        limit = (access.read_text(path) or "").strip()
        if limit.isdecimal():
            total = min(total, int(limit))
    return total
