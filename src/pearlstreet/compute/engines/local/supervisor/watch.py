"""Measurement of a running attempt: samples of its use, the disk limit, metrics that the job reports."""

from __future__ import annotations

import os
import re
import signal
import time

from . import disk, files, usage
from .files import text
from .logs import list_segments
from .task import Task

LOOK_S = 0.5
LOOK_UNMETERED_S = 0.1
"""Interval of measurements without control groups; memory is checked against the limit only this often."""
DISK_S = 2.0
DISK_SHARE = 20
"""Counting files may take at most 1/DISK_SHARE of the supervisor's time."""
HOST_FLOOR_BYTES = 256 << 20
"""Free space on the host below which an attempt that still grows is ended."""
NEVER_TOO_MUCH = 1 << 62
SIGXFSZ_CODE = 128 + signal.SIGXFSZ
"""Exit code of a command that was ended for writing beyond the largest permitted file size."""
LARGE_SHARE = 10
"""A file is named when it takes at least this fraction (1/LARGE_SHARE) of the disk limit."""
USED_SINCE_BYTES = 64 << 20
SANDBOX_SAYS = re.compile(
    rb"^bwrap: (?:execvp [^\n]*|Can't [^\n]*|[^\n]*[Pp]ermission denied|[^\n]*not permitted)$"
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Watch:
    """Measurements of one attempt."""

    def __init__(self, folder: str, plan: dict[str, Any], tasks: list[Task], clock: files.WallClock) -> None:
        self._folder, self._plan, self._tasks, self._clock = folder, plan, tasks, clock
        self._folders = [f"{folder}/{name}" for name in ("work", "tmp", "home", "user-metrics")]
        if plan.get("shared_on_disk"):
            self._folders.append(f"{folder}/{files.SHARED_MEMORY}")
        # A checkpoint folder counts whole, so that what earlier attempts left there counts against the disk limit, too.
        self._mounts: list[str] = [path for path in plan["owned"] if path != plan.get("checkpoint")]
        if plan.get("checkpoint"):
            self._folders.append(plan["checkpoint"])
        self._before = self._count_mounts(NEVER_TOO_MUCH, NEVER_TOO_MUCH)
        self._metrics = usage.MetricsFile(f"{folder}/{files.METRICS}")
        self._device = os.stat(folder).st_dev
        self.disk_over: dict[str, object] | None = None
        self.disk_bytes = 0
        self._largest_path, self._largest_bytes = "", 0
        self._free_bytes = self._free()
        self._look_s = LOOK_S if plan["cgroup"] else LOOK_UNMETERED_S
        self._next_look_s = time.monotonic()
        self._next_sample_s = time.monotonic() + usage.SAMPLE_S / 2
        self._next_disk_s = time.monotonic() + DISK_S / 2
        self._next_beat_s = 0.0
        self._pace_s = usage.SAMPLE_S
        self._samples = 0

    def next_s(self) -> float:
        """Return the monotonic time of the next measurement."""
        return self._next_look_s

    def heartbeat_due(self, every_s: float) -> bool:
        """Return whether the supervisor must update its heartbeat again."""
        now_s = time.monotonic()
        if now_s < self._next_beat_s:
            return False
        self._next_beat_s = now_s + every_s
        return True

    def look(self) -> None:
        """Take the measurements that are due."""
        now_s = time.monotonic()
        self._next_look_s = now_s + self._look_s
        sample = now_s >= self._next_sample_s
        everything = None if self._plan["cgroup"] else usage.processes()
        for task in self._tasks:
            if task.status is None and (sample or not self._plan["cgroup"] or task.group is not None):
                values = (
                    task.measure(task.members(everything) if everything is not None else [], now_s)
                    if (sample or everything is not None)
                    else self._glance(task)
                )
                if sample and values:
                    self._metrics.add(self._clock.now_us(), task.rank, "use", self._with_disk(values))
        self._user_metrics()
        if sample:
            self._pace(now_s)
        self._disk(now_s)

    def _glance(self, task: Task) -> dict[str, float]:
        """Read only the kernel's count of out-of-memory kills, between two samples."""
        if task.group is not None and task.group.oom_kills() > 0:
            task.out_of_memory = True
        return {}

    def _with_disk(self, values: dict[str, float]) -> dict[str, float]:
        return {**values, "disk_gib": round(self.disk_bytes / 2**30, 4)}

    def _pace(self, now_s: float) -> None:
        self._samples += 1
        if self._samples % usage.SAMPLES_PER_PACE == 0:
            self._pace_s *= 2
        self._next_sample_s = now_s + self._pace_s

    def _user_metrics(self) -> None:
        for task in self._tasks:
            for values in task.user_metrics.read():
                self._metrics.add(self._clock.now_us(), task.rank, "user", values)

    def _free(self) -> int:
        stats = os.statvfs(self._folder)
        return stats.f_bavail * stats.f_frsize

    def _disk(self, now_s: float, *, now: bool = False) -> None:
        """Count disk use if it is due or if the host's free space falls fast, and check the limits."""
        limit = self._plan["disk_bytes"]
        free = self._free()
        fell = self._free_bytes - free > max(limit // 10, USED_SINCE_BYTES // 4) or free < HOST_FLOOR_BYTES
        if not now and now_s < self._next_disk_s and not fell:
            return
        pids = [process.pid for task in self._tasks if task.status is None for process in task.members()]
        before = self.disk_bytes
        named, mounted = self._count_folders(limit)
        deleted = usage.deleted_bytes(pids, self._device)
        mounted_bytes = max(mounted.counted_bytes - self._before.counted_bytes, 0)
        self.disk_bytes = named.counted_bytes + mounted_bytes + deleted
        self._largest_path = named.largest_path.removeprefix(f"{self._folder}/")
        self._largest_bytes = named.largest_bytes
        self._free_bytes = free
        self._next_disk_s = now_s + max(DISK_S, DISK_SHARE * (time.monotonic() - now_s))
        files_max = disk.files_limit(limit)
        if named.files + max(mounted.files - self._before.files, 0) > files_max:
            self.disk_over = text(
                "The attempt made more than {most} files, which is its limit with {limit} GiB of disk",
                most=files_max,
                limit=f"{limit / 2**30:.4g}",
            )
        elif self.disk_bytes > limit or named.is_too_deep or mounted.is_too_deep:
            allocated = named.allocated_bytes + mounted_bytes + deleted
            self.disk_over = disk_message(named, allocated, limit, self._largest_path)
        elif free < HOST_FLOOR_BYTES and self.disk_bytes - before > USED_SINCE_BYTES:
            self.disk_over = text("The disk of the machine is full, and this attempt went on filling it")

    def check_disk(self) -> None:
        """Count disk use now, even if the next count is not due."""
        self._disk(time.monotonic(), now=True)

    def _count_folders(self, limit: int) -> tuple[disk.DiskCount, disk.DiskCount]:
        """Return the counts of the attempt's own folders and of the mounts that it may write."""
        files_max = disk.files_limit(limit)
        walk = disk.DiskWalk(limit, files_max)
        walk.add([f"{self._folder}/outputs"], outputs=True)
        walk.add(self._folders)
        return walk.count, self._count_mounts(
            limit + self._before.counted_bytes, files_max + self._before.files
        )

    def _count_mounts(self, bytes_max: int, files_max: int) -> disk.DiskCount:
        walk = disk.DiskWalk(bytes_max, files_max)
        walk.add(self._mounts)
        return walk.count

    def last_look(self) -> None:
        """Take the last measurements after the attempt's end, including a check of the disk limit."""
        self._user_metrics()
        if any(task.started_us is not None for task in self._tasks):
            self.check_disk()
            now_us = self._clock.now_us()
            for task in self._tasks:
                values = {
                    "cpu_seconds": round(task.cpu_s, 3),
                    "memory_peak_gib": task.memory_peak_bytes / 2**30,
                }
                self._metrics.add(now_us, task.rank, "use", self._with_disk(values))

    def file_size_message(self) -> dict[str, object] | None:
        """Say which file reached the largest permitted size, which is the disk limit; None: no task failed by that.

        The kernel cuts a write at the limit, then sends SIGXFSZ or fails the next write with EFBIG.
        """
        limit, codes = self._plan["disk_bytes"], [task.exit_code() for task in self._tasks]
        is_at_limit = self._largest_bytes >= limit
        if SIGXFSZ_CODE not in codes and not (is_at_limit and any(codes)):
            return None
        if not self._largest_path:
            return text(
                "A file became larger than the disk limit of {limit} GiB, and the write was refused",
                limit=f"{limit / 2**30:.4g}",
            )
        return text(
            "A file became larger than the disk limit of {limit} GiB, and the write was refused; the largest file is "
            "{path}, {size} GiB",
            limit=f"{limit / 2**30:.4g}",
            path=ascii(self._largest_path[:200]),
            size=f"{self._largest_bytes / 2**30:.4g}",
        )

    def sandbox_refusal(self) -> dict[str, object] | None:
        """Return bubblewrap's error if it could not execute the command; None if the command ran."""
        if self._plan["sandbox"] != "bubblewrap":
            return None
        for task in self._tasks:
            segments = list_segments(f"{self._folder}/logs", task.rank)
            if task.exit_code() not in (1, 126, 127) or len(segments) != 1 or segments[0][1] > 1000:
                continue
            with open(segments[0][2], "rb") as file:
                said = file.read().strip()
            if SANDBOX_SAYS.match(said):
                reason = said.decode("utf-8", "replace").removeprefix("bwrap: ")
                return text("The command could not be started: {reason}", reason=reason)
        return None


def disk_message(named: disk.DiskCount, allocated: int, limit: int, largest_path: str) -> dict[str, object]:
    """Return the message for an exceeded disk limit; it names the output whose apparent size alone exceeds the limit."""
    limit_gib = f"{limit / 2**30:.4g}"
    if named.sparse_path and allocated <= limit and not named.is_too_deep:
        return text(
            "The output {path} has an apparent size of {size} GiB; with it the outputs are larger than the disk limit of "
            "{limit} GiB",
            path=ascii(named.sparse_path[:200]),
            size=f"{named.sparse_bytes / 2**30:.4g}",
            limit=limit_gib,
        )
    if not largest_path or named.largest_bytes < limit // LARGE_SHARE:
        return text("The attempt wrote more than its disk limit of {limit} GiB", limit=limit_gib)
    return text(
        "The attempt wrote more than its disk limit of {limit} GiB, of which {size} GiB in {path}",
        limit=limit_gib,
        size=f"{named.largest_bytes / 2**30:.4g}",
        path=ascii(largest_path[:200]),
    )
