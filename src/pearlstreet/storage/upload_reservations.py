"""Quota reservations of running uploads, so that several of them together do not exceed a quota.

They are in memory: only one server uses a data folder, and its running uploads end with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pearlstreet.base.errors import TooMany
from pearlstreet.base.text import text

RUNNING_MAX = 32
"""Maximum number of running uploads of one organisation, half of the server's maximum."""
STEP_BYTES = 16 << 20
"""Bytes reserved ahead of what has arrived by an upload of unknown length."""
RETRY_S = 5


@dataclass(slots=True, eq=False)
class UploadReservation:
    """Reservation of one running upload; the ids are empty until its project is known."""

    org_id: str = ""
    project_id: str = ""
    size_bytes: int = 0


@dataclass(slots=True)
class UploadReservations:
    """Reservations of all running uploads."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    """Lock held from reading a quota until the bytes are reserved."""
    _running: set[UploadReservation] = field(default_factory=set)

    @contextmanager
    def begin(self) -> Iterator[UploadReservation]:
        """Yield a reservation, which is released at the end even if the upload fails."""
        reservation = UploadReservation()
        with self.lock:
            self._running.add(reservation)
        try:
            yield reservation
        finally:
            with self.lock:
                self._running.discard(reservation)

    def refuse_many(self, org_id: str) -> None:
        """Raise TooMany if an organisation has the maximum number of running uploads."""
        with self.lock:
            count = sum(other.org_id == org_id for other in self._running)
        if count >= RUNNING_MAX:
            raise TooMany(
                text("The organisation already sends {most} files", most=RUNNING_MAX),
                hint=text("Wait until some of them have arrived"),
                retry_after_s=RETRY_S,
            )

    def running(self, org_id: str, project_id: str) -> int:
        """Return the number of running uploads of a project."""
        with self.lock:
            return sum((other.org_id, other.project_id) == (org_id, project_id) for other in self._running)

    def beside(self, own: UploadReservation, org_id: str) -> Callable[[str | None], int]:
        """Return a function for the bytes reserved by the organisation's other uploads, by project or (None) in all."""
        with self.lock:
            others = [other for other in self._running if other is not own and other.org_id == org_id]

        def reserved(project_id: str | None) -> int:
            return sum(other.size_bytes for other in others if project_id in (None, other.project_id))

        return reserved
