"""Which waiting jobs are equal in all that decides whether and where they start: such jobs are searched for once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pearlstreet.compute.scheduling.model import I32, I64, Waiting

Key = tuple[int, ...]
"""request, tasks, org, project, array, array limit, priority, limit, fewest tasks, queue, most tasks."""

_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ divided by the golden ratio, the usual multiplicative hash
_SHIFT = np.uint64(29)


def columns(waiting: Waiting) -> tuple[I64 | I32, ...]:
    """What must be equal, column by column."""
    return (
        waiting.request,
        waiting.tasks,
        waiting.org,
        waiting.project,
        waiting.array,
        waiting.array_limit,
        waiting.priority,
        waiting.limit_us,
        waiting.min_tasks,
        waiting.queue,
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
        self._table: I64 = np.array(columns(waiting), dtype=np.int64)
        self.of, self._first = _grouped(self._table)
        self.count = len(self._first)

    def key(self, kind: int) -> Key:
        """The common values of a kind."""
        return tuple(self._table[:, self._first[kind]].tolist())


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
