"""File formats that engine and supervisor share: atomic JSON files, the supervisor's lock, process identities."""

from __future__ import annotations

import errno
import os
import time

from ...staging.runner.records import hold_lock as hold_lock
from ...staging.runner.records import is_locked as is_locked
from ...staging.runner.records import read_json as read_json
from ...staging.runner.records import sync_folder as sync_folder
from ...staging.runner.records import text as text
from ...staging.runner.records import write_json as write_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ORDER = "order.json"
STOP = "stop.json"
LAUNCHED = "launched.json"
STATE = "state.json"
SHELLS = "shells"
DRAIN = "drain.json"
PORTS = "ports"
LOCK = "lock"
BALLAST = "ballast"
METRICS = "metrics.jsonl"
DEVICE_METRICS = "devices.jsonl"
SUPERVISOR_LOG = "supervisor.log"
SHARED_MEMORY = "shm"
FOLDERS = ("work", "outputs", "tmp", "home", "logs", "user-metrics")
BALLAST_BYTES = 256 << 10
"""Size of the ballast file, which is deleted on a full disk so that the attempt's end can be written."""

FULL = (errno.ENOSPC, errno.EDQUOT)


def boot_id() -> str:
    """Return the machine's boot id, which changes with every boot."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def stat_fields(pid: int) -> tuple[str, list[str]] | None:
    """Return the name of a process and the fields of /proc/PID/stat from its state on; None if it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            raw = file.read().decode("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    name, _, rest = raw.partition("(")[2].rpartition(")")
    return name, rest.split()


def start_ticks(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; with pid and boot id this identifies it uniquely."""
    process = stat_fields(pid)
    return None if process is None else int(process[1][19])


def identity() -> dict[str, object]:
    """Return the identity of this process: pid, start time in clock ticks, boot id."""
    return {"pid": os.getpid(), "start_ticks": start_ticks(os.getpid()), "boot_id": boot_id()}


class WallClock:
    """Clock in microseconds since 1970 UTC that never steps back but follows the wall clock forward."""

    def __init__(self, wall_ns: Any = time.time_ns, monotonic_ns: Any = time.monotonic_ns) -> None:
        self._wall_ns, self._monotonic_ns = wall_ns, monotonic_ns
        self._last_us, self._last_ns = wall_ns() // 1000, monotonic_ns()

    def now_us(self) -> int:
        """Return the time now, in microseconds since 1970 UTC."""
        elapsed_us = (self._monotonic_ns() - self._last_ns) // 1000
        self._last_ns += elapsed_us * 1000
        self._last_us = max(self._last_us + elapsed_us, self._wall_ns() // 1000)
        return int(self._last_us)
