"""Growing table of a snapshot: its columns by the schema, changed in place; rows are added at the end and removed anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pearlstreet.compute.scheduling.schema import Column


class _Block(NamedTuple):
    """Columns of one type; their values lie in the rows of one array."""

    dtype: Any
    columns: tuple[Column, ...]


class GrowingTable:
    """Columns of equal length. Those of one type share an array, so that a row is added with one assignment for each type."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.count = 0
        arrays = [column for column in columns if column.dtype is not None]
        types = dict.fromkeys(column.dtype for column in arrays)
        self._blocks = [_Block(dtype, tuple(c for c in arrays if c.dtype is dtype)) for dtype in types]
        self._data: list[NDArray[Any]] = [
            np.zeros((len(block.columns), 64), dtype=block.dtype) for block in self._blocks
        ]
        self._at = {
            c.name: (b, i) for b, block in enumerate(self._blocks) for i, c in enumerate(block.columns)
        }
        self.strings: dict[str, list[str]] = {c.name: [] for c in columns if c.dtype is None}
        """Columns of strings."""

    def _capacity_for(self, more: int) -> None:
        have = self._data[0].shape[1]
        if self.count + more <= have:
            return
        larger = max(2 * have, self.count + more)
        for number, block in enumerate(self._data):
            grown = np.zeros((block.shape[0], larger), dtype=block.dtype)
            grown[:, : self.count] = block[:, : self.count]
            self._data[number] = grown

    def add(self, values: Mapping[str, Any]) -> None:
        """Add a row; a column without a value gets its default."""
        self._capacity_for(1)
        for block, data in zip(self._blocks, self._data, strict=True):
            data[:, self.count] = [values.get(column.name, column.default) for column in block.columns]
        for name, items in self.strings.items():
            items.append(values[name])
        self.count += 1

    def add_many(self, **columns: NDArray[Any]) -> None:
        """Add rows: all their columns."""
        more = len(next(iter(columns.values())))
        self._capacity_for(more)
        for name, values in columns.items():
            block, row = self._at[name]
            self._data[block][row, self.count : self.count + more] = values
        self.count += more

    def cut(self, low: int, high: int) -> None:
        """Remove the rows from `low` to before `high`; later rows move up."""
        left = self.count - (high - low)
        for data in self._data:
            data[:, low:left] = data[:, high : self.count]
        for items in self.strings.values():
            del items[low:high]
        self.count = left

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return a view of one column; it follows later changes."""
        block, row = self._at[name]
        return self._data[block][row, : self.count]

    def columns(self) -> dict[str, Any]:
        """Return views of all columns, and copies of those of strings."""
        strings = {name: tuple(items) for name, items in self.strings.items()}
        return {**strings, **{name: self[name] for name in self._at}}
