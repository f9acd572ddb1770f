"""Reservations: nodes and devices that a job may not take because they are held when it would run.

A node or device is held in a window for an account, or for maintenance. A job that might still run when a window of others
begins does not start there: one without a time limit never does, one with a limit does if it ends before.
"""

from __future__ import annotations

import numpy as np

from pearlstreet.compute.scheduling.capacity import FreeCapacity
from pearlstreet.compute.scheduling.model import Bools, Snapshot


class Windows:
    """Finds the windows that a job may not enter, and the free capacity without what they hold."""

    def __init__(self, snapshot: Snapshot, capacity: FreeCapacity) -> None:
        self._snapshot, self._whole = snapshot, capacity
        self._partial: dict[tuple[int, ...], FreeCapacity] = {}

    @property
    def any(self) -> bool:
        """Return whether any window exists."""
        return self._snapshot.reservations.count > 0

    def bars(self, org: int, project: int, limit_us: int) -> tuple[int, ...]:
        """Return numbers of the windows that a job of this account would run into if it started now."""
        held, now = self._snapshot.reservations, self._snapshot.now_us
        mine = (held.org == org) & ((held.project < 0) | (held.project == project))
        ahead = (held.end_us > now) & ((held.start_us < now + limit_us) if limit_us > 0 else True)
        return tuple(np.flatnonzero(ahead & ~mine).tolist())

    def capacity(self, bars: tuple[int, ...]) -> FreeCapacity:
        """Return the free capacity without what those windows hold; it shares its amounts with the whole."""
        if not bars:
            return self._whole
        found = self._partial.get(bars)
        if found is None:
            found = self._partial[bars] = self._whole.seen(*self._open(bars))
        return found

    def _open(self, bars: tuple[int, ...]) -> tuple[Bools, Bools]:
        held, rows = self._snapshot.reservations, list(bars)
        schedulable, usable = self._whole.schedulable.copy(), self._whole.usable.copy()
        node, position = held.node[rows], held.position[rows]
        whole = position < 0
        schedulable[node[whole]] = False
        usable[node[whole]] = False
        usable[node[~whole], position[~whole]] = False
        return usable, schedulable

    def follow(self) -> None:
        """Copy the caps of reservations from the whole capacity to the partial views of it."""
        for capacity in self._partial.values():
            capacity.follow(self._whole)

    def last(self, bars: tuple[int, ...]) -> tuple[str, int]:
        """Return the window that ends last, by name and end."""
        held = self._snapshot.reservations
        row = max(bars, key=lambda row: (int(held.end_us[row]), held.ids[row]))
        return held.ids[row], int(held.end_us[row])
