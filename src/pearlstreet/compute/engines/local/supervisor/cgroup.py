"""Control groups of version 1 or 2: one group per task limits it, counts its use and kills all its processes.

`parents` maps a controller to the folder under which the engine's groups are; on version 2 all map to one folder.
"unified" is a version 2 hierarchy without controllers beside version 1, used only for `cgroup.kill`.
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
    """Write one setting of a control group. Raises OSError."""
    handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(handle, str(value).encode())
    finally:
        os.close(handle)


def read(path: str) -> str:
    """Return one setting or counter of a control group; "" if it does not exist."""
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def counters(raw: str) -> dict[str, int]:
    """Return name → number from lines of the form `name number`."""
    pairs = (line.split() for line in raw.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


class Group:
    """The control group of one task, with the same name under every controller's parent."""

    def __init__(self, version: int, parents: dict[str, str], name: str) -> None:
        self.version = version
        self._folders = {controller: f"{parent}/{name}" for controller, parent in parents.items()}

    def folders(self) -> list[str]:
        """Return every folder of the group, each once."""
        return list(dict.fromkeys(self._folders.values()))

    def create(self, *, memory_bytes: int, cpus: float, pids: int) -> None:
        """Create the group with its limits. Raises OSError; the caller must then `remove` the part already created."""
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
        """Write a setting that some kernels lack (swap, quota) and ignore errors."""
        with contextlib.suppress(OSError):
            self._set(controller, name, value)

    def enter(self) -> None:
        """Put the calling process into the group. Raises OSError."""
        for folder in self.folders():
            write(f"{folder}/cgroup.procs", 0)

    def members(self) -> list[int]:
        """Return the ids of the group's processes."""
        pids: set[int] = set()
        for folder in self.folders():
            pids.update(int(line) for line in read(f"{folder}/cgroup.procs").split() if line != "0")
        return sorted(pids)

    def memory_bytes(self) -> int:
        """Return the memory that the group's processes hold now, without the page cache."""
        folder = self._folders.get("memory")
        if folder is None:
            return 0
        stat = counters(read(f"{folder}/memory.stat"))
        if self.version == 2:
            return stat.get("anon", 0) + stat.get("shmem", 0) + stat.get("kernel", 0)
        return stat.get("total_rss", 0) + stat.get("total_shmem", 0)

    def cpu_s(self) -> float:
        """Return the processor time that the group has used so far."""
        if self.version == 2:
            return counters(read(f"{self._folders.get('cpu', '')}/cpu.stat")).get("usage_usec", 0) / 1e6
        raw = read(f"{self._folders.get('cpuacct', '')}/cpuacct.usage").strip()
        return int(raw) / 1e9 if raw.isdigit() else 0.0

    def oom_kills(self) -> int:
        """Return how often the kernel's out-of-memory killer killed a process of the group."""
        folder = self._folders.get("memory", "")
        file = "memory.events" if self.version == 2 else "memory.oom_control"
        return counters(read(f"{folder}/{file}")).get("oom_kill", 0)

    def kill(self) -> None:
        """Send SIGKILL to every process of the group."""
        for folder in self.folders():
            with contextlib.suppress(OSError):
                write(f"{folder}/cgroup.kill", 1)
        for pid in self.members():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def remove(self, within_s: float = REMOVE_WITHIN_S) -> bool:
        """Kill remaining processes and delete the group. Return False if a process did not end within `within_s`."""
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
