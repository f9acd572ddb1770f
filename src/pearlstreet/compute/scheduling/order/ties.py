"""What decides between jobs that a policy holds equal: deadline or submit time, then array, element and id."""

from __future__ import annotations

import numpy as np

from pearlstreet.compute.scheduling.model import I64, Snapshot


def by_submit(snapshot: Snapshot) -> I64:
    """Rank of each waiting job by submit time, ties by element and id: unique, whatever order rows came in."""
    waiting = snapshot.waiting
    count = waiting.count
    by_id = np.empty(count, dtype=np.int64)
    by_id[sorted(range(count), key=waiting.ids.__getitem__)] = np.arange(count)
    name_rank = {name: rank for rank, name in enumerate(sorted(snapshot.arrays))}
    array_rank = np.array([name_rank[name] for name in snapshot.arrays] + [-1], dtype=np.int64)
    order = np.lexsort((by_id, waiting.element, array_rank[waiting.array], waiting.submitted_us))
    rank = np.empty(count, dtype=np.int64)
    rank[order] = np.arange(count)
    return rank


def by_deadline(snapshot: Snapshot) -> I64:
    """Rank of each waiting job by deadline, those without one last, ties as in `by_submit`: unique."""
    deadline = snapshot.waiting.deadline_us
    order = np.lexsort((by_submit(snapshot), np.where(deadline > 0, deadline, np.iinfo(np.int64).max)))
    rank = np.empty(snapshot.waiting.count, dtype=np.int64)
    rank[order] = np.arange(snapshot.waiting.count)
    return rank
