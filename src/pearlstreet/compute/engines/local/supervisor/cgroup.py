"""Control groups of version 1 or 2: one group per task holds its limits, counts its use and ends it as a whole.

`parents` maps a controller to the folder under which our groups are made: on version 2 all of them to one folder.
"unified" is a version 2 tree without controllers beside version 1: it is entered for `cgroup.kill` alone.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time

CPU_PERIOD_US = 100_000
REMOVE_WITHIN_S = 2.0


def write(path: str, value: object) -> None:
    """One setting. Raises OSError."""
    handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(handle, str(value).encode())
    finally:
        os.close(handle)


def read(path: str) -> str:
    """One setting or counter; "" when it is not there."""
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def counters(raw: str) -> dict[str, int]:
    """`name number` lines."""
    pairs = (line.split() for line in raw.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


class Group:
    """The group of one task, the same name under every controller's parent."""

    def __init__(self, version: int, parents: dict[str, str], name: str) -> None:
        self.version = version
        self._folders = {controller: f"{parent}/{name}" for controller, parent in parents.items()}

    def folders(self) -> list[str]:
        """Every folder of the group, each once."""
        return list(dict.fromkeys(self._folders.values()))

    def create(self, *, memory_bytes: int, cpus: float, pids: int) -> None:
        """Make it with its limits. Raises OSError; what was made until then is `remove`d by the caller."""
        for folder in self.folders():
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, 0o755)
        quota = max(int(cpus * CPU_PERIOD_US), 1000)
        if self.version == 2:
            self._set("memory", "memory.max", memory_bytes)
            self._try("memory", "memory.swap.max", 0)
            self._try("memory", "memory.oom.group", 1)
            self._try("cpu", "cpu.max", f"{quota} {CPU_PERIOD_US}")
        else:
            self._set("memory", "memory.limit_in_bytes", memory_bytes)
            self._try("memory", "memory.memsw.limit_in_bytes", memory_bytes)
            self._try("cpu", "cpu.cfs_period_us", CPU_PERIOD_US)
            self._try("cpu", "cpu.cfs_quota_us", quota)
        self._try("pids", "pids.max", pids)

    def _set(self, controller: str, name: str, value: object) -> None:
        folder = self._folders.get(controller)
        if folder is not None:
            write(f"{folder}/{name}", value)

    def _try(self, controller: str, name: str, value: object) -> None:
        """A setting not every kernel has (swap, quota)."""
        with contextlib.suppress(OSError):
            self._set(controller, name, value)

    def enter(self) -> None:
        """Put the calling process into the group. Raises OSError."""
        for folder in self.folders():
            write(f"{folder}/cgroup.procs", 0)

    def members(self) -> list[int]:
        """The processes in it."""
        pids: set[int] = set()
        for folder in self.folders():
            pids.update(int(line) for line in read(f"{folder}/cgroup.procs").split() if line != "0")
        return sorted(pids)

    def memory_bytes(self) -> int:
        """What its processes hold now, without what the page cache could give back."""
        folder = self._folders.get("memory")
        if folder is None:
            return 0
        stat = counters(read(f"{folder}/memory.stat"))
        if self.version == 2:
            return stat.get("anon", 0) + stat.get("shmem", 0) + stat.get("kernel", 0)
        return stat.get("total_rss", 0) + stat.get("total_shmem", 0)

    def cpu_s(self) -> float:
        """Processor time used so far."""
        if self.version == 2:
            return counters(read(f"{self._folders.get('cpu', '')}/cpu.stat")).get("usage_usec", 0) / 1e6
        raw = read(f"{self._folders.get('cpuacct', '')}/cpuacct.usage").strip()
        return int(raw) / 1e9 if raw.isdigit() else 0.0

    def oom_kills(self) -> int:
        """How often the kernel killed a process of the group for its memory."""
        folder = self._folders.get("memory", "")
        file = "memory.events" if self.version == 2 else "memory.oom_control"
        return counters(read(f"{folder}/{file}")).get("oom_kill", 0)

    def kill(self) -> None:
        """SIGKILL to everything in it."""
        for folder in self.folders():
            with contextlib.suppress(OSError):
                write(f"{folder}/cgroup.kill", 1)
        for pid in self.members():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def remove(self, within_s: float = REMOVE_WITHIN_S) -> bool:
        """Kill what is left and delete the group. False when something in it would not die in time."""
        deadline = time.monotonic() + within_s
        left = [folder for folder in self.folders() if os.path.isdir(folder)]
        while left:
            left = [folder for folder in left if not _rmdir(folder)]
            if not left or time.monotonic() > deadline:
                break
            self.kill()
            time.sleep(0.01)
        return not left


def _rmdir(folder: str) -> bool:
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError as error:
        return error.errno not in (errno.EBUSY, errno.ENOTEMPTY)
    return True
