"""Reads what an attempt left behind: logs, samples, outputs. Whatever a job put there is never trusted or followed."""

from __future__ import annotations

import bisect
import contextlib
import heapq
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pearlstreet.compute.engines.local.supervisor import files
from pearlstreet.compute.engines.local.supervisor.logs import list_segments
from pearlstreet.compute.engines.orders import stays_inside
from pearlstreet.compute.engines.protocol import LogChunk, MetricSample, OutputFile

MOST_OUTPUTS = 100_000
MOST_DEPTH = 64
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def read_log(folder: Path, rank: int, offset: int, limit: int, *, over: bool) -> LogChunk:
    """Bytes of a log from `offset` on. `over`: the attempt had ended before this call."""
    segments = list_segments(str(folder / "logs"), rank)
    end = max((start + size for start, size, _ in segments), default=0)
    dropped = 0
    for start, size, path in segments:
        if start + size <= offset:
            continue
        if start > offset:
            dropped, offset = dropped + start - offset, start
        try:
            data = _read_at(path, offset - start, limit)
        except FileNotFoundError:
            continue  # dropped a moment ago; the next one tells how much
        following = offset + len(data)
        return LogChunk(data, following, dropped, ended=over and following >= end)
    return LogChunk(b"", offset, dropped, ended=over)


def _read_at(path: str, offset: int, limit: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(max(limit, 0))


def read_metrics(folder: Path, since_us: int) -> list[MetricSample]:
    """Samples after `since_us`, oldest first: of processes by the supervisor, of devices by the server."""
    both = (_read_samples(folder / name, since_us) for name in (files.METRICS, files.DEVICE_METRICS))
    return list(heapq.merge(*both, key=lambda sample: sample.at_us))


def _read_samples(path: Path, since_us: int) -> list[MetricSample]:
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    first = bisect.bisect_right(lines, since_us, key=_time_of)
    found = []
    for line in lines[first:]:
        with contextlib.suppress(ValueError):
            at_us, rank, kind, values = json.loads(line)
            found.append(MetricSample(at_us, rank, kind, values))
    return found


def _time_of(line: bytes) -> int:
    digits = line[1:].partition(b",")[0]
    return int(digits) if digits.isdigit() else 0


def list_outputs(folder: Path) -> list[OutputFile]:
    """Ordinary files beneath the outputs folder, by path."""
    found: list[OutputFile] = []
    top = os.open(folder / "outputs", _FOLDER)
    try:
        _list(top, "", 0, found)
    finally:
        os.close(top)
    return sorted(found, key=lambda file: file.path)


def _list(folder: int, prefix: str, depth: int, found: list[OutputFile]) -> None:
    with os.scandir(folder) as entries:
        seen = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    for name, stats in seen:
        if len(found) >= MOST_OUTPUTS:
            return
        if stat.S_ISREG(stats.st_mode):
            with contextlib.suppress(UnicodeEncodeError):
                name.encode()  # a name that is no text cannot be asked for again
                found.append(OutputFile(prefix + name, stats.st_size))
        elif stat.S_ISDIR(stats.st_mode) and depth < MOST_DEPTH:
            with contextlib.suppress(OSError), _opened(name, folder) as inner:
                _list(inner, f"{prefix}{name}/", depth + 1, found)


@contextlib.contextmanager
def _opened(name: str, folder: int) -> Iterator[int]:
    handle = os.open(name, _FOLDER, dir_fd=folder)
    try:
        yield handle
    finally:
        os.close(handle)


def read_output(folder: Path, path: str, offset: int, limit: int) -> bytes | None:
    """Bytes of one output file; None when there is no such ordinary file."""
    if not stays_inside(path):
        return None
    with contextlib.ExitStack() as stack:
        try:
            place = os.open(folder / "outputs", _FOLDER)
            stack.callback(os.close, place)
            *parents, name = [part for part in path.split("/") if part not in ("", ".")]
            for parent in parents:
                place = os.open(parent, _FOLDER, dir_fd=place)
                stack.callback(os.close, place)
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            handle = os.open(name, flags, dir_fd=place)
            stack.callback(os.close, handle)
        except (OSError, ValueError):
            return None
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        return os.pread(handle, max(limit, 0), max(offset, 0))
