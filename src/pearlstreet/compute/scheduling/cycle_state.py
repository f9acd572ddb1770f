"""State of one planner cycle: its input and decisions so far, and the steps that place, reserve and explain.

The passes over the queue (`cycle`), preemption (`preemptor`) and resizes (`resizer`) all work on one `CycleState`. What only
some cycles need (quotas, ends of what runs) is computed when it is first asked for.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from pearlstreet.compute.scheduling.backfill.protocol import Backfill
from pearlstreet.compute.scheduling.capacity import PLENTY, Chunk, FreeCapacity, Need
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.elasticity.protocol import Elasticity
from pearlstreet.compute.scheduling.job_classes import JobClass, JobClasses, Run
from pearlstreet.compute.scheduling.model import Snapshot
from pearlstreet.compute.scheduling.need import NeedKey
from pearlstreet.compute.scheduling.placement.protocol import Choice
from pearlstreet.compute.scheduling.placement.selector import NodeSelector
from pearlstreet.compute.scheduling.plan import StartEstimate
from pearlstreet.compute.scheduling.preemption.protocol import Preemption
from pearlstreet.compute.scheduling.queues import Lane, Ranking
from pearlstreet.compute.scheduling.quota import QuotaState
from pearlstreet.compute.scheduling.registry import BACKFILLS, ELASTICITIES, PLACEMENTS, PREEMPTIONS
from pearlstreet.compute.scheduling.report import Given
from pearlstreet.compute.scheduling.timeline import EarliestFit, Timeline, fits
from pearlstreet.compute.scheduling.topology_cache import PlannerCache
from pearlstreet.compute.scheduling.waits import Lazy
from pearlstreet.compute.scheduling.windows import Windows


class CycleState:
    """Free capacity, placements, reservations and reasons of one cycle; it changes as the cycle goes on."""

    lane: Lane
    """Jobs and settings of the queue that is planned now; these four are set by `enter`."""
    backfill: Backfill
    preemption: Preemption | None
    elasticity: Elasticity | None

    def __init__(
        self, snapshot: Snapshot, config: PlannerConfig, cache: PlannerCache, explains: bool = False
    ) -> None:
        self.snapshot, self.config, self.cache, self.explains = snapshot, config, cache, explains
        self.ranking = Ranking(snapshot, config, cache)
        self.choices: list[Choice | None] = []
        """Alternatives that the last search examined, one entry for each job it placed."""
        self.capacity = FreeCapacity(snapshot, cache)
        self.classes = JobClasses(snapshot.waiting)
        self._class_values: dict[int, JobClass] = {}
        self._needs: dict[tuple[int, bool], tuple[Need, ...]] = {}
        self.windows = Windows(snapshot, self.capacity)
        self.visible = self.capacity
        """Free capacity as the job at hand may take it: without what windows keep from it."""
        self.bars: tuple[int, ...] = ()
        """Windows that the job at hand may not run into."""
        self.selectors: dict[tuple[str, tuple[int, ...]], NodeSelector] = {}
        self.reasons: list[Lazy] = []
        self.why_row = np.full(snapshot.waiting.count, -1, dtype=np.int64)
        """Index into `reasons` of each waiting job with a reason of its own; -1: none."""
        self.given: list[Given] = []
        """Placements decided so far."""
        self.full: set[tuple[NeedKey, int, bool, tuple[int, ...]]] = set()
        """(need, tasks, reservations count, bars) for which a search found no capacity."""
        self.head: int | None = None
        """First job of the lane that is blocked."""
        self.unheld: tuple[tuple[Need, ...], int, int, FreeCapacity] | None = None
        """Reservation not made yet: (needs, tasks, row, capacity visible to the job)."""
        self.promised: dict[int, StartEstimate | None] = {}
        """Start estimate of each job with a reservation."""
        self.reserved_us = self.reservations = 0
        """Earliest moment (µs since 1970) from which something is reserved (0: nothing is); reservations of the lane."""
        self.preempt_tries = 0
        """Blocked jobs for which victims or cuts were looked for in this cycle."""

    @cached_property
    def quotas(self) -> QuotaState:
        """What every account uses of its limits."""
        return QuotaState(self.snapshot)

    @cached_property
    def timeline(self) -> Timeline:
        """Ends of what runs, and what is reserved for later."""
        line = Timeline(self.snapshot, self.capacity, self.config)
        for item in self.given:
            line.placed(item.need, item.chunks, int(self.snapshot.waiting.limit_us[item.row]))
        return line

    @property
    def has_timeline(self) -> bool:
        """Whether the timeline was built yet: before that nothing was reserved."""
        return "timeline" in self.__dict__

    @cached_property
    def elements(self) -> list[int]:
        """Number of running elements of each array."""
        array = self.snapshot.running.array
        return [int(n) for n in np.bincount(array[array >= 0], minlength=len(self.snapshot.arrays))]

    @cached_property
    def leaving(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Running attempts that this cycle stops or resizes."""
        return np.zeros(self.snapshot.running.count, dtype=np.bool_)

    def job_class(self, class_index: int) -> JobClass:
        """Return what the jobs of a class have in common."""
        found = self._class_values.get(class_index)
        if found is None:
            found = self._class_values[class_index] = self.classes.shared_values(class_index)
        return found

    def needs_of_request(self, request: int, most_tasks: int = 1) -> tuple[Need, ...]:
        """Return what a task of a request needs, one `Need` for each device model that suits it; for gangs, in each domain."""
        is_gang = most_tasks > 1
        found = self._needs.get((request, is_gang))
        if found is None:
            found = self.capacity.topology_cache.needs(
                self.snapshot.requests[request], request, is_gang=is_gang
            )
            self._needs[request, is_gang] = found
        return found

    def queue_config(self, queue: int) -> PlannerConfig:
        """Return the settings of a queue by its index in the snapshot; -1: those of the center."""
        return self.config.of_queue(self.snapshot.queues[queue]) if queue >= 0 else self.config

    def enter(self, lane: Lane) -> None:
        """Switch to the settings of this lane; it begins without a blocked job and without reservations."""
        self.lane, self.backfill = lane, BACKFILLS[lane.config.backfill]
        self.preemption = PREEMPTIONS[lane.config.preemption]
        self.elasticity = ELASTICITIES[lane.config.elasticity]
        self.head, self.reservations = None, 0

    def selector(self) -> NodeSelector:
        """Return the selector of the lane's placement policy for the capacity that the job at hand may take."""
        name = self.lane.config.placement
        found = self.selectors.get((name, self.bars))
        if found is None:
            scorer = PLACEMENTS[name](self.snapshot, self.lane.config, self.cache)
            found = self.selectors[name, self.bars] = NodeSelector(
                self.visible, scorer, explains=self.explains
            )
        return found

    def look_as(self, org: int, project: int, limit_us: int) -> None:
        """Restrict `visible` to the capacity that a job of this account and time limit may take, from now on."""
        if not self.windows.any:
            return
        self.bars = self.windows.bars(org, project, limit_us)
        self.visible = self.windows.capacity(self.bars)
        self.timeline.visible = self.visible

    def allowed_by_quota(
        self, org: int, project: int, group: tuple[Need, ...], tasks: int, guaranteed: bool
    ) -> list[int]:
        """Return for each need how many jobs its quotas allow; `guaranteed`: without borrowing."""
        if not self.snapshot.quotas.labels:
            return [PLENTY] * len(group)
        ask = self.quotas.guaranteed_fit if guaranteed else self.quotas.capacity
        return [ask(org, project, need, tasks) for need in group]

    def outlasts_reservations(self, limit_us: int) -> bool:
        """Return whether a job that starts now may still run at the earliest reservation."""
        return not (limit_us > 0 and self.snapshot.now_us + limit_us <= self.reserved_us)

    def place(
        self, selector: NodeSelector, needs: tuple[Need, ...], tasks: int, wanted: int, limit_us: int
    ) -> tuple[list[tuple[Need, list[Chunk]]], bool]:
        """Place up to `wanted` jobs; returns their nodes, and whether nodes were searched (False: known to be full)."""
        needs = self._not_full(needs, tasks, self.outlasts_reservations(limit_us) and self.capacity.reserved)
        if needs and self.unheld is not None:
            if not any(int(selector.fit(need).sum()) >= tasks for need in needs):
                self.full.update((need.key, tasks, False, self.bars) for need in needs)
                return [], True
            self.make_reservation()
            needs = self._not_full(
                needs, tasks, self.outlasts_reservations(limit_us) and self.capacity.reserved
            )
        if not needs:
            return [], False
        lasting = self.outlasts_reservations(limit_us)
        placed: list[tuple[Need, list[Chunk]]] = []
        self.choices = []
        if tasks == 1 and needs[0].domain < 0:
            placed += [(need, [chunk]) for need, chunk in selector.singles(needs, wanted, lasting)]
            self.choices = selector.choices
        else:
            while len(placed) < wanted and (gang := selector.gang(needs, tasks, lasting)):
                placed.append((gang[0][0], [chunk for _, chunk in gang]))
                self.choices.append(selector.choices[0] if selector.choices else None)
        if len(placed) < wanted:
            self.full.update(
                (need.key, tasks, lasting and self.capacity.reserved, self.bars) for need in needs
            )
        return placed, True

    def _not_full(self, needs: tuple[Need, ...], tasks: int, held: bool) -> tuple[Need, ...]:
        """Return the needs for which no search has failed in this cycle."""
        full, bars = self.full, self.bars
        return tuple(
            need
            for need in needs
            if (need.key, tasks, held, bars) not in full and (need.key, tasks, False, bars) not in full
        )

    def record(
        self, run: Run, rows: list[int], placed: list[tuple[Need, list[Chunk]]], guaranteed: bool
    ) -> None:
        job = run.job_class
        org, project, array, limit_us = job.org, job.project, job.array, job.limit_us
        counted = bool(self.snapshot.quotas.labels)
        line = self.timeline if self.has_timeline else None
        for number, (row, (need, chunks)) in enumerate(zip(rows, placed, strict=True)):
            by = self.lane.config.placement
            choice = self.choices[number] if number < len(self.choices) else None
            self.given.append(
                Given(row, need, tuple(chunks), self.head is not None, not guaranteed, by, choice)
            )
            if line is not None:
                line.placed(need, chunks, limit_us)
            if counted:
                self.quotas.take(org, project, need, len(chunks))
        if array >= 0:
            self.elements[array] += len(placed)

    def add_reason(self, reason: Lazy) -> int:
        """Add a reason, built when it is read; returns its index."""
        self.reasons.append(reason)
        return len(self.reasons) - 1

    def set_reason(self, rows: list[int], reason: int) -> None:
        """Give these jobs a reason of their own, by its index."""
        self.why_row[rows] = reason

    def make_reservation(self) -> None:
        """Make the reservation that was postponed until another job could take its place."""
        if self.unheld is None:
            return
        (needs, tasks, row, visible), self.unheld = self.unheld, None
        mine, self.timeline.visible = self.timeline.visible, visible
        found = self.timeline.earliest(needs, tasks)
        self.promised[row] = self.start_estimate(found)
        if found is not None:
            self.hold_place(found.at_us, found.need, tasks)
        self.timeline.visible = mine

    def start_estimate(self, found: EarliestFit | None) -> StartEstimate | None:
        """Return a start estimate from the moment when enough has ended, which `Timeline.earliest` found.

        The range reaches from now to the limits of what must end; likely is half-way.

        Where an end is predicted, the prediction is the likely start and its band the latest, and it is called a guess;
        None where an end is unknown.
        """
        if found is None:
            return None
        now, at_us = self.snapshot.now_us, found.at_us
        if not found.guess:
            return StartEstimate(now, now + (at_us - now) // 2, at_us)
        latest = self.timeline.latest(at_us)
        return None if latest is None else StartEstimate(now, at_us, latest, guess=True)

    def hold_place(self, at_us: int, need: Need, tasks: int, *, surely: bool = False) -> None:
        """Reserve a place from `at_us` on; `surely`: one that depends on no predicted end, if there is one."""
        future = self.timeline.capacity_without(self.timeline.over_by(at_us)) if surely else None
        if future is None or not fits(future, need, tasks):
            future = self.timeline.capacity_at(at_us)
        self.timeline.reserve(future, need, tasks, self.selector().scorer)
        self.look_anew_from(at_us)

    def look_anew_from(self, at_us: int) -> None:
        """Forget searches by jobs that outlast `at_us`: something is reserved from that moment on."""
        self.reserved_us = min(self.reserved_us or at_us, at_us)
        self.windows.follow()
        for selector in self.selectors.values():
            selector.forget()
        self.full = {memo for memo in self.full if not memo[2]}
