"""Sends SIGTERM to every process of an attempt exactly once."""

from __future__ import annotations

import contextlib
import os
import signal
import time

from . import usage

SANDBOX = "bwrap"
"""Name of bubblewrap's own processes, which get no SIGTERM: they end with the processes of the sandbox."""
FORK_EXEC_S = 0.1
"""Age up to which a process may still be between fork and exec, where its parent's handler would swallow a SIGTERM."""

Identity = tuple[int, int]
"""Process id and start time in clock ticks; an id alone may be reused."""


class Termination:
    """Record of the processes of an attempt that received SIGTERM.

    A process that a SIGTERM handler starts, such as a copy of a checkpoint, gets none: its parent is responsible for it.
    """

    def __init__(self) -> None:
        self._told: dict[Identity, str] = {}
        """Process → name of its program when it received SIGTERM."""
        self._handling: set[int] = set()
        """Ids of processes with a handler for SIGTERM."""
        self._began_ticks: int | None = None

    def tell(self, members: list[usage.Process]) -> None:
        """Send SIGTERM to the processes of `members` that have not received it, parents before children.

        A shell whose child ended first would start the next line of its script.
        """
        first = self._began_ticks is None
        if self._began_ticks is None:
            self._began_ticks = int(time.clock_gettime(time.CLOCK_BOOTTIME) * usage.TICKS_PER_S)
        parents = {process.pid: process.parent for process in members}
        for process in sorted(members, key=lambda item: (item.start_ticks, item.pid)):
            identity = (process.pid, process.start_ticks)
            if process.comm == SANDBOX or not self._must_be_told(process):
                continue
            if (
                not first
                and identity not in self._told
                and usage.descends(process.pid, parents, self._handling)
            ):
                # recorded now, because later its parent may have ended, which shows that it descends from a handler
                self._told[identity] = process.comm
                continue
            self._told[identity] = process.comm
            if usage.catches_term(process.pid):
                self._handling.add(process.pid)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, signal.SIGTERM)

    def _must_be_told(self, process: usage.Process) -> bool:
        name = self._told.get((process.pid, process.start_ticks))
        if name is None:
            return True
        youngest = (self._began_ticks or 0) - int(FORK_EXEC_S * usage.TICKS_PER_S)
        return name != process.comm and process.start_ticks >= youngest
