"""Brings what a node of an attempt writes to the center: logs, samples and state while it runs, outputs and checkpoints besides.

Files only grow, so after a lost connection each goes on where the center's copy ends. Links are not followed and not sent.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from pearlstreet.compute.engines.cluster.exchange.client import PART_BYTES, Center, Refused, Unreachable
from pearlstreet.compute.engines.local.supervisor import files
from pearlstreet.compute.engines.staging.runner.names import is_unfinished

WITHIN_S = 20.0
"""Time for which one request of the background is repeated; what did not get through is sent in the next round."""
FINAL_S = 1800.0
"""Time for which the last results are kept and sent again while the center does not answer."""
CHECKPOINT_EVERY_S = 10.0
ENTRIES_MAX = 100_000
Mark = tuple[int, int, int]
"""Time of the last change in ns, number of files and bytes of an entry."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LogUpload:
    """Sends the logs, samples and records of a node; each `send` sends what is new.

    `saved_us`: of a checkpoint that was fetched, the time at which it lies here → that at which it was saved.
    """

    def __init__(
        self, center: Center, place: Path, ranks: range, saved_us: Mapping[int, int] | None = None
    ) -> None:
        self._center, self._place, self._ranks = center, place, ranks
        self._saved_us = saved_us or {}
        self._sizes: dict[str, int] = {}
        self._over: set[str] = set()
        self._records: dict[str, object] = {}

    def send(self, *, within_s: float = WITHIN_S) -> None:
        """Send what is new. Raises Unreachable."""
        self._send_plan(within_s)
        names = {f"logs/{name}" for name in self._log_names()} | {files.METRICS}
        for path in sorted(names - self._over):
            self._grow(path, within_s)
        for path in [path for path in self._sizes if path.startswith("logs/") and path not in names]:
            with contextlib.suppress(Refused):
                self._center.drop(path, within_s=within_s)
            self._sizes.pop(path)
        self.send_state(is_last=False, within_s=within_s)

    def send_state(self, *, is_last: bool, within_s: float) -> None:
        """Send the state file; the one that says that all is over comes last of all. Raises Unreachable."""
        state = files.read_json(str(self._place), files.STATE)
        if state is not None and state.get("saved_us") in self._saved_us:
            state = {**state, "saved_us": self._saved_us[state["saved_us"]]}
        if state is not None and (is_last or state.get("state") != "exited"):
            self._record("state", state, within_s)

    def _send_plan(self, within_s: float) -> None:
        plan = files.read_json(str(self._place), files.ORDER) if "plan" not in self._records else None
        if plan is not None:
            tasks = [{"rank": task["rank"], "devices": list(task["devices"])} for task in plan["tasks"]]
            self._record("plan", {"wall": plan["wall"], "node": plan["node"], "tasks": tasks}, within_s)

    def _record(self, name: str, value: object, within_s: float) -> None:
        if self._records.get(name) == value:
            return
        with contextlib.suppress(Refused):
            self._center.call("PUT", f"records/{name}", value, within_s=within_s)
        self._records[name] = value

    def _log_names(self) -> list[str]:
        ranks = {str(rank) for rank in self._ranks}
        with contextlib.suppress(FileNotFoundError):
            names = [path.name for path in (self._place / "logs").iterdir()]
            return [name for name in names if name.endswith(".log") and name.partition("-")[0] in ranks]
        return []

    def _grow(self, path: str, within_s: float) -> None:
        """Send what a file has more than the center. One that the center no longer wants is left out from then on."""
        handle = -1
        try:
            handle = os.open(self._place / path, _FILE)
            self._sizes[path] = send_file(
                self._center, handle, path, self._sizes.get(path, 0), within_s, create_empty=True
            )
        except Refused:
            self._over.add(path)
        except OSError:
            return
        finally:
            if handle >= 0:
                os.close(handle)


def send_file(
    center: Center, handle: int, path: str, offset: int, within_s: float, *, create_empty: bool
) -> int:
    """Send an open file from `offset` on; the size that was sent. Raises Refused, Unreachable, OSError."""
    is_repeated = False
    while True:
        data = os.pread(handle, PART_BYTES, offset)
        if not data and not (create_empty and offset == 0 and not is_repeated):
            return offset
        try:
            offset = center.put_part(path, offset, data, within_s=within_s)
        except Refused as refused:
            if refused.status != 409 or is_repeated or "size" not in refused.content or not data:
                raise
            offset = int(
                refused.content["size"]
            )  # the center has less than it said, after a failure of its disk
            if offset == 0:
                raise
        is_repeated = not data


class TreeUpload:
    """Sends the files below a folder."""

    def __init__(self, center: Center, top: Path, kind: str) -> None:
        self._center, self._top, self._kind = center, top, kind

    def send(self, entry: str = "", *, within_s: float) -> bool:
        """Send one entry of the folder, or all; False: the center refused some of it. Raises Unreachable."""
        is_whole = True
        for path, handle in walk_files(self._top, entry):
            try:
                send_file(self._center, handle, f"{self._kind}/{path}", 0, within_s, create_empty=True)
            except Refused:
                is_whole = False
            except OSError:
                is_whole = False
        return is_whole


class CheckpointUpload:
    """Sends entries of the checkpoint folder once they are in place and no longer change, on a thread of its own."""

    def __init__(self, center: Center, folder: Path) -> None:
        self._center, self._folder = center, folder
        self._tree = TreeUpload(center, folder, "checkpoint")
        self._sent = self._marks()
        self._before = dict(self._sent)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._repeat, name="checkpoints", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def finish(self) -> None:
        """Send what is left, and delete at the center what is gone. Raises Unreachable."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()
        try:
            marks = self._marks()
            self._send([name for name, mark in marks.items() if self._sent.get(name) != mark], marks, FINAL_S)
            value = {"kind": "checkpoint", "entries": [], "present": sorted(marks)}
            with contextlib.suppress(Refused):
                self._center.call("POST", "keep", value, within_s=FINAL_S)
        finally:
            self._center.close()

    def _repeat(self) -> None:
        while not self._ended.wait(CHECKPOINT_EVERY_S):
            marks = self._marks()
            steady = [
                name
                for name, mark in marks.items()
                if self._before.get(name) == mark and self._sent.get(name) != mark
            ]
            self._before = marks
            with contextlib.suppress(Unreachable):
                self._send(steady, marks, WITHIN_S)

    def _send(self, names: list[str], marks: dict[str, Mark], within_s: float) -> None:
        for name in sorted(
            names, key=lambda name: marks[name]
        ):  # so that the newest is the newest at the center, too
            if not self._tree.send(name, within_s=within_s):
                continue
            with contextlib.suppress(Refused):
                value = {"kind": "checkpoint", "entries": [name], "present": None}
                self._center.call("POST", "keep", value, within_s=within_s)
                self._sent[name] = marks[name]

    def _marks(self) -> dict[str, Mark]:
        """Return what tells whether an entry has changed, by name."""
        marks: dict[str, Mark] = {}
        with contextlib.suppress(OSError), os.scandir(self._folder) as entries:
            for entry in entries:
                if not is_unfinished(entry.name) and not entry.is_symlink():
                    with contextlib.suppress(FileNotFoundError):
                        marks[entry.name] = _mark(self._folder, entry.name)
        return marks


def _mark(folder: Path, name: str) -> Mark:
    stats = [os.fstat(handle) for _, handle in walk_files(folder, name)]
    newest = max((item.st_ctime_ns for item in stats), default=0)
    return newest, len(stats), sum(item.st_size for item in stats)


def walk_files(top: Path, entry: str = "") -> Iterator[tuple[str, int]]:
    """Yield path and descriptor of each regular file below a folder, or of one entry of it, opened without following a link."""
    left = [ENTRIES_MAX]
    with contextlib.suppress(OSError):
        handle = os.open(top, _FOLDER)
        try:
            yield from _walk(handle, "", [entry] if entry else None, left)
        finally:
            os.close(handle)


def _walk(folder: int, prefix: str, names: list[str] | None, left: list[int]) -> Iterator[tuple[str, int]]:
    for name in sorted(os.listdir(folder)) if names is None else names:
        left[0] -= 1
        if left[0] < 0:
            return
        try:
            mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                continue
            handle = os.open(name, _FOLDER if stat.S_ISDIR(mode) else _FILE, dir_fd=folder)
        except OSError:
            continue
        try:
            if stat.S_ISDIR(mode):
                yield from _walk(handle, f"{prefix}{name}/", None, left)
            elif stat.S_ISREG(os.fstat(handle).st_mode):
                yield f"{prefix}{name}", handle
        finally:
            os.close(handle)
