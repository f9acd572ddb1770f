"""What happened in a world, line by line, under one running hash: the same seed must give the same hash."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

KEPT = 4000


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the trace."""

    step: int
    at_us: int
    who: str
    what: str


class Trace:
    """The last lines, and the hash of all."""

    def __init__(self, kept: int = KEPT) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._events: deque[Event] = deque(maxlen=kept)
        self.count = 0

    def note(self, step: int, at_us: int, who: str, what: str) -> None:
        """Add a line."""
        self._hash.update(f"{step} {at_us} {who} {what}\n".encode())
        self._events.append(Event(step, at_us, who, what))
        self.count += 1

    def digest(self) -> str:
        """Of every line so far."""
        return self._hash.hexdigest()

    def of_steps(self, first: int, last: int) -> Iterator[Event]:
        """The lines of some steps, as far as they are kept."""
        return (event for event in self._events if first <= event.step <= last)
