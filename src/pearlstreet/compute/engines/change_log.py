"""Order in which the attempts of an engine changed, from which `Engine.observe` answers what changed since a cursor."""

from __future__ import annotations

import itertools
import os

KEPT = 20_000
"""Number of attempts whose last change is remembered (about 100 bytes each); an older cursor counts as lost."""
_logs = itertools.count(1)


class ChangeLog:
    """Attempt ids in the order of their last change. The caller holds a lock around every method.

    A cursor names this object and a position in it, so that a cursor of an earlier engine over the same folder is recognised.
    """

    def __init__(self, now_us: int, kept: int = KEPT) -> None:
        self._name = f"{now_us}.{os.getpid()}.{next(_logs)}"
        self._kept = kept
        self._position = 0
        self._forgotten = 0
        """Position of the newest change that is no longer remembered."""
        self._last: dict[str, int] = {}

    @property
    def cursor(self) -> str:
        """Cursor after the newest change."""
        return f"{self._name}/{self._position}"

    def note(self, attempt_id: str) -> None:
        """Record that an attempt appeared, changed or is gone."""
        self._position += 1
        self._last.pop(attempt_id, None)
        self._last[attempt_id] = self._position
        while len(self._last) > self._kept:
            self._forgotten = self._last.pop(next(iter(self._last)))

    def since(self, cursor: str) -> list[str] | None:
        """Return the attempts that changed after `cursor`, the oldest change first; None if the cursor is lost."""
        name, _, position = cursor.rpartition("/")
        if name != self._name or not position.isascii() or not position.isdigit():
            return None
        after = int(position)
        if not self._forgotten <= after <= self._position:
            return None
        found = list(
            itertools.takewhile(lambda attempt_id: self._last[attempt_id] > after, reversed(self._last))
        )
        return found[::-1]
