"""Finds the running elastic jobs that grow into devices which no waiting job could use, and how far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from pearlstreet.compute.scheduling.capacity import ALL, FreeCapacity, Need
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.elasticity.measures import (
    asked_tasks,
    left_us,
    resizable,
    running_tasks,
)
from pearlstreet.compute.scheduling.model import Bools, Snapshot
from pearlstreet.compute.scheduling.order.ties import ranked
from pearlstreet.compute.scheduling.preemption.rank import restart_us
from pearlstreet.compute.scheduling.timeline import Timeline

_MOST = 16
"""Attempts that grow in one cycle."""
_GAIN = 2
"""Time that growing must save, in multiples of a restart."""


class Growth(NamedTuple):
    """The number of tasks that an attempt could have, and the need that they would run with."""

    tasks: int
    need: Need


def candidates(
    snapshot: Snapshot, config_of: Callable[[int], PlannerConfig | None], leaving: Bools
) -> list[int]:
    """Return the attempts that may grow, the lowest share of requested tasks first.

    `config_of`: settings that apply to an attempt if its policy lets jobs grow.
    """
    running, now = snapshot.running, running_tasks(snapshot)
    able = (running.max_tasks > now) & ~leaving & resizable(snapshot, 0.0)
    rows = np.flatnonzero(able)
    ran_s = (snapshot.now_us - running.started_us) / 1e6
    rows = rows[[(c := config_of(a)) is not None and ran_s[a] >= c.grow_after_s for a in rows.tolist()]]
    if not len(rows):
        return []
    part = now[rows] * 1000 // np.maximum(asked_tasks(snapshot)[rows], 1)
    ids = [running.ids[row] for row in rows.tolist()]
    return list(rows[ranked((part, running.submitted_us[rows]), ids)][:_MOST].tolist())


def pays(snapshot: Snapshot, config: PlannerConfig, attempt: int, now: int, tasks: int) -> bool:
    """Return whether growing saves enough of the remaining run time, assuming that speed is proportional to tasks."""
    saved = int(left_us(snapshot)[attempt]) * (tasks - now) // tasks
    return saved >= _GAIN * int(restart_us(snapshot, config)[attempt])


def widest(
    timeline: Timeline,
    visible: FreeCapacity,
    needs: Sequence[Need],
    attempt: int,
    now: int,
    allowed: Sequence[int],
) -> Growth | None:
    """Return the most tasks the attempt could have, at most `allowed` of each need, if it alone gave back what it holds."""
    gone = np.zeros(timeline.count, dtype=np.bool_)
    gone[attempt] = True
    later = timeline.capacity_without(gone)
    capacity = later.seen(visible.usable, visible.schedulable)
    best: Growth | None = None
    for need, most in zip(needs, allowed, strict=True):
        fit = min(int(np.minimum(capacity.fit(need, ALL, False), max(most, 0)).sum()), most)
        if fit > now and (best is None or fit > best.tasks):
            best = Growth(fit, need)
    return best
