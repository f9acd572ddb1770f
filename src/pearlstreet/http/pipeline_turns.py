"""Turns of pipelined requests: few at the same time in the whole server, so that others never queue behind thousands."""

from __future__ import annotations

from collections import deque
from typing import Protocol

AT_ONCE = 4
"""Pipelined requests answered at the same time, of all connections."""


class PipelinedConnection(Protocol):
    """A connection with requests beyond the one that was just answered."""

    def take_turn(self) -> bool:
        """Begin the next request. Returns whether there is one."""
        ...


class PipelineTurns:
    """Gives connections their turns in the order they asked. For one thread: the event loop."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._free = at_once
        self._waiting: deque[PipelinedConnection] = deque()

    def ask(self, connection: PipelinedConnection) -> None:
        """Give a turn now or later."""
        self._waiting.append(connection)
        self._serve()

    def end(self) -> None:
        """A turn has ended."""
        self._free += 1
        self._serve()

    def _serve(self) -> None:
        while self._free and self._waiting:
            self._free -= 1
            if not self._waiting.popleft().take_turn():
                self._free += 1
