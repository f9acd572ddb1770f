"""What decides between jobs that a policy holds equal: submit time, then array, element and id."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pearlstreet.compute.scheduling.model import I64, Snapshot
from pearlstreet.compute.scheduling.order.protocol import Columns

NEVER = np.iinfo(np.int64).max


def by_submit(snapshot: Snapshot) -> Columns:
    """Columns that order waiting jobs by submit time, then array and element. Only ids may decide beyond them."""
    waiting = snapshot.waiting
    if not snapshot.arrays:
        return (waiting.submitted_us,)
    name_rank = {name: rank for rank, name in enumerate(sorted(snapshot.arrays))}
    array_rank = np.array([name_rank[name] for name in snapshot.arrays] + [-1], dtype=np.int64)
    return (waiting.submitted_us, array_rank[waiting.array], waiting.element)


def by_deadline(snapshot: Snapshot) -> Columns:
    """As `by_submit`, earliest deadline first, jobs without one last."""
    deadline = snapshot.waiting.deadline_us
    return (np.where(deadline > 0, deadline, NEVER), *by_submit(snapshot))


def ranked(columns: Columns, ids: Sequence[str]) -> I64:
    """Numbers of the rows by the columns, then by id: the same whatever order rows came in."""
    order = np.lexsort(columns[::-1]).astype(np.int64)
    if len(order) < 2:
        return order
    same = np.ones(len(order) - 1, dtype=np.bool_)
    for column in columns:
        ordered = column[order]
        same &= ordered[1:] == ordered[:-1]
    if not same.any():
        return order
    # ids are compared among equals only: they are Python strings, and equals are few
    edges = np.diff(np.r_[False, same, False].astype(np.int8))
    for start, end in zip(
        np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist(), strict=True
    ):
        group = order[start : end + 1].tolist()
        order[start : end + 1] = sorted(group, key=ids.__getitem__)
    return order
