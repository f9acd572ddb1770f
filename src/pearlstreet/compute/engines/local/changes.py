"""Notices which attempts on this machine changed, without reading the files of those that did not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pearlstreet.compute.engines.change_log import ChangeLog
from pearlstreet.compute.engines.local.folders import Folders
from pearlstreet.compute.engines.local.supervisor import files
from pearlstreet.compute.engines.protocol import AttemptReport, TaskState

LOCKS_A_LOOK = 128
"""Number of attempts whose supervisors are checked in one look; with more running, they take turns."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a running attempt was like when it was last looked at."""

    file: tuple[int, int, int] | None = None
    """Inode, time of change and size of its state file."""
    content: tuple[object, ...] | None = None


class Changes:
    """Changes of the attempts of one engine object. Thread-safe.

    An attempt is read again when its supervisor has replaced its state file, or no longer holds its lock.
    """

    def __init__(self, folders: Folders, now_us: int) -> None:
        self._folders = folders
        self._log = ChangeLog(now_us)
        self._running: dict[str, _Seen] = {}
        self._guard = threading.Lock()
        self._looking = threading.Lock()
        self._turn = 0

    def follow(self, attempt_id: str) -> None:
        """Look at an attempt from now on until it has ended."""
        with self._guard:
            if attempt_id not in self._running:
                self._running[attempt_id] = _Seen()
                self._log.note(attempt_id)

    def forget(self, attempt_id: str) -> None:
        """Record that an attempt is gone."""
        with self._guard:
            self._running.pop(attempt_id, None)
            self._log.note(attempt_id)

    def since(self, cursor: str) -> tuple[list[str] | None, str]:
        """Return the attempts that changed after `cursor` (None: it is lost), and the newest cursor."""
        with self._guard:
            return self._log.since(cursor), self._log.cursor

    def look(self, report_of: Callable[[str], AttemptReport | None]) -> None:
        """Note which running attempts have changed. Raises OSError when the engine's folder cannot be read."""
        with self._looking:
            with self._guard:
                running = list(self._running.items())
            checked = self._next_turn(len(running))
            for number, (attempt_id, seen) in enumerate(running):
                folder = self._folders.attempt(attempt_id)
                file = _fingerprint(folder / files.STATE)
                is_unchanged = seen.content is not None and file == seen.file
                if is_unchanged and (number not in checked or files.is_locked(str(folder / files.LOCK))):
                    continue
                self._note(attempt_id, seen, file, report_of(attempt_id))

    def _next_turn(self, count: int) -> range:
        """Return the positions of the attempts whose locks are checked now."""
        first = self._turn if self._turn < count else 0
        self._turn = first + LOCKS_A_LOOK
        return range(first, self._turn)

    def _note(
        self, attempt_id: str, seen: _Seen, file: tuple[int, int, int] | None, report: AttemptReport | None
    ) -> None:
        content = _content(report) if report is not None else None
        with self._guard:
            if self._running.get(attempt_id) is not seen:
                return
            if content != seen.content:
                self._log.note(attempt_id)
            if report is None or report.state is TaskState.EXITED:
                del self._running[attempt_id]
            else:
                self._running[attempt_id] = _Seen(file, content)


def _fingerprint(path: Path) -> tuple[int, int, int] | None:
    """Return what differs between two versions of a file that is replaced as a whole; None if there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _content(report: AttemptReport) -> tuple[object, ...]:
    states = tuple((task.state, task.is_ready, task.restarts) for task in report.tasks)
    return report.state, states, report.started_us, report.ended_us, report.end_reason
