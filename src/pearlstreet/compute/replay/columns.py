"""Growing columns changed in place: rows are added at the end and removed anywhere without rebuilding the columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Columns:
    """Blocks of equally long columns, one block a type."""

    def __init__(self, *blocks: tuple[type[np.generic], int]) -> None:
        self.count = 0
        self.blocks: list[NDArray[Any]] = [np.zeros((width, 64), dtype=kind) for kind, width in blocks]

    def capacity_for(self, more: int) -> None:
        """Grow the columns so that this number of rows can be added."""
        have = self.blocks[0].shape[1]
        if self.count + more <= have:
            return
        larger = max(2 * have, self.count + more)
        for i, block in enumerate(self.blocks):
            grown = np.zeros((block.shape[0], larger), dtype=block.dtype)
            grown[:, : self.count] = block[:, : self.count]
            self.blocks[i] = grown

    def add(self, *values: Sequence[object]) -> None:
        """One row: the values of each block."""
        self.capacity_for(1)
        for block, row in zip(self.blocks, values, strict=True):
            block[:, self.count] = row
        self.count += 1

    def add_many(self, *tables: NDArray[Any]) -> None:
        """Many rows: a table for each block, a column of it for each row."""
        more = tables[0].shape[1]
        self.capacity_for(more)
        for block, table in zip(self.blocks, tables, strict=True):
            block[:, self.count : self.count + more] = table
        self.count += more

    def cut(self, low: int, high: int) -> None:
        """Remove the rows from `low` to before `high`; later rows move up."""
        left = self.count - (high - low)
        for block in self.blocks:
            block[:, low:left] = block[:, high : self.count]
        self.count = left

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Keep the rows where the mask is true."""
        left = int(mask.sum())
        for block in self.blocks:
            block[:, :left] = block[:, : self.count][:, mask]
        self.count = left

    def column(self, block: int, number: int) -> NDArray[Any]:
        """Return a view of one column; it follows later changes."""
        return self.blocks[block][number, : self.count]
