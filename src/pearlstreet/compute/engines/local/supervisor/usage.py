"""Resource use of an attempt: its processes, deleted files, the file of samples, and metrics that the job reports."""

from __future__ import annotations

import json
import os
import signal
import stat

from .files import FULL, stat_fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    pass

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
USER_LINE_BYTES = 16 << 10
USER_READ_BYTES = 256 << 10
USER_VALUES = 64
METRICS_BYTES = 16 << 20
SAMPLE_S = 2.0
SAMPLES_PER_PACE = 1000
"""Number of samples after which the sampling interval doubles, so that the file of a long run stays bounded."""


class Process:
    """One process, read from /proc."""

    __slots__ = ("comm", "cpu_s", "parent", "pid", "rss_bytes", "start_ticks", "state")

    def __init__(self, pid: int, comm: str, fields: list[str]) -> None:
        self.pid, self.comm, self.state = pid, comm, fields[0]
        self.parent = int(fields[1])
        self.cpu_s = (int(fields[11]) + int(fields[12])) / TICKS_PER_S
        self.start_ticks = int(fields[19])
        self.rss_bytes = int(fields[21]) * PAGE_BYTES


def processes(pids: list[int] | None = None) -> list[Process]:
    """Return the living processes among `pids`, or all processes of the machine."""
    wanted = pids if pids is not None else [int(name) for name in os.listdir("/proc") if name.isdigit()]
    living = []
    for pid in wanted:
        try:
            fields = stat_fields(pid)
        except OSError:
            continue
        if fields is not None and fields[1][0] not in "ZX":
            living.append(Process(pid, *fields))
    return living


def proportional_bytes(process: Process) -> int:
    """Return a process's memory with shared pages divided among their users (PSS), or its RSS if PSS is unavailable."""
    try:
        with open(f"/proc/{process.pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return process.rss_bytes
    return process.rss_bytes


def tree(top: int, everything: list[Process]) -> list[Process]:
    """Return the process `top` and all its descendants."""
    children: dict[int, list[Process]] = {}
    for process in everything:
        children.setdefault(process.parent, []).append(process)
    processes = [process for process in everything if process.pid == top]
    waiting = [top]
    while waiting:
        for process in children.get(waiting.pop(), ()):
            processes.append(process)
            waiting.append(process.pid)
    return processes


def descends(pid: int, parents: dict[int, int], ancestors: set[int]) -> bool:
    """Return whether process `pid` descends from one of `ancestors`."""
    for _ in range(len(parents)):
        pid = parents.get(pid, 0)
        if pid in ancestors:
            return True
    return False


def catches_term(pid: int) -> bool:
    """Return whether a process has a handler for SIGTERM."""
    try:
        with open(f"/proc/{pid}/status") as file:
            caught = next((line.split()[1] for line in file if line.startswith("SigCgt:")), "0")
    except OSError:
        return False
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def deleted_bytes(pids: list[int], device: int) -> int:
    """Return the bytes on file system `device` of deleted files that are still open."""
    sizes: dict[int, int] = {}
    for pid in pids:
        try:
            names = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue
        for name in names:
            try:
                stats = os.stat(f"/proc/{pid}/fd/{name}")
            except OSError:
                continue
            if stat.S_ISREG(stats.st_mode) and stats.st_nlink == 0 and stats.st_dev == device:
                sizes[stats.st_ino] = stats.st_blocks * 512
    return sum(sizes.values())


class MetricsFile:
    """File of samples, one JSON line each, of at most METRICS_BYTES."""

    def __init__(self, path: str) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._left_bytes = METRICS_BYTES

    def add(self, at_us: int, rank: int, kind: str, values: dict[str, float]) -> None:
        """Append one sample; drop it beyond the size limit or on a full disk."""
        line = json.dumps([at_us, rank, kind, values], separators=(",", ":")).encode() + b"\n"
        self._left_bytes -= len(line)
        if self._left_bytes < 0:
            return
        try:
            os.write(self._handle, line)
        except OSError as error:
            if error.errno not in FULL:
                raise


class UserMetrics:
    """Reader of the file to which a job writes its own metrics. The content is not trusted."""

    def __init__(self, path: str) -> None:
        flags = os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        self._handle = os.open(path, flags, 0o600)
        self._rest = b""

    def own(self, uid: int, gid: int) -> None:
        """Give the file to the job's user."""
        os.fchown(self._handle, uid, gid)

    def read(self) -> list[dict[str, float]]:
        """Return the values of each complete line since the last call."""
        data = self._rest + os.read(self._handle, USER_READ_BYTES)
        lines = data.split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > USER_LINE_BYTES:
            self._rest = b""
        return [values for line in lines if (values := parse_user_line(line))]


def parse_user_line(line: bytes) -> dict[str, float]:
    """Return the finite numbers with printable names in a JSON object; {} for any other line."""
    if len(line) > USER_LINE_BYTES:
        return {}
    try:
        value: object = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(value, dict):
        return {}
    numbers: dict[str, float] = {}
    for name, item in value.items():
        if isinstance(item, bool) or not isinstance(item, int | float) or not name.isprintable():
            continue
        if 0 < len(name) <= 100 and -1e300 < item < 1e300 and len(numbers) < USER_VALUES:
            numbers[name] = float(item)
    return numbers
