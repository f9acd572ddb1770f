"""SIGTERM for every process of an attempt, each exactly once."""

from __future__ import annotations

import contextlib
import os
import signal
import time

from . import usage

SANDBOX = "bwrap"
"""Name of bubblewrap's own processes, which are told nothing: they end with what runs in them."""
FORK_EXEC_S = 0.1
"""A process this young may have been between fork and exec when its signal came, where handlers of its parent swallow it."""

Identity = tuple[int, int]
"""Process id and start time: ids are used again."""


class Termination:
    """Remembers which processes of an attempt were told to end.

    What a process starts while it answers its own SIGTERM (a copy of a checkpoint, say) is left to it.
    """

    def __init__(self) -> None:
        self._told: dict[Identity, str] = {}
        """Name of the program that was told."""
        self._handling: set[int] = set()
        """Processes with a handler for SIGTERM."""
        self._began_ticks: int | None = None

    def tell(self, members: list[usage.Process]) -> None:
        """Send SIGTERM to those of `members` that have not had it, parents before children.

        Parents first: a shell whose child ended before it would start its next line.
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
                self._told[identity] = (
                    process.comm
                )  # kept: it may outlive the parent that shows where it comes from
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
