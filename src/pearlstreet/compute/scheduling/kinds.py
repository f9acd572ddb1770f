"""Which waiting jobs are equal in all that decides whether and where they start: such jobs are searched for once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pearlstreet.compute.scheduling.model import I64, Waiting

Key = tuple[int, ...]
"""request, tasks, org, project, array, array limit, priority, limit, fewest tasks, queue, most tasks."""

_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ divided by the golden ratio, the usual multiplicative hash
_SHIFT = np.uint64(29)


def columns(waiting: Waiting) -> tuple[I64, ...]:
    """What must be equal, column by column."""
    return (
        waiting.request.astype(np.int64),
        waiting.tasks,
        waiting.org.astype(np.int64),
        waiting.project.astype(np.int64),
        waiting.array.astype(np.int64),
        waiting.array_limit,
        waiting.priority,
        waiting.limit_us,
        waiting.min_tasks,
        waiting.queue.astype(np.int64),
        waiting.max_tasks,
    )


@dataclass(frozen=True, slots=True)
class Run:
    """Waiting jobs of one kind that follow each other in the order."""

    kind: int
    key: Key
    rows: list[int]


class Kinds:
    """Number of the kind of each row, and what the rows of a kind have in common."""

    def __init__(self, waiting: Waiting) -> None:
        self._columns = columns(waiting)
        self.of, self._first = _grouped(self._columns)
        self.count = len(self._first)

    def key(self, kind: int) -> Key:
        """The common values of a kind."""
        row = self._first[kind]
        return tuple(int(column[row]) for column in self._columns)


def _grouped(table: tuple[I64, ...]) -> tuple[I64, I64]:
    """Group number of each row and one row of each group."""
    count = len(table[0])
    if not count:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    varied = [column for column in table if (column != column[0]).any()]
    if not varied:
        return np.zeros(count, dtype=np.int64), np.zeros(1, dtype=np.int64)
    mixed = np.zeros(count, dtype=np.uint64)
    for column in varied:
        mixed = (mixed ^ column.view(np.uint64)) * _MIX
        mixed ^= mixed >> _SHIFT
    order = np.argsort(mixed, kind="stable")
    ordered = mixed[order]
    opens = np.r_[True, ordered[1:] != ordered[:-1]]
    group = np.empty(count, dtype=np.int64)
    group[order] = np.cumsum(opens) - 1
    first = order[opens]
    if any(bool((column != column[first][group]).any()) for column in varied):
        # two different rows mixed to one number: group by the rows themselves
        _, first, group = np.unique(np.stack(table, axis=1), axis=0, return_index=True, return_inverse=True)
    return group.reshape(-1).astype(np.int64), first.astype(np.int64)
