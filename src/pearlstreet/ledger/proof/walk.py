"""What the steps of the proof share: walking over rows without holding them all, and saying what differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from pearlstreet.store.core import Tx

BY = 1000
"""Rows fetched at a time."""


class Differs(Exception):
    """Something kept is not what it should be. Caught by `prove`."""

    def __init__(self, row: str, problem: str) -> None:
        super().__init__(problem)
        self.row = row


def differ(condition: bool, row: str, problem: str) -> None:
    """Raise Differs when `condition` holds."""
    if condition:
        raise Differs(row, problem)


@dataclass
class Work:
    """The books under proof, and how many rows were looked at, by table."""

    tx: Tx
    checked: dict[str, int] = field(default_factory=dict)

    def walk(self, table: sa.Table, query: sa.Select[Any]) -> Iterator[RowMapping]:
        """Rows of a query about `table`, counted, a part at a time."""
        for row in self.tx.connection.execute(query).yield_per(BY).mappings():
            self.checked[table.name] = self.checked.get(table.name, 0) + 1
            yield row

    def tuples(self, query: sa.Select[Any]) -> Iterator[Sequence[Any]]:
        """Rows of a query, not counted, a part at a time."""
        yield from self.tx.connection.execute(query).yield_per(BY)


class Groups:
    """Rows that are ordered by a key, taken key by key alongside another walk in the same order."""

    def __init__(self, rows: Iterator[RowMapping], key: str, what: str) -> None:
        self._rows = rows
        self._key = key
        self._what = what
        self._next = next(rows, None)

    def take(self, key: int) -> list[RowMapping]:
        """The rows of `key`. Raises Differs when rows of an earlier key are left: their owner is missing."""
        found = []
        while self._next is not None and self._next[self._key] <= key:
            differ(
                self._next[self._key] < key, f"{self._what} {self._next[self._key]}", "its owner is missing"
            )
            found.append(self._next)
            self._next = next(self._rows, None)
        return found

    def end(self) -> None:
        """Raise Differs when rows are left."""
        if self._next is not None:
            raise Differs(f"{self._what} {self._next[self._key]}", "its owner is missing")
