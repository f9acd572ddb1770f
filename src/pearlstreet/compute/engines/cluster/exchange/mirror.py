"""What nodes write for an attempt, on the server's disk: only where a node of this attempt may, and no more than its limits.

The mirror has the layout of a shared folder, so the engine reads both alike. It holds no link that a node chose.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pearlstreet.base.units import GIB
from pearlstreet.compute.engines.cluster import node_folders
from pearlstreet.compute.engines.cluster.exchange.states import clean_plan, clean_state
from pearlstreet.compute.engines.local.folders import Folders
from pearlstreet.compute.engines.local.supervisor import files

INCOMING = "incoming"
"""Folder of a node in which its outputs and checkpoints arrive before they are put in place."""
UPLOADING = "uploading"
"""File of a node whose tasks have ended and whose results are on their way."""
CLAIM = "claim.json"
SAVED = "saved.json"
PATH_BYTES_MAX = 2048
DEPTH_MAX = 64
FILES_MAX = 200_000
METRICS_BYTES_MAX = 64 << 20
LOG_SLACK_BYTES = 16 << 20
"""Size by which the parts of a log may exceed its limit for a moment."""
_LOG = re.compile(r"logs/(\d{1,6})-\d{20}\.log")


class RefusedWrite(Exception):
    """Raised if a node may not write this: a path that is not its own, or more than a limit allows."""


class OffsetMismatch(Exception):
    """Raised if a write does not go on where the file ends; `size_bytes` tells where that is."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        super().__init__(size_bytes)


@dataclass(frozen=True, slots=True)
class MirroredAttempt:
    """An attempt that runs, as the exchange knows it."""

    attempt_id: str
    folder: Path
    nodes: int
    ranks_per_node: int
    checkpoint: Path | None
    stop: Mapping[str, Any] | None
    """Request to stop, as nodes find it; None: it goes on."""


class NodeMirror:
    """The part of an attempt's folder that one of its nodes may write."""

    def __init__(self, attempt: MirroredAttempt, number: int, use: DiskUse) -> None:
        self._attempt, self._number, self._use = attempt, number, use
        self.place = node_folders.node_folder(attempt.folder, number)

    @property
    def ranks(self) -> range:
        """Ranks of the attempt that run on this node."""
        return range(
            self._number * self._attempt.ranks_per_node, (self._number + 1) * self._attempt.ranks_per_node
        )

    # -- the claim

    def claim(self, nonce: str) -> bool:
        """Note that a node reports as this one; False: another did before. Repeating the same claim is allowed. Raises OSError."""
        with contextlib.suppress(FileExistsError):
            files.write_json(str(self.place), CLAIM, {"nonce": nonce}, fresh=True)
        return self.nonce == nonce

    @property
    def nonce(self) -> str:
        """What the node that reported as this one chose; empty: none did."""
        return str((files.read_json(str(self.place), CLAIM) or {}).get("nonce", ""))

    # -- files that grow

    def append(self, path: str, offset: int, data: bytes) -> int:
        """Write a part of a file, at its end or over a part that arrived before; its size. Raises RefusedWrite, OffsetMismatch, OSError."""
        target, limit_bytes = self._target(path)
        if offset == 0:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            create = os.O_CREAT if offset == 0 else 0
            handle = os.open(target, os.O_WRONLY | create | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            raise OffsetMismatch(0) from None
        except OSError as error:
            if error.errno in (errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
                raise RefusedWrite(path) from None
            raise
        with open(handle, "wb", buffering=0) as file:
            before = os.fstat(handle).st_size
            if offset > before:
                raise OffsetMismatch(before)
            if offset + len(data) > limit_bytes:
                raise RefusedWrite(path)
            self._use.add(offset + len(data) - before, is_new=before == 0 and offset == 0)
            os.ftruncate(handle, offset)
            os.lseek(handle, offset, os.SEEK_SET)
            left = memoryview(data)
            while left:
                left = left[file.write(left) :]
        return offset + len(data)

    def remove(self, path: str) -> None:
        """Delete a part of a log that the node has dropped. Raises RefusedWrite, OSError."""
        if _LOG.fullmatch(path) is None:
            raise RefusedWrite(path)
        target, _ = self._target(path)
        with contextlib.suppress(FileNotFoundError):
            size_bytes = target.lstat().st_size
            target.unlink()
            self._use.add(-size_bytes, is_new=False)

    def _target(self, path: str) -> tuple[Path, int]:
        """Return where a file of the node belongs, and the largest size of it."""
        if path == files.METRICS:
            return self.place / files.METRICS, METRICS_BYTES_MAX
        log = _LOG.fullmatch(path)
        if log is not None and int(log[1]) in self.ranks:
            return self._attempt.folder / path, self._use.log_bytes
        kind, _, rest = path.partition("/")
        if kind not in ("outputs", "checkpoint") or (
            kind == "checkpoint" and self._attempt.checkpoint is None
        ):
            raise RefusedWrite(path)
        return self.place / INCOMING / kind / _inner(rest), self._use.disk_bytes

    # -- small files that are replaced

    def write_record(self, name: str, value: object) -> None:
        """Keep what the node says of its tasks, or of the plan by which it runs them. Raises RefusedWrite, OSError."""
        cleaned = (
            clean_state(value, self.ranks)
            if name == "state"
            else clean_plan(value, self.ranks)
            if name == "plan"
            else None
        )
        if cleaned is None:
            raise RefusedWrite(name)
        if name == "state" and cleaned["saved_us"] is not None and self._attempt.checkpoint is not None:
            write_saved_us(self._attempt.checkpoint, int(cleaned["saved_us"]))
        files.write_json(
            str(self.place), files.STATE if name == "state" else files.ORDER, cleaned, sync=name == "state"
        )

    def note_upload(self) -> None:
        """Note that the node's tasks are over and their results are on their way. Raises OSError."""
        (self.place / UPLOADING).touch(mode=0o600)

    # -- putting in place

    def keep_outputs(self) -> None:
        """Put the outputs that arrived among those of the attempt; of files of one name that of node 0 counts. Raises OSError."""
        self._move(self.place / INCOMING / "outputs", self._attempt.folder / "outputs")

    def keep_checkpoint(self, entries: Sequence[str], present: Sequence[str] | None) -> None:
        """Put entries of the checkpoint folder in place; with `present`, delete those that are not in it. Raises OSError, RefusedWrite."""
        folder, incoming = self._attempt.checkpoint, self.place / INCOMING / "checkpoint"
        if folder is None or not all(_is_name(name) for name in (*entries, *(present or ()))):
            raise RefusedWrite("checkpoint")
        folder.mkdir(mode=0o700, exist_ok=True)
        for name in entries:
            source, target = incoming / name, folder / name
            if not source.exists():
                continue
            if not target.exists() or (source.is_file() and target.is_file()):
                source.rename(target)
            elif source.is_dir() and target.is_dir():
                self._move(source, target)
            else:
                _delete(target)
                source.rename(target)
        if present is not None and self._number == 0:
            for path in list(folder.iterdir()):
                if path.name not in present:
                    _delete(path)

    def _move(self, source: Path, target: Path) -> None:
        for path in list(_files(source)):
            final = target / path.relative_to(source)
            try:
                final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                if self._number == 0:
                    if final.is_dir():
                        shutil.rmtree(final)
                    path.rename(final)
                else:
                    with contextlib.suppress(FileExistsError):
                        os.link(path, final)
                    path.unlink()
            except (FileExistsError, NotADirectoryError):
                continue  # another node has a file where this one has a folder


def _notes(checkpoint: Path) -> Path:
    return Folders(checkpoint.parent.parent).notes(checkpoint.name)


def write_saved_us(checkpoint: Path, saved_us: int) -> None:
    """Keep when something last came in place in a checkpoint folder, on the clock of the node that saved it. Raises OSError."""
    folder = _notes(checkpoint)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.write_json(str(folder), SAVED, {"saved_us": saved_us})


def read_saved_us(checkpoint: Path) -> int | None:
    """Return when something last came in place in a checkpoint folder; None: nothing did."""
    return (files.read_json(str(_notes(checkpoint)), SAVED) or {}).get("saved_us")


class DiskUse:
    """Bytes and files that an attempt may still write on the server's disk. Thread-safe."""

    def __init__(self, folder: Path, checkpoint: Path | None) -> None:
        limits = json.loads((folder / node_folders.ORDER).read_text("utf-8"))["order"]["limits"]
        self.disk_bytes = int(limits["disk_gib"] * GIB)
        self.log_bytes = int(limits["log_bytes"]) + LOG_SLACK_BYTES
        tasks = len(json.loads((folder / node_folders.ORDER).read_text("utf-8"))["order"]["tasks"])
        self._most_bytes = self.disk_bytes + tasks * (self.log_bytes + METRICS_BYTES_MAX)
        sizes = [path.lstat().st_size for top in (folder, checkpoint) if top for path in _files(top)]
        self._guard, self._bytes, self._files = threading.Lock(), sum(sizes), len(sizes)

    def add(self, size_bytes: int, *, is_new: bool) -> None:
        """Count a change. Raises RefusedWrite beyond the limits."""
        with self._guard:
            if size_bytes > 0 and self._bytes + size_bytes > self._most_bytes:
                raise RefusedWrite("disk limit")
            if is_new and self._files >= FILES_MAX:
                raise RefusedWrite("too many files")
            self._bytes += size_bytes
            self._files += is_new


def _inner(path: str) -> str:
    """Return a relative path that stays where it is put. Raises RefusedWrite."""
    parts = path.split("/")
    if not all(_is_name(part) for part in parts) or len(parts) > DEPTH_MAX:
        raise RefusedWrite(path)
    if len(os.fsencode(path)) > PATH_BYTES_MAX:
        raise RefusedWrite(path)
    return path


def _is_name(name: object) -> bool:
    return (
        isinstance(name, str)
        and name not in ("", ".", "..")
        and "/" not in name
        and "\0" not in name
        and len(os.fsencode(name)) <= 255
    )


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
