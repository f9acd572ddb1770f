"""Helpers of the proof: iteration over rows in parts, and the exception for a difference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from pearlstreet.store.core import Tx

BY = 1000
"""Number of rows fetched at a time."""


class Differs(Exception):
    """A stored value differs from its recomputed value. Caught by `prove`."""

    def __init__(self, row: str, problem: str) -> None:
        super().__init__(problem)
        self.row = row


def differ(condition: bool, row: str, problem: str) -> None:
    """Raise Differs if `condition` is true."""
    if condition:
        raise Differs(row, problem)


@dataclass
class Work:
    """The books under proof, and the number of rows checked, by table."""

    tx: Tx
    checked: dict[str, int] = field(default_factory=dict)

    def walk(self, table: sa.Table, query: sa.Select[object]) -> Iterator[RowMapping]:
        """Yield the rows of a query over `table` in parts, and count them as checked."""
        for row in self.tx.connection.execute(query).yield_per(BY).mappings():
            self.checked[table.name] = self.checked.get(table.name, 0) + 1
            yield row

    def tuples(self, query: sa.Select[Any]) -> Iterator[Sequence[Any]]:
        """Yield the rows of a query as tuples in parts, without counting them."""
        yield from self.tx.connection.execute(query).yield_per(BY)


class Groups:
    """Rows ordered by a key, taken group by group in step with another iteration in the same order."""

    def __init__(self, rows: Iterator[RowMapping], key: str, what: str) -> None:
        self._rows = rows
        self._key = key
        self._what = what
        self._next = next(rows, None)

    def take(self, key: int) -> list[RowMapping]:
        """Return the rows of `key`. Raises Differs if rows of an earlier key are left, because their owner is missing."""
        group = []
        while self._next is not None and self._next[self._key] <= key:
            differ(
                self._next[self._key] < key, f"{self._what} {self._next[self._key]}", "its owner is missing"
            )
            group.append(self._next)
            self._next = next(self._rows, None)
        return group

    def end(self) -> None:
        """Raise Differs if rows are left."""
        if self._next is not None:
            raise Differs(f"{self._what} {self._next[self._key]}", "its owner is missing")
