"""Limits the pipelined requests that the whole server answers at once, so that they do not delay other clients."""

from __future__ import annotations

from collections import deque
from typing import Protocol

AT_ONCE = 4
"""Pipelined requests of all connections that are answered at the same time."""


class PipelinedConnection(Protocol):
    """A connection that has further pipelined requests after the one just answered."""

    def take_turn(self) -> bool:
        """Begin the next request; return whether there is one."""
        ...


class PipelineTurns:
    """A queue of connections that wait for a turn, first come first served. To be used in one thread, the event loop's."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._free = at_once
        self._waiting: deque[PipelinedConnection] = deque()

    def ask(self, connection: PipelinedConnection) -> None:
        """Queue a connection for a turn, which may begin at once."""
        self._waiting.append(connection)
        self._serve()

    def end(self) -> None:
        """Free the turn of a request that has been answered."""
        self._free += 1
        self._serve()

    def _serve(self) -> None:
        while self._free and self._waiting:
            self._free -= 1
            if not self._waiting.popleft().take_turn():
                self._free += 1
