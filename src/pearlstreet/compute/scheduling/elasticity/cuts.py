"""Finds the running elastic jobs to cut, and to how many tasks, so that a blocked job fits: the least that suffices, or nothing.

A set of cuts is tried by doing it: the attempts are taken out of the capacity, placed again with fewer tasks as the next cycle
will place them, and only if the blocked job then fits beside them is it an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from pearlstreet.compute.scheduling.capacity import FreeCapacity, Need
from pearlstreet.compute.scheduling.elasticity.measures import running_tasks
from pearlstreet.compute.scheduling.elasticity.protocol import Slack
from pearlstreet.compute.scheduling.model import I64, Bools, Snapshot
from pearlstreet.compute.scheduling.order.ties import ranked
from pearlstreet.compute.scheduling.placement.protocol import Scorer
from pearlstreet.compute.scheduling.placement.selector import NodeSelector, Placed
from pearlstreet.compute.scheduling.timeline import Timeline, fits

_ALONE, _TOGETHER = 6, 24
"""Bounds of one search: attempts tried alone, and attempts cut together."""


def place_gang(selector: NodeSelector, needs: tuple[Need, ...], tasks: int, lasting: bool) -> list[Placed]:
    """Return places for all tasks of one job, taken out of the free capacity, or none."""
    for group in (needs,) if selector.scorer.joint else tuple((need,) for need in needs):
        found = selector.singles(group, 1, lasting) if tasks == 1 else selector.gang(group, tasks, lasting)
        if found:
            return found
    return []


class WhatIf:
    """Tries cuts for one claim."""

    def __init__(
        self,
        snapshot: Snapshot,
        timeline: Timeline,
        scorer: Callable[[], Scorer],
        needs: Sequence[Need],
        tasks: int,
        leaving: Bools,
        needs_of: Callable[[int], tuple[Need, ...]],
        sight_of: Callable[[int], FreeCapacity],
    ) -> None:
        """`needs_of`: needs of a running attempt's request; `sight_of`: the free capacity that it may take."""
        self._snapshot, self._timeline, self._scorer = snapshot, timeline, scorer
        self._needs, self._tasks = needs, tasks
        self._needs_of, self._visible_to = needs_of, sight_of
        running = snapshot.running
        self._gone = np.zeros(timeline.count, dtype=np.bool_)
        self._gone[: running.count] = running.ending | leaving
        self.now: I64 = running_tasks(snapshot)

    def works(self, cuts: Mapping[int, int]) -> bool:
        """Return whether the claim fits once these attempts resume with the given numbers of tasks."""
        return self.places(cuts) is not None

    def places(self, cuts: Mapping[int, int]) -> list[tuple[int, list[Placed]]] | None:
        """Return where each of these attempts goes on, in the order in which they do; None: the claim would not fit."""
        gone = self._gone.copy()
        gone[list(cuts)] = True
        capacity = self._timeline.capacity_without(gone)
        if not any(fits(capacity, need, self._tasks) for need in self._needs):
            return None
        scorer, found = self._scorer(), []
        for attempt in resume_order(self._snapshot, list(cuts)):
            mine = self._visible_to(attempt)
            visible = capacity.seen(mine.usable, mine.schedulable)
            placed = place_gang(NodeSelector(visible, scorer), self._needs_of(attempt), cuts[attempt], False)
            if not placed:
                return None
            found.append((attempt, placed))
        return found if any(fits(capacity, need, self._tasks) for need in self._needs) else None

    def most(self, cuts: Mapping[int, int], attempt: int, low: int) -> int:
        """Return the most tasks that the attempt can keep, at least `low`, with which the claim still fits."""
        high = int(self.now[attempt]) - 1
        while low < high:
            middle = (low + high + 1) // 2
            if self.works({**cuts, attempt: middle}):
                low = middle
            else:
                high = middle - 1
        return low


def resume_order(snapshot: Snapshot, attempts: Sequence[int]) -> list[int]:
    """Return the attempts in the order in which their jobs resume: by submit time, then job."""
    running = snapshot.running
    return sorted(attempts, key=lambda a: (int(running.submitted_us[a]), running.job_ids[a]))


def find_cuts(
    snapshot: Snapshot, what_if: WhatIf, slack: Slack, models: Bools, leaving: Bools
) -> dict[int, int]:
    """Return the new number of tasks by attempt; empty when no permitted cuts suffice. `models`: models of the devices that are needed."""
    for floor in slack.floors:
        able = slack.able & ~leaving & models & (floor < what_if.now)
        rows = np.flatnonzero(able)
        if not len(rows):
            continue
        ids = [snapshot.running.ids[row] for row in rows.tolist()]
        order = rows[ranked((slack.cost[rows],), ids)][:_TOGETHER].tolist()
        if not what_if.works({a: int(floor[a]) for a in order}):
            continue
        found = _alone(snapshot, what_if, slack, floor, order) or _together(what_if, floor, order)
        if found:
            return found
    return {}


def _alone(snapshot: Snapshot, what_if: WhatIf, slack: Slack, floor: I64, order: list[int]) -> dict[int, int]:
    """Return a cut of one attempt that suffices: preferably one that frees whole nodes, then the cheapest, then the smallest."""
    best: dict[int, int] = {}
    lowest: tuple[bool, float, int] | None = None
    for a in order[:_ALONE]:
        if what_if.works({a: int(floor[a])}):
            keeps = what_if.most({}, a, int(floor[a]))
            rank = (keeps % _a_node(snapshot, a) != 0, float(slack.cost[a]), int(what_if.now[a]) - keeps)
            if lowest is None or rank < lowest:
                best, lowest = {a: keeps}, rank
    return best


def _a_node(snapshot: Snapshot, attempt: int) -> int:
    """Return the largest number of tasks that the attempt has on one node."""
    running = snapshot.running
    return int(np.unique(running.task_node[running.task_attempt == attempt], return_counts=True)[1].max())


def _together(what_if: WhatIf, floor: I64, order: list[int]) -> dict[int, int]:
    """Return cuts of several attempts: cut one after the other until the claim fits, then undo what is not needed, the most expensive first."""
    cuts: dict[int, int] = {}
    for a in order:
        cuts[a] = int(floor[a])
        if what_if.works(cuts):
            break
    else:
        return {}
    for a in list(reversed(cuts)):
        rest = {other: tasks for other, tasks in cuts.items() if other != a}
        if rest and what_if.works(rest):
            cuts = rest
        else:
            cuts = {**rest, a: what_if.most(rest, a, int(floor[a]))}
    return cuts
