"""Columns of the tables in a snapshot, each declared once: what builder, replay and stored snapshots know of a column is derived.

A table is a dataclass whose fields are annotated with a `Column`. A new column is one such line: the builder fills it from the
attribute of that name of its rows, a replay with its default, and stored snapshots contain it; older ones are read with the default.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Any, TypeVar, cast, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import Text, text

T = TypeVar("T")

AXES: Mapping[str, str] = MappingProxyType(
    {
        "N": "nodes",
        "D": "device positions of the largest node",
        "M": "device models",
        "R": "running attempts",
        "T": "tasks of running attempts",
        "V": "devices of running attempts",
        "W": "waiting jobs and array elements",
        "Q": "quotas",
        "O": "organisations",
        "P": "projects",
        "H": "held nodes and devices",
        "S": "services of ended jobs",
        "E": "requests",
        "A": "job arrays",
        "U": "users",
        "K": "queues",
        "3": "PFLOPS·h, CPU·h, GiB·h",
    }
)
"""Axes of columns: the letter in `Column.shape` and what is counted along the axis."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a snapshot: its axes, unit, meaning, and how its values are checked."""

    shape: str
    """Axes, one letter of `AXES` each: `ND` has a row for each node and an entry for each device position."""
    unit: str
    doc: str
    refers: str = ""
    """Axis that the values are indices on; empty: they are amounts, times or flags."""
    optional: bool = False
    """Whether an index may be -1, which means none or unknown."""
    default: int | None = None
    """Value where a source does not have the column, such as an older snapshot; None: the source must have it."""
    name: str = ""
    dtype: Any = None
    """Type of the array's items; None: a tuple of strings."""


def columns_of(table: type, axis: str = "") -> tuple[Column, ...]:
    """Return the columns of a table in their order; `axis`: only those whose first axis it is."""
    return _columns(cast(Hashable, table), axis)


@cache
def _columns(table: Any, axis: str) -> tuple[Column, ...]:
    found = []
    for name, hint in get_type_hints(table, include_extras=True).items():
        array, column = get_args(hint)
        dtype = None if array == tuple[str, ...] else get_args(get_args(array)[1])[0]
        found.append(replace(column, name=name, dtype=dtype))
    return tuple(column for column in found if column.shape.startswith(axis))


def empty_table(table: type[T]) -> T:
    """Return a table without rows."""
    return table(**{column.name: _empty(column) for column in columns_of(table)})


def _empty(column: Column) -> Any:
    return () if column.dtype is None else np.zeros((0,) * len(column.shape), dtype=column.dtype)


def table_to_json(table: Any) -> dict[str, list[Any]]:
    """Return the JSON form of a table, which `TableReader` reads back exactly."""
    values = ((column.name, getattr(table, column.name)) for column in columns_of(type(table)))
    return {name: value.tolist() if isinstance(value, np.ndarray) else list(value) for name, value in values}


class TableReader:
    """Reads the tables of one stored snapshot and checks them against the schema and each other."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        """`sizes`: length of axes that are known before the first table is read."""
        self._sizes = dict(sizes)
        self._references: list[tuple[str, Column, NDArray[Any]]] = []

    def read(self, name: str, table: type[T], value: object) -> T:
        """Return the table of its JSON form. Raises InvalidInput naming the column that is not as the schema says."""
        if not isinstance(value, Mapping):
            raise _wrong(name, text("a table by column is expected"))
        columns: dict[str, Any] = {}
        late: list[Column] = []
        for column in columns_of(table):
            raw = value.get(column.name)
            if raw is None and column.default is not None:
                late.append(column)
            elif not isinstance(raw, list):
                raise _wrong(f"{name}.{column.name}", text("a list is expected"))
            else:
                columns[column.name] = self._column(f"{name}.{column.name}", column, raw)
        for column in late:
            columns[column.name] = np.full(self._sizes[column.shape], column.default, dtype=column.dtype)
        return table(**columns)

    def _column(self, where: str, column: Column, raw: list[Any]) -> Any:
        self._measure(where, column.shape[0], len(raw))
        if column.dtype is None:
            if not all(isinstance(item, str) for item in raw):
                raise _wrong(where, text("strings are expected"))
            return tuple(raw)
        if not raw:
            return np.zeros((0, *(self._sizes.get(axis, 0) for axis in column.shape[1:])), dtype=column.dtype)
        array = _array(where, column, raw)
        for axis, length in zip(column.shape[1:], array.shape[1:], strict=True):
            self._measure(where, axis, length)
        if column.refers:
            self._references.append((where, column, array))
        return array

    def _measure(self, where: str, axis: str, length: int) -> None:
        known = self._sizes.setdefault(axis, int(axis) if axis.isdigit() else length)
        if known != length:
            raise _wrong(where, text("{count} entries are expected", count=known))

    def check_references(self) -> None:
        """Raise InvalidInput if an index of the tables read so far is outside what it refers to."""
        for where, column, array in self._references:
            least, count = -1 if column.optional else 0, self._sizes[column.refers]
            if array.size and not (least <= int(array.min()) and int(array.max()) < count):
                raise _wrong(
                    where, text("indices from {least} to {most} are expected", least=least, most=count - 1)
                )


def _array(where: str, column: Column, raw: list[Any]) -> NDArray[Any]:
    """Return the array of a list whose items are numbers or flags, as the column says."""
    try:
        plain = np.asarray(raw)
        if not plain.size:
            plain = plain.astype(column.dtype)
        if plain.ndim == len(column.shape) and np.can_cast(plain.dtype, column.dtype, "same_kind"):
            array = plain.astype(column.dtype)
            if (array == plain).all():
                return array
    except (ValueError, OverflowError):
        pass
    raise _wrong(where, text("a list of {kind} is expected", kind=np.dtype(column.dtype).name))


def _wrong(where: str, problem: Text) -> InvalidInput:
    return InvalidInput(
        text("The stored snapshot is wrong at {where}: {problem}", where=where, problem=problem)
    )
