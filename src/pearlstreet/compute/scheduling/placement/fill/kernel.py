"""The kernel of `expected-fill` for one demand: compiled where that pays, else in NumPy. Both give the same results."""

from __future__ import annotations

from typing import Any

import numpy as np

from pearlstreet.compute.scheduling import kernels
from pearlstreet.compute.scheduling.model import I64
from pearlstreet.compute.scheduling.placement.fill import arrays
from pearlstreet.compute.scheduling.placement.fill.demand import Tables
from pearlstreet.compute.scheduling.placement.fill.state import FillRequest, Free, Notes

_CALL_NODES = 8
"""Fixed cost of a NumPy call, in states."""
_VALUES = 1 << 15
"""States whose values the compiled kernel remembers."""


class FillKernel:
    """Values nodes and searches them, and remembers the values of states that it met."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._compiled_values: I64 | None = None
        """[·, 3] values of states, by a hash."""
        self._plain_values: arrays.Known = {}

    def _version(self, nodes: int) -> tuple[Any, Any]:
        """Return the functions to value this number of states, with the values that they remember."""
        tables = self._tables
        if not kernels.worthwhile((nodes + _CALL_NODES * (nodes > 0)) * tables.streams * tables.length):
            return arrays, self._plain_values
        from pearlstreet.compute.scheduling.placement.fill import numba_search

        if self._compiled_values is None:
            self._compiled_values = np.zeros((_VALUES, 3), dtype=np.int64)
        return numba_search, self._compiled_values

    def note(self, rows: I64, free: Free, notes: Notes) -> None:
        """Update value, free capacity and slots of the nodes `rows`."""
        version, values = self._version(len(rows))
        version.note(rows, free, self._tables, values, notes)

    def search(self, free: Free, view: Free, notes: Notes, ask: FillRequest, price: I64) -> int:
        """Return how many nodes have the lowest total, listed in `ask.equal`."""
        stale = int((ask.stamp != notes.version).sum())
        return self._search(stale, np.arange(len(ask.loss)), False, free, view, notes, ask, price)

    def renew(self, rows: I64, free: Free, view: Free, notes: Notes, ask: FillRequest, price: I64) -> None:
        """Bring the request's entries of the nodes `rows` up to date."""
        stale = int((ask.stamp[rows] != notes.version[rows]).sum())
        self._search(stale, rows, True, free, view, notes, ask, price)

    def _search(
        self,
        stale: int,
        rows: I64,
        every: bool,
        free: Free,
        view: Free,
        notes: Notes,
        ask: FillRequest,
        price: I64,
    ) -> int:
        version, values = self._version(stale)
        equal: int = version.search(rows, every, free, view, self._tables, values, notes, ask, price)
        return equal
