"""Trace of a world's events with a running hash; the same seed must give the same hash."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

KEPT = 4000


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the trace."""

    step: int
    at_us: int
    who: str
    what: str


class Trace:
    """The last events, and the hash of all."""

    def __init__(self, kept: int = KEPT) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._events: deque[Event] = deque(maxlen=kept)
        self.count = 0

    def note(self, step: int, at_us: int, who: str, what: str) -> None:
        """Add an event."""
        self._hash.update(f"{step} {at_us} {who} {what}\n".encode())
        self._events.append(Event(step, at_us, who, what))
        self.count += 1

    def digest(self) -> str:
        """Return the hash of all events so far."""
        return self._hash.hexdigest()

    def of_steps(self, first: int, last: int) -> Iterator[Event]:
        """Return the events of the steps from `first` to `last` that are still kept."""
        return (event for event in self._events if first <= event.step <= last)
