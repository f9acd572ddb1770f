"""Groups waiting jobs that start under the same conditions, so that the planner searches nodes once for all of a group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pearlstreet.compute.scheduling.model import I32, I64, Waiting


class JobClass(NamedTuple):
    """Values that jobs of one class share: they decide whether and where a job starts."""

    request: int
    """Index of the resource request in the snapshot."""
    tasks: int
    org: int
    project: int
    array: int
    """Index of the job array; -1: the job is in none."""
    array_limit: int
    """Elements of the array that may run at once; -1: no limit."""
    priority: int
    limit_us: int
    """Time limit in µs; 0: none."""
    min_tasks: int
    """Fewest tasks an elastic job may start with; 0: the job is not elastic."""
    queue: int
    max_tasks: int
    """Most tasks an elastic job may grow to; 0: the job is not elastic."""


_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ divided by the golden ratio, the usual multiplicative hash
_SHIFT = np.uint64(29)


def columns(waiting: Waiting) -> tuple[I64 | I32, ...]:
    """Return the columns that must be equal in two jobs of one class, in the order of JobClass."""
    return tuple(getattr(waiting, name) for name in JobClass._fields)


@dataclass(frozen=True, slots=True)
class Run:
    """Waiting jobs of one class that are adjacent in the order."""

    class_index: int
    job_class: JobClass
    rows: list[int]
    """Rows of the jobs in the snapshot's table of waiting jobs."""


class JobClasses:
    """Classes of waiting jobs: the class index of each row (`of`), and the values that the rows of a class share."""

    def __init__(self, waiting: Waiting) -> None:
        self._table: I64 = np.array(columns(waiting), dtype=np.int64)
        self.of, self._first = _grouped(self._table)
        self.count = len(self._first)

    def shared_values(self, class_index: int) -> JobClass:
        """Return the values that all rows of a class share."""
        return JobClass(*self._table[:, self._first[class_index]].tolist())


def _grouped(table: I64) -> tuple[I64, I64]:
    """Group number of each row (a column of the table) and one row of each group."""
    count = table.shape[1]
    if not count:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    varied = table[(table != table[:, :1]).any(axis=1)] if count > 1 else table[:0]
    if not len(varied):
        return np.zeros(count, dtype=np.int64), np.zeros(1, dtype=np.int64)
    mixed = np.zeros(count, dtype=np.uint64)
    for column in varied.view(np.uint64):
        mixed ^= column
        mixed *= _MIX
        mixed ^= mixed >> _SHIFT
    order = np.argsort(mixed, kind="stable")
    opens = np.empty(count, dtype=np.bool_)
    sorted_mix = mixed[order]
    opens[0] = True
    np.not_equal(sorted_mix[1:], sorted_mix[:-1], out=opens[1:])
    group = np.empty(count, dtype=np.int64)
    group[order] = np.cumsum(opens) - 1
    first = order[opens]
    if (varied != varied[:, first[group]]).any():
        # two different rows mixed to one number: group by the rows themselves
        _, first, group = np.unique(table.T, axis=0, return_index=True, return_inverse=True)
    return group.reshape(-1).astype(np.int64), first.astype(np.int64)
