"""One cycle of the planner: from a snapshot to a plan.

Jobs are tried in the order of the order policy, those within their account's guarantee before those that borrow. Equal jobs
are searched for once: a search without success has none later in the cycle, since what is free only shrinks. Blocked jobs get
reservations as the backfill policy says; jobs after them start only if they end before or leave them their nodes. What only
some cycles need (quotas, ends of what runs, the empty center, sentences) is made when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

import numpy as np

from pearlstreet.compute.scheduling import reasons
from pearlstreet.compute.scheduling.capacity import ALL, PLENTY, FreeCapacity, Need
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.cycle_state import CycleState
from pearlstreet.compute.scheduling.job_classes import JobClass, Run
from pearlstreet.compute.scheduling.model import I64, Snapshot
from pearlstreet.compute.scheduling.order.measures import waited
from pearlstreet.compute.scheduling.plan import Plan, Reason, StartEstimate
from pearlstreet.compute.scheduling.preemptor import Preemptor
from pearlstreet.compute.scheduling.registry import check_config
from pearlstreet.compute.scheduling.report import placements
from pearlstreet.compute.scheduling.resizer import Resizer
from pearlstreet.compute.scheduling.rows import BUILDS
from pearlstreet.compute.scheduling.timeline import fits
from pearlstreet.compute.scheduling.topology_cache import PlannerCache
from pearlstreet.compute.scheduling.waits import Waits

_US = 1_000_000
_ESTIMATES = 4
"""Blocked jobs behind the reserved ones for which a start time is worked out in one cycle: each costs milliseconds."""
_OPEN, _LATER, _DONE = 0, 1, 2
"""States of a job class: may be tried; is left to the second pass; all its jobs wait in this cycle."""


def plan(
    snapshot: Snapshot, config: PlannerConfig, *, cache: PlannerCache | None = None, explains: bool = False
) -> Plan:
    """Return the plan: which jobs start where, what is preempted, and why every other job waits. Pure and deterministic.

    `cache`: values that successive plans of one center reuse; the plan is the same with and without it.
    `explains`: placements also carry the alternatives among which their node was chosen.
    """
    check_config(config)
    return _Cycle(CycleState(snapshot, config, cache or PlannerCache(), explains)).run()


class _Cycle:
    """The passes of one cycle over the queue; every decision is in `_try`."""

    def __init__(self, state: CycleState) -> None:
        self.state = state
        self.resizer = Resizer(state)
        self.preemptor = Preemptor(state)
        self.progress = [_OPEN] * state.classes.count
        """Progress of each job class: `_OPEN`, `_LATER` or `_DONE`."""
        self.why_class = np.full(state.classes.count, -1, dtype=np.int64)
        """Index into the reasons of each job class that waits as a whole; -1: none."""
        self.shortage: dict[tuple[tuple[Need, ...], int, bool, tuple[int, ...]], int] = {}
        """(needs, tasks, reservations count, bars) → the reason of jobs that found no capacity."""
        self.passing: set[int] = set()
        """Reasons of jobs that would fit, but must not start."""
        self.impossible: dict[tuple[int, int], bool] = {}
        """(request, tasks) → whether the empty center cannot hold it."""
        self.considered = self.estimates = 0

    @cached_property
    def empty(self) -> FreeCapacity:
        return self.state.capacity.emptied()

    @cached_property
    def waited(self) -> I64:
        """How long (µs) each waiting job has waited in all."""
        return waited(self.state.snapshot, self.state.cache)[0]

    def run(self) -> Plan:
        snapshot = self.state.snapshot
        self.resizer.resume_stopped()
        resumed = [item.row for item in self.state.given]
        orders = []
        for lane in self.state.ranking.lanes():
            self.state.enter(lane)
            orders.append(lane.rows)
            self._passes(self._due(lane.rows[~np.isin(lane.rows, resumed)] if resumed else lane.rows))
        if self.resizer.may_grow():
            self.resizer.grow()
        for selector in self.state.selectors.values():
            selector.end_cycle()
        order = np.concatenate(orders) if len(orders) > 1 else orders[0]
        position = np.empty(len(order), dtype=np.int64)
        position[order] = np.arange(1, len(order) + 1)
        return Plan(
            revision=snapshot.revision,
            placements=placements(snapshot, self.state.capacity, self.state.given, position)
            if self.state.given
            else (),
            preemptions=tuple(self.preemptor.stops),
            resizes=tuple(self.resizer.resizes),
            waits=self._waits(order),
            order=self.state.config.order,
            placement=self.state.config.placement,
            considered=self.considered,
        )

    def _due(self, order: I64) -> I64:
        """Return rows whose start time has come; the others get their reason."""
        not_before = self.state.snapshot.waiting.not_before_us
        early = not_before[order] > self.state.snapshot.now_us
        if not early.any():
            return order
        for row in order[early].tolist():
            self.state.set_reason([row], self.state.add_reason(reasons.not_before(int(not_before[row]))))
        return order[~early]

    def _passes(self, order: I64) -> None:
        """Try jobs within their guarantees first, then those that must borrow; at most `depth` searches in each pass."""
        if not len(order):
            return
        classes = self.state.classes.of[order]
        edges = [0, *((classes[1:] != classes[:-1]).nonzero()[0] + 1).tolist(), len(order)]
        rows = order.tolist()
        deferred: list[Run] = []
        start_of = self.considered
        for class_index, a, b in zip(classes[edges[:-1]].tolist(), edges[:-1], edges[1:], strict=True):
            state = self.progress[class_index]
            if state == _DONE:
                continue
            if self.considered - start_of >= self.state.config.depth:
                self._too_deep(order[a:])
                break
            run = Run(class_index, self.state.job_class(class_index), rows[a:b])
            left = run.rows if state == _LATER else self._try(run, guaranteed=True)
            if left:
                deferred.append(Run(class_index, run.job_class, left))
        for run in deferred:
            if self.progress[run.class_index] == _LATER:
                self.progress[run.class_index] = _OPEN
        for run in deferred:
            if self.progress[run.class_index] == _DONE:
                continue
            if self.considered - start_of >= 2 * self.state.config.depth:
                self.state.set_reason(run.rows, self.state.add_reason(reasons.depth(self.state.config.depth)))
            else:
                self._try(run, guaranteed=False)

    def _too_deep(self, rows: I64) -> None:
        """Give jobs beyond the depth the reason known for their class, or a cheap one."""
        done = np.array([state == _DONE for state in self.progress], dtype=np.bool_)
        self.state.why_row[rows[~done[self.state.classes.of[rows]]]] = self.state.add_reason(
            reasons.depth(self.state.config.depth)
        )

    def _waits(self, order: I64) -> Waits:
        rows = order
        if self.state.given:
            left = np.ones(len(order), dtype=np.bool_)
            left[[item.row for item in self.state.given]] = False
            rows = order[left[order]]
        own = self.state.why_row[rows]
        return Waits(
            self.state.snapshot.waiting.ids,
            rows,
            np.where(own >= 0, own, self.why_class[self.state.classes.of[rows]]),
            self.state.reasons,
        )

    def _park(self, class_index: int, reason: int) -> list[int]:
        """Give the reason to every job of the class that has none of its own; the class is not tried again in this cycle."""
        self.progress[class_index] = _DONE
        self.why_class[class_index] = reason
        return []

    def _try(self, run: Run, *, guaranteed: bool) -> list[int]:
        """Place what can be placed of `run`; give the rest a reason, or hand it back to try as a borrower."""
        if self.state.head is not None and (
            not self.state.backfill.passing or self._must_not_pass(run, self.state.head)
        ):
            return self._park(
                run.class_index,
                self.state.add_reason(reasons.behind(self.state.snapshot.waiting.ids[self.state.head])),
            )
        job = run.job_class
        tasks, org, project = job.tasks, job.org, job.project
        array, array_limit, limit_us = job.array, job.array_limit, job.limit_us
        needs = self.state.needs_of_request(job.request, max(tasks, job.max_tasks))
        self.state.look_as(org, project, limit_us)
        elements_left = (
            array_limit - self.state.elements[array] if array >= 0 and array_limit >= 0 else PLENTY
        )
        rows, limited, tried = run.rows, False, False
        starved: list[Need] = []
        selector = self.state.selector()
        for group in (needs,) if selector.scorer.joint else tuple((need,) for need in needs):
            while rows:
                allowed = self.state.allowed_by_quota(org, project, group, tasks, guaranteed)
                limited = limited or min(allowed, default=PLENTY) < len(rows)
                able = tuple(need for need, most in zip(group, allowed, strict=True) if most > 0)
                wanted = min([len(rows), max(elements_left, 0), *(most for most in allowed if most > 0)])
                if not able or wanted == 0:
                    break
                placed, searched = self.state.place(selector, able, tasks, wanted, limit_us)
                tried = tried or searched
                self.state.record(run, rows[: len(placed)], placed, guaranteed)
                rows, elements_left = rows[len(placed) :], elements_left - len(placed)
                if len(placed) < wanted:
                    starved += able
                    break
        self.considered += tried
        fewest = run.job_class.min_tasks if self.state.elasticity is not None else 0
        if rows and 0 < fewest < tasks:
            before = len(rows)
            rows = self.resizer.start_smaller(run, needs, rows, min(elements_left, len(rows)), guaranteed)
            elements_left -= before - len(rows)
        if not rows:
            return []
        if elements_left <= 0:
            self.resizer.excused.add(run.class_index)
            return self._park(run.class_index, self._group_reason(array, array_limit))
        if limited and guaranteed:
            self.progress[run.class_index] = _LATER
            return rows
        if limited and not starved:
            self.resizer.excused.add(run.class_index)
            return self._park(run.class_index, self._quota_reason(run.job_class, needs))
        if 0 < fewest < tasks:
            run = replace(run, job_class=run.job_class._replace(tasks=fewest))
        return self._blocked(run, tuple(starved), rows, guaranteed)

    def _group_reason(self, array: int, limit: int) -> int:
        is_builds = self.state.snapshot.arrays[array] == BUILDS
        return self.state.add_reason(reasons.builds_limit(limit) if is_builds else reasons.array_limit(limit))

    def _quota_reason(self, job_class: JobClass, needs: tuple[Need, ...]) -> int:
        org, project, tasks = job_class.org, job_class.project, job_class.tasks
        bindings = (self.state.quotas.binding(org, project, need, tasks) for need in needs)
        return self.state.add_reason(reasons.quota(next((b for b in bindings if b is not None), None)))

    def _blocked(self, run: Run, needs: tuple[Need, ...], rows: list[int], guaranteed: bool) -> list[int]:
        """Handle a job that does not fit: give the reason, preempt where permitted, reserve for the first such jobs."""
        request, tasks, limit_us = run.job_class.request, run.job_class.tasks, run.job_class.limit_us
        if self._never(request, tasks):
            self.resizer.excused.add(run.class_index)
            return self._park(run.class_index, self.state.add_reason(self._impossible(request, tasks)))
        same = (needs, tasks, self.state.outlasts_reservations(limit_us), self.state.bars)
        known = self.shortage.get(same)
        passing = known is not None and known in self.passing
        if (
            known is None
            and self.state.bars
            and any(self._fits_but_for_windows(need, tasks) for need in needs)
        ):
            name, end_us = self.state.windows.last(self.state.bars)
            free = StartEstimate(self.state.snapshot.now_us, end_us, end_us)
            known = self.shortage[same] = self.state.add_reason(reasons.window(name, free))
            self.passing.add(known)
        elif (
            known is None
            and self.state.capacity.reserved
            and any(fits(self.state.visible, need, tasks) for need in needs)
        ):
            head = (
                self.state.snapshot.waiting.ids[self.state.head]
                if self.state.head is not None
                else self.resizer.resumes
            )
            known = self.shortage[same] = self.state.add_reason(reasons.reserved(head, None))
            self.passing.add(known)
            passing = True
        if passing:
            self.resizer.unserved |= {need.model for need in needs}
        else:
            rows = self._make_way(run, needs, rows, guaranteed)
        depth = self.state.backfill.depth(self.state.lane.config)
        more = depth > 1 and self.state.reservations < depth and not passing
        if known is not None and not more:
            return self._park(run.class_index, known)
        if not rows:
            return []
        short = self._capacity(request, needs, tasks)
        for row in rows[: depth - self.state.reservations if more else 1]:
            start = self._promise(needs, tasks, row)
            self.state.set_reason([row], self.state.add_reason(_with_start(short, start)))
        if known is None:
            known = self.shortage[same] = self.state.add_reason(short)
        if more and self.state.reservations < depth:
            return []  # the next job of this class gets a reservation too
        return self._park(run.class_index, known)

    def _make_way(self, run: Run, needs: tuple[Need, ...], rows: list[int], guaranteed: bool) -> list[int]:
        """Cut elastic jobs or stop cheaper attempts for the first of `rows`; returns the rows that got nothing this way."""
        if self.state.snapshot.running.max_tasks.any():
            rows = self.resizer.cut_for(run, needs, rows, guaranteed)
        return self.preemptor.stop_for(run, needs, rows) if rows and guaranteed else rows

    def _must_not_pass(self, run: Run, head: int) -> bool:
        """Bar jobs that could take its resources from passing a job that has waited too long.

        A reservation is not enough where ends are guesses: each time a guess fails it moves elsewhere, and what it left
        is taken again.
        """
        bound_us = round(self.state.lane.config.wait_max_s * _US)
        if bound_us <= 0 or self.waited[head] < bound_us:
            return False
        wanted = {
            need.model for need in self.state.needs_of_request(int(self.state.snapshot.waiting.request[head]))
        }
        return any(need.model in wanted for need in self.state.needs_of_request(run.job_class.request))

    def _fits_but_for_windows(self, need: Need, tasks: int) -> bool:
        """Return whether the job would fit if no window held anything."""
        return fits(self.state.capacity, need, tasks) and not fits(self.state.visible, need, tasks)

    def _promise(self, needs: tuple[Need, ...], tasks: int, row: int) -> Callable[[], StartEstimate | None]:
        """Reserve for a blocked job if the policy does; returns how to find its start estimate."""
        first = self.state.head is None
        if first:
            self.state.head = row
        if self.state.reservations < self.state.backfill.depth(self.state.lane.config):
            self.state.reservations += 1
            if self.state.unheld is not None:
                self.state.make_reservation()
            self.state.unheld = (needs, tasks, row, self.state.visible)
            return lambda: self._started(row)
        if first or self.estimates < _ESTIMATES:
            self.estimates += not first
            visible = self.state.visible
            return lambda: self._estimated(needs, tasks, visible)
        return lambda: None

    def _estimated(self, needs: tuple[Need, ...], tasks: int, visible: FreeCapacity) -> StartEstimate | None:
        self.state.timeline.visible = visible
        return self.state.start_estimate(self.state.timeline.earliest(needs, tasks))

    def _started(self, row: int) -> StartEstimate | None:
        """Return the estimate that came with a reservation."""
        if self.state.unheld is not None:
            self.state.make_reservation()
        return self.state.promised.get(row)

    def _capacity(self, request: int, needs: tuple[Need, ...], tasks: int) -> Callable[[], Reason]:
        snapshot, capacity = self.state.snapshot, self.state.visible
        return lambda: reasons.no_capacity(
            reasons.details(snapshot, capacity, snapshot.requests[request], needs, tasks), None
        )

    def _never(self, request: int, tasks: int) -> bool:
        """Return whether not even the empty center could run it."""
        memo = (request, tasks)
        if memo not in self.impossible:
            self.impossible[memo] = not any(
                self._ever(need, tasks) for need in self.state.needs_of_request(request, tasks)
            )
        return self.impossible[memo]

    def _ever(self, need: Need, tasks: int) -> bool:
        """Return whether the empty center holds all tasks."""
        fit = self.state.capacity.topology_cache.ever.get(need)
        if fit is None:
            fit = self.state.capacity.topology_cache.ever[need] = self.empty.fit(need, ALL, False)
        return int(fit.sum()) >= tasks

    def _impossible(self, request: int, tasks: int) -> Callable[[], Reason]:
        def found() -> Reason:
            asked, needs = self.state.snapshot.requests[request], self.state.needs_of_request(request, tasks)
            return reasons.impossible(reasons.details(self.state.snapshot, self.empty, asked, needs, tasks))

        return found


def _with_start(
    reason: Callable[[], Reason], start: Callable[[], StartEstimate | None]
) -> Callable[[], Reason]:
    """Return the same reason with a start estimate."""
    return lambda: replace(reason(), start=start())
