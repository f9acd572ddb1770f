"""Reads the logs, samples and outputs of an attempt. Content from jobs is not trusted and links are not followed."""

from __future__ import annotations

import bisect
import contextlib
import heapq
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pearlstreet.base.text import text
from pearlstreet.compute.engines.local.supervisor import files
from pearlstreet.compute.engines.local.supervisor.logs import list_segments
from pearlstreet.compute.engines.orders import stays_inside
from pearlstreet.compute.engines.protocol import LogChunk, MetricSample, OutputFile

MOST_OUTPUTS = 100_000
MOST_DEPTH = 64
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def read_log(folder: Path, rank: int, offset: int, limit: int, *, over: bool) -> LogChunk:
    """Return at most `limit` bytes of a log from `offset` on. `over`: the attempt had ended before this call."""
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
            continue  # the supervisor has just dropped this segment; the next segment's offset tells its size
        following = offset + len(data)
        return LogChunk(data, following, dropped, ended=over and following >= end)
    return LogChunk(b"", offset, dropped, ended=over)


def _read_at(path: str, offset: int, limit: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(max(limit, 0))


def read_metrics(folder: Path, since_us: int) -> list[MetricSample]:
    """Return the samples after `since_us`, oldest first: the supervisor's of processes and the server's of devices."""
    both = (_read_samples(folder / name, since_us) for name in (files.METRICS, files.DEVICE_METRICS))
    return list(heapq.merge(*both, key=lambda sample: sample.at_us))


def _read_samples(path: Path, since_us: int) -> list[MetricSample]:
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    first = bisect.bisect_right(lines, since_us, key=_time_of)
    samples = []
    for line in lines[first:]:
        with contextlib.suppress(ValueError):
            at_us, rank, kind, values = json.loads(line)
            samples.append(MetricSample(at_us, rank, kind, values))
    return samples


def _time_of(line: bytes) -> int:
    digits = line[1:].partition(b",")[0]
    return int(digits) if digits.isdigit() else 0


def list_outputs(folder: Path) -> list[OutputFile]:
    """Return the regular files beneath the outputs folder, sorted by path; unreadable entries carry their problem."""
    listing = _Listing()
    try:
        top = os.open(folder / "outputs", _FOLDER)
    except FileNotFoundError:
        return []  # the folder was deleted after the outputs were collected
    try:
        listing.read(top, "", 0)
    finally:
        os.close(top)
    return sorted(listing.files, key=lambda file: file.path) + listing.beyond()


class _Listing:
    """Walk over an outputs folder, limited to MOST_OUTPUTS entries and MOST_DEPTH levels."""

    def __init__(self) -> None:
        self.files: list[OutputFile] = []
        self._seen = 0
        self._stopped_at: str | None = None

    def beyond(self) -> list[OutputFile]:
        """Return one entry that represents all files beyond the bound, or [] if the walk was complete."""
        if self._stopped_at is None:
            return []
        most = text("the outputs folder has more than {most} files, folders and links", most=MOST_OUTPUTS)
        return [OutputFile(self._stopped_at, 0, most, stands_for_more=True)]

    def read(self, folder: int, prefix: str, depth: int) -> None:
        """List the open folder `folder` and its subfolders, one name at a time because a folder may hold millions."""
        with os.scandir(folder) as entries:
            for entry in entries:
                path = prefix + _as_text(entry.name)
                self._seen += 1
                if self._seen > MOST_OUTPUTS:
                    self._stopped_at = self._stopped_at or path
                    return
                with contextlib.suppress(FileNotFoundError):
                    self._add(folder, entry.name, path, entry.stat(follow_symlinks=False), depth)

    def _add(self, folder: int, name: str, path: str, stats: os.stat_result, depth: int) -> None:
        if stat.S_ISREG(stats.st_mode):
            problem = None if path.endswith(name) else text("its name is not UTF-8")
            self.files.append(OutputFile(path, stats.st_size, problem))
        elif stat.S_ISDIR(stats.st_mode) and depth >= MOST_DEPTH:
            problem = text("it is a folder nested more than {most} deep", most=MOST_DEPTH)
            self.files.append(OutputFile(path, 0, problem))
        elif stat.S_ISDIR(stats.st_mode):
            try:
                with _opened(name, folder) as inner:
                    self.read(inner, f"{path}/", depth + 1)
            except OSError as error:
                self.files.append(
                    OutputFile(path, 0, text("{problem}", problem=error.strerror or str(error)))
                )


def _as_text(name: str) -> str:
    """Return a file name as text in which bytes that are not UTF-8 are escaped."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


@contextlib.contextmanager
def _opened(name: str, folder: int) -> Iterator[int]:
    handle = os.open(name, _FOLDER, dir_fd=folder)
    try:
        yield handle
    finally:
        os.close(handle)


def read_output(folder: Path, path: str, offset: int, limit: int) -> bytes | None:
    """Return at most `limit` bytes of one output file; None if there is no such regular file."""
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
