"""Constraints of a case besides policy and machines: quotas, weights, reservations and maintenance windows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pearlstreet.compute.scheduling.rows import Account, Quota, Reservation

FOREVER_US = 1 << 60


@dataclass(frozen=True, slots=True)
class Held:
    """A node, or one device of it, that is kept free. Its times are µs from the first submission; without an
    organisation it is under maintenance, and what runs there at its beginning is stopped, as in the live center."""

    window: Reservation
    known_us: int = -FOREVER_US
    """Time from which the planner knows of the window."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Names of organisations and projects are those of the trace."""

    quotas: tuple[Quota, ...] = ()
    held: tuple[Held, ...] = ()
    accounts: tuple[Account, ...] = ()
    """Weights; a project that is not named has weight 1. Use is what the replay itself counts."""

    def beside(self, quotas: Iterable[Quota]) -> Terms:
        """Return the same constraints with more limits, which come before its own."""
        return replace(self, quotas=(*quotas, *self.quotas))

    def renamed(self, names: Mapping[str, str]) -> Terms:
        """Return the same constraints for nodes with other names."""
        held = (
            replace(one, window=replace(one.window, node=names.get(one.window.node, one.window.node)))
            for one in self.held
        )
        return replace(self, held=tuple(held))


NO_TERMS = Terms()
