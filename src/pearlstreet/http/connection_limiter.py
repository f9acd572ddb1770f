"""Limits open connections per address and in total, and evicts idle connections to admit new ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from pearlstreet.http.refusals import CONNECTIONS, Reason

SCAN_MAX = 1_024
"""Largest number of connections examined, oldest first, to find an idle one to evict."""


class LimitedConnection(Protocol):
    """A connection that the limiter may evict."""

    def is_idle(self, now_s: float) -> bool:
        """Return whether it may be evicted: it waits for a request, or for the rest of one that arrives too slowly."""
        ...

    def abort(self) -> None:
        """End the connection at once."""
        ...


@dataclass(eq=False, slots=True)
class Slot:
    """One open connection, as the limiter counts it."""

    host: str
    key: bytes | None
    """Key of the limit per address; None for a trusted proxy, which has no such limit."""
    connection: LimitedConnection | None = None
    """The connection; None until the caller of `admit` has created it."""
    is_released: bool = field(default=False)


class ConnectionLimiter:
    """Counts open connections, in total and by address. To be used in one thread, the event loop's."""

    def __init__(self, connections: int, per_address: int) -> None:
        self._connections, self._per_address = connections, per_address
        self._slots: dict[Slot, None] = {}
        """Slots in the order of their admission."""
        self._of_address: dict[bytes, dict[Slot, None]] = {}

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def open(self) -> list[Slot]:
        """Every open connection, oldest first."""
        return list(self._slots)

    def admit(self, host: str, key: bytes | None, now_s: float) -> tuple[Slot | Reason, Slot | None]:
        """Return a slot, or the reason of the refusal; and the slot of the connection that was evicted for it, if any.

        If the address is at its limit, its oldest idle connection is evicted; if the total is, the oldest idle one of all.
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
        """Give a slot back. A second call has no effect."""
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
