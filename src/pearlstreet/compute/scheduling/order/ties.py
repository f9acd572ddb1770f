"""Tie-breaking between jobs that a policy ranks equal: submit time, then array, element and id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pearlstreet.compute.scheduling.model import I64, Bools, Snapshot
from pearlstreet.compute.scheduling.order.protocol import Columns

NEVER = np.iinfo(np.int64).max


def by_submit(snapshot: Snapshot) -> Columns:
    """Return columns that order waiting jobs by submit time, then array and element.

    Only ids may decide beyond them.
    """
    waiting = snapshot.waiting
    if not snapshot.arrays:
        return (waiting.submitted_us,)
    name_rank = {name: rank for rank, name in enumerate(sorted(snapshot.arrays))}
    array_rank = np.array([name_rank[name] for name in snapshot.arrays] + [-1], dtype=np.int64)
    return (waiting.submitted_us, array_rank[waiting.array], waiting.element)


def by_deadline(snapshot: Snapshot) -> Columns:
    """Return the columns that rank by deadline, jobs without one last, then like `by_submit`."""
    deadline = snapshot.waiting.deadline_us
    return (np.where(deadline > 0, deadline, NEVER), *by_submit(snapshot))


def ranked(columns: Columns, ids: Sequence[str]) -> I64:
    """Return numbers of the rows by the columns, then by id: the same whatever order rows came in."""
    count = len(ids)
    if count < 2:
        return np.arange(count)
    varied: list[NDArray[Any]] = []
    for column in columns:
        # a column in which all jobs are equal, or that was seen before, decides nothing
        if not any(column is one for one in varied) and (column != column[0]).any():
            varied.append(column)
    if not varied:
        return np.array(sorted(range(count), key=ids.__getitem__), dtype=np.int64)
    if len(varied) == 1:
        ordered = varied[0]
        if (ordered[1:] > ordered[:-1]).all():  # already sorted, as by submit time
            return np.arange(count)
        order = np.argsort(ordered, kind="stable")
    else:
        order = np.lexsort(varied[::-1])
    same: Bools | None = None
    for column in varied:
        ordered = column[order]
        equal = ordered[1:] == ordered[:-1]
        same = equal if same is None else same & equal
        if not same.any():
            return order
    # ids are compared among equals only: they are Python strings, and equals are few
    if same is not None:
        tied = np.zeros(count, dtype=np.bool_)
        tied[1:] = same
        groups = np.cumsum(~tied)
        tied[:-1] |= same
        at, rows = tied.nonzero()[0], order[tied].tolist()
        known = sorted(zip(groups[at].tolist(), [ids[row] for row in rows], rows, strict=True))
        order[at] = [row for _, _, row in known]
    return order
