"""Caps open connections, per address and in all, and makes room by ending those that ask for nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from pearlstreet.http.refusals import CONNECTIONS, Reason

SCAN_MAX = 1_024
"""Connections looked at, oldest first, for one to end."""


class LimitedConnection(Protocol):
    """A connection that the limiter may end to make room."""

    def is_idle(self, now_s: float) -> bool:
        """Whether no request would be lost by ending it: it waits for one, or for one that comes too slowly."""
        ...

    def abort(self) -> None:
        """End it at once."""
        ...


@dataclass(eq=False, slots=True)
class Slot:
    """The place of one open connection among those permitted."""

    host: str
    key: bytes | None
    """Key of the address limit; None: a trusted proxy, which has none."""
    connection: LimitedConnection | None = None
    """None until the caller of `admit` has made it."""
    is_released: bool = field(default=False)


class ConnectionLimiter:
    """Open connections by address. For one thread: the event loop."""

    def __init__(self, connections: int, per_address: int) -> None:
        self._connections, self._per_address = connections, per_address
        self._slots: dict[Slot, None] = {}
        """Oldest first."""
        self._of_address: dict[bytes, dict[Slot, None]] = {}

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def open(self) -> list[Slot]:
        """Every open connection, oldest first."""
        return list(self._slots)

    def admit(self, host: str, key: bytes | None, now_s: float) -> tuple[Slot | Reason, Slot | None]:
        """Return a slot, or why there is none, and the connection ended for it.

        At a cap the oldest idle connection is ended: of the address at its own cap, of all at the cap of all.
        """
        ended = None
        siblings = self._of_address.get(key) if key is not None else None
        if siblings is not None and len(siblings) >= self._per_address:
            ended = self._evict(siblings, now_s)
            if ended is None:
                return Reason.CONNECTIONS_PER_ADDRESS, None
        elif len(self._slots) >= self._connections:
            ended = self._evict(self._slots, now_s)
            if ended is None:
                return Reason.CONNECTIONS, None
        slot = Slot(host, key)
        self._slots[slot] = None
        if key is not None:
            self._of_address.setdefault(key, {})[slot] = None
        CONNECTIONS.set(len(self._slots))
        return slot, ended

    def release(self, slot: Slot) -> None:
        """Give a slot back; once more does nothing."""
        if slot.is_released:
            return
        slot.is_released = True
        del self._slots[slot]
        if slot.key is not None:
            siblings = self._of_address[slot.key]
            del siblings[slot]
            if not siblings:
                del self._of_address[slot.key]
        CONNECTIONS.set(len(self._slots))

    def _evict(self, slots: dict[Slot, None], now_s: float) -> Slot | None:
        for slot in islice(slots, SCAN_MAX):
            connection = slot.connection
            if connection is not None and connection.is_idle(now_s):
                self.release(slot)
                connection.abort()
                return slot
        return None
