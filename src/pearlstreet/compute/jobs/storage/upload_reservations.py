"""Bytes that running uploads will need, so that together they never exceed a quota that each of them would meet.

They are kept in memory: only one server uses a data folder, and the uploads of a server that died died with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pearlstreet.base.errors import TooMany
from pearlstreet.base.text import text

RUNNING_MAX = 32
"""Running uploads of one organisation: half of those that the server takes at once."""
STEP_BYTES = 16 << 20
"""An upload whose length was not said reserves so much ahead of what has arrived."""
RETRY_S = 5


@dataclass(slots=True, eq=False)
class UploadReservation:
    """What one running upload has reserved; empty until it is known where it goes."""

    org_id: str = ""
    project_id: str = ""
    size_bytes: int = 0


@dataclass(slots=True)
class UploadReservations:
    """The reservations of all running uploads."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    """Held from the look at a quota until the bytes are reserved."""
    _running: set[UploadReservation] = field(default_factory=set)

    @contextmanager
    def begin(self) -> Iterator[UploadReservation]:
        """A reservation that is released at the end, whatever becomes of the upload."""
        reservation = UploadReservation()
        with self.lock:
            self._running.add(reservation)
        try:
            yield reservation
        finally:
            with self.lock:
                self._running.discard(reservation)

    def refuse_many(self, org_id: str) -> None:
        """Raise TooMany when an organisation has as many running uploads as it may have."""
        with self.lock:
            count = sum(other.org_id == org_id for other in self._running)
        if count >= RUNNING_MAX:
            raise TooMany(
                text("The organisation already sends {most} files", most=RUNNING_MAX),
                hint=text("Wait until some of them have arrived"),
                retry_after_s=RETRY_S,
            )

    def running(self, org_id: str, project_id: str) -> int:
        """How many uploads of a project are running."""
        with self.lock:
            return sum((other.org_id, other.project_id) == (org_id, project_id) for other in self._running)

    def beside(self, own: UploadReservation, org_id: str) -> Callable[[str | None], int]:
        """Bytes that the other running uploads of an organisation, or of one project of it, have reserved."""
        with self.lock:
            others = [other for other in self._running if other is not own and other.org_id == org_id]

        def reserved(project_id: str | None) -> int:
            return sum(other.size_bytes for other in others if project_id in (None, other.project_id))

        return reserved
