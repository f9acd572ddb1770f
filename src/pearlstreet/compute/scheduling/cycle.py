"""One cycle of the planner: from a snapshot to a plan.

Jobs are tried in the order of the order policy, those within their account's guarantee before those that borrow. Equal jobs
are searched for once: what found no room finds none later in the cycle, since what is free only shrinks. Blocked jobs get
reservations as the backfill policy says; jobs after them start only if they end before or leave them their nodes. What only
some cycles need (quotas, ends of what runs, the empty center, sentences) is made when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

import numpy as np

from pearlstreet.base.text import Text
from pearlstreet.compute.scheduling import reasons
from pearlstreet.compute.scheduling.capacity import ALL, PLENTY, Chunk, FreeCapacity, Need, needs_of
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.job_classes import JobClass, JobClasses, Run
from pearlstreet.compute.scheduling.model import I64, Snapshot
from pearlstreet.compute.scheduling.order.measures import waited
from pearlstreet.compute.scheduling.placement.protocol import Choice
from pearlstreet.compute.scheduling.placement.selector import NodeSelector
from pearlstreet.compute.scheduling.plan import Plan, Reason, StartEstimate
from pearlstreet.compute.scheduling.plan import Preemption as Stop
from pearlstreet.compute.scheduling.preemption.protocol import Claim
from pearlstreet.compute.scheduling.preemption.search import find_victims
from pearlstreet.compute.scheduling.queues import lanes, places
from pearlstreet.compute.scheduling.quota import QuotaState
from pearlstreet.compute.scheduling.registry import PLACEMENTS, check_config
from pearlstreet.compute.scheduling.report import Given, placements
from pearlstreet.compute.scheduling.resizing import Resizing
from pearlstreet.compute.scheduling.timeline import Timeline, fits
from pearlstreet.compute.scheduling.waits import Lazy, Waits
from pearlstreet.compute.scheduling.windows import Windows

_US = 1_000_000
_ESTIMATES = 4
"""Blocked jobs behind the reserved ones for which a start time is worked out in one cycle: each costs milliseconds."""
_OPEN, _LATER, _DONE = 0, 1, 2
"""A kind may be tried; is left to the second pass; waits, whatever row of it comes."""


def plan(snapshot: Snapshot, config: PlannerConfig, *, explains: bool = False) -> Plan:
    """What starts now and where, whom to preempt, and why every other waiting job waits. Pure and deterministic.

    `tells`: placements also say what the choice of their node was made among.
    """
    check_config(config)
    return _Cycle(snapshot, config, explains).run()


class _Cycle(Resizing):
    """The state of one cycle; every decision is in `_try`."""

    def __init__(self, snapshot: Snapshot, config: PlannerConfig, explains: bool = False) -> None:
        super().__init__()
        self.snapshot, self.config, self.explains = snapshot, config, explains
        self.choices: list[Choice | None] = []
        """Of what was placed last."""
        self.capacity = FreeCapacity(snapshot)
        self.classes = JobClasses(snapshot.waiting)
        self.class_values: dict[int, JobClass] = {}
        self.needs: dict[int, tuple[Need, ...]] = {}
        self.windows = Windows(snapshot, self.capacity)
        self.visible = self.capacity
        self.bars: tuple[int, ...] = ()
        self.selectors: dict[tuple[str, tuple[int, ...]], NodeSelector] = {}
        self.state = [_OPEN] * self.classes.count
        self.reasons: list[Lazy] = []
        self.why_class = np.full(self.classes.count, -1, dtype=np.int64)
        self.why_row = np.full(snapshot.waiting.count, -1, dtype=np.int64)
        self.given: list[Given] = []
        self.stops: list[Stop] = []
        self.full: set[tuple[tuple[int, int], int, bool, tuple[int, ...]]] = set()
        self.shortage: dict[tuple[tuple[Need, ...], int, bool, tuple[int, ...]], int] = {}
        self.passing: set[int] = set()
        """Numbers of the reasons of jobs that would fit, but must not."""
        self.impossible: dict[tuple[int, int], bool] = {}
        self.head: int | None = None
        self.unheld: tuple[tuple[Need, ...], int, int, FreeCapacity] | None = None
        self.reserved_us = self.reservations = 0
        self.considered = self.preempt_tries = self.estimates = 0

    @cached_property
    def quotas(self) -> QuotaState:
        return QuotaState(self.snapshot)

    @cached_property
    def timeline(self) -> Timeline:
        line = Timeline(self.snapshot, self.capacity, self.config)
        for item in self.given:
            line.placed(item.need, item.chunks, int(self.snapshot.waiting.limit_us[item.row]))
        return line

    @cached_property
    def empty(self) -> FreeCapacity:
        return self.capacity.emptied()

    @cached_property
    def elements(self) -> list[int]:
        """Elements of each array that run."""
        array = self.snapshot.running.array
        return [int(n) for n in np.bincount(array[array >= 0], minlength=len(self.snapshot.arrays))]

    @cached_property
    def leaving(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        return np.zeros(self.snapshot.running.count, dtype=np.bool_)

    @cached_property
    def waited(self) -> I64:
        """How long (µs) each waiting job has waited in all."""
        return waited(self.snapshot)[0]

    @cached_property
    def places(self) -> tuple[I64, I64]:
        """Place of every waiting and every running job in one common order."""
        return places(self.snapshot, self.config)

    def run(self) -> Plan:
        snapshot = self.snapshot
        self._resume()
        resumed = [item.row for item in self.given]
        orders = []
        for lane in lanes(snapshot, self.config):
            self._enter(lane)
            orders.append(lane.rows)
            self._passes(self._due(lane.rows[~np.isin(lane.rows, resumed)] if resumed else lane.rows))
        if self._grows():
            self._grow()
        for selector in self.selectors.values():
            selector.end_cycle()
        order = np.concatenate(orders) if len(orders) > 1 else orders[0]
        position = np.empty(len(order), dtype=np.int64)
        position[order] = np.arange(1, len(order) + 1)
        return Plan(
            revision=snapshot.revision,
            placements=placements(snapshot, self.capacity, self.given, position) if self.given else (),
            preemptions=tuple(self.stops),
            resizes=tuple(self.resizes),
            waits=self._waits(order),
            order=self.config.order,
            placement=self.config.placement,
            considered=self.considered,
        )

    def _due(self, order: I64) -> I64:
        """Rows whose start time has come; the others get their reason."""
        not_before = self.snapshot.waiting.not_before_us
        early = not_before[order] > self.snapshot.now_us
        if not early.any():
            return order
        for row in order[early].tolist():
            self._wait([row], self._reason(reasons.not_before(int(not_before[row]))))
        return order[~early]

    def _passes(self, order: I64) -> None:
        """First whoever stays within a guarantee, then whoever must borrow; at most `depth` searches each."""
        if not len(order):
            return
        classes = self.classes.of[order]
        edges = [0, *((classes[1:] != classes[:-1]).nonzero()[0] + 1).tolist(), len(order)]
        rows = order.tolist()
        deferred: list[Run] = []
        start_of = self.considered
        for class_index, a, b in zip(classes[edges[:-1]].tolist(), edges[:-1], edges[1:], strict=True):
            state = self.state[class_index]
            if state == _DONE:
                continue
            if self.considered - start_of >= self.config.depth:
                self._too_deep(order[a:])
                break
            run = Run(class_index, self._job_class(class_index), rows[a:b])
            left = run.rows if state == _LATER else self._try(run, guaranteed=True)
            if left:
                deferred.append(Run(class_index, run.job_class, left))
        for run in deferred:
            if self.state[run.class_index] == _LATER:
                self.state[run.class_index] = _OPEN
        for run in deferred:
            if self.state[run.class_index] == _DONE:
                continue
            if self.considered - start_of >= 2 * self.config.depth:
                self._wait(run.rows, self._reason(reasons.depth(self.config.depth)))
            else:
                self._try(run, guaranteed=False)

    def _too_deep(self, rows: I64) -> None:
        """The rest keeps what is known of its kind, or a cheap reason."""
        done = np.array([state == _DONE for state in self.state], dtype=np.bool_)
        self.why_row[rows[~done[self.classes.of[rows]]]] = self._reason(reasons.depth(self.config.depth))

    def _waits(self, order: I64) -> Waits:
        rows = order
        if self.given:
            left = np.ones(len(order), dtype=np.bool_)
            left[[item.row for item in self.given]] = False
            rows = order[left[order]]
        own = self.why_row[rows]
        return Waits(
            self.snapshot.waiting.ids,
            rows,
            np.where(own >= 0, own, self.why_class[self.classes.of[rows]]),
            self.reasons,
        )

    def _reason(self, reason: Lazy) -> int:
        self.reasons.append(reason)
        return len(self.reasons) - 1

    def _wait(self, rows: list[int], reason: int) -> None:
        self.why_row[rows] = reason

    def _park(self, class_index: int, reason: int) -> list[int]:
        """The reason holds for every job of the kind that has none of its own, until the cycle ends."""
        self.state[class_index] = _DONE
        self.why_class[class_index] = reason
        return []

    def _job_class(self, class_index: int) -> JobClass:
        found = self.class_values.get(class_index)
        if found is None:
            found = self.class_values[class_index] = self.classes.shared_values(class_index)
        return found

    def _selector(self) -> NodeSelector:
        name = self.lane.config.placement
        found = self.selectors.get((name, self.bars))
        if found is None:
            scorer = PLACEMENTS[name](self.snapshot, self.lane.config)
            found = self.selectors[name, self.bars] = NodeSelector(
                self.visible, scorer, explains=self.explains
            )
        return found

    def _look(self, org: int, project: int, limit_us: int) -> None:
        """From here on, see the room as a job of this account and limit may take it."""
        if not self.windows.any:
            return
        self.bars = self.windows.bars(org, project, limit_us)
        self.visible = self.windows.capacity(self.bars)
        self.timeline.visible = self.visible

    def _try(self, run: Run, *, guaranteed: bool) -> list[int]:
        """Place what can be placed of `run`; give the rest a reason, or hand it back to try as a borrower."""
        if self.head is not None and (not self.backfill.passing or self._must_not_pass(run, self.head)):
            return self._park(
                run.class_index, self._reason(reasons.behind(self.snapshot.waiting.ids[self.head]))
            )
        job = run.job_class
        tasks, org, project = job.tasks, job.org, job.project
        array, array_limit, limit_us = job.array, job.array_limit, job.limit_us
        needs = self._needs(job.request)
        self._look(org, project, limit_us)
        elements_left = array_limit - self.elements[array] if array >= 0 and array_limit >= 0 else PLENTY
        rows, limited, tried = run.rows, False, False
        starved: list[Need] = []
        selector = self._selector()
        for group in (needs,) if selector.scorer.joint else tuple((need,) for need in needs):
            while rows:
                allowed = self._allowed(org, project, group, tasks, guaranteed)
                limited = limited or min(allowed, default=PLENTY) < len(rows)
                able = tuple(need for need, most in zip(group, allowed, strict=True) if most > 0)
                wanted = min([len(rows), max(elements_left, 0), *(most for most in allowed if most > 0)])
                if not able or wanted == 0:
                    break
                placed, searched = self._place(selector, able, tasks, wanted, limit_us)
                tried = tried or searched
                self._record(run, rows[: len(placed)], placed, guaranteed)
                rows, elements_left = rows[len(placed) :], elements_left - len(placed)
                if len(placed) < wanted:
                    starved += able
                    break
        self.considered += tried
        fewest = run.job_class.min_tasks if self.elasticity is not None else 0
        if rows and 0 < fewest < tasks:
            before = len(rows)
            rows = self._start_smaller(run, needs, rows, min(elements_left, len(rows)), guaranteed)
            elements_left -= before - len(rows)
        if not rows:
            return []
        if elements_left <= 0:
            self.excused.add(run.class_index)
            return self._park(run.class_index, self._reason(reasons.array_limit(array_limit)))
        if limited and guaranteed:
            self.state[run.class_index] = _LATER
            return rows
        if limited and not starved:
            self.excused.add(run.class_index)
            return self._park(run.class_index, self._quota_reason(run.job_class, needs))
        if 0 < fewest < tasks:
            run = replace(run, job_class=run.job_class._replace(tasks=fewest))
        return self._blocked(run, tuple(starved), rows, guaranteed)

    def _allowed(
        self, org: int, project: int, group: tuple[Need, ...], tasks: int, guaranteed: bool
    ) -> list[int]:
        """How many jobs each need's quotas leave room for."""
        if not self.snapshot.quotas.labels:
            return [PLENTY] * len(group)
        ask = self.quotas.room_guaranteed if guaranteed else self.quotas.capacity
        return [ask(org, project, need, tasks) for need in group]

    def _needs(self, request: int) -> tuple[Need, ...]:
        found = self.needs.get(request)
        if found is None:
            found = self.needs[request] = needs_of(self.snapshot, request)
        return found

    def _lasting(self, limit_us: int) -> bool:
        """Whether a job that starts now may still run when a reservation is due."""
        return not (limit_us > 0 and self.snapshot.now_us + limit_us <= self.reserved_us)

    def _place(
        self, selector: NodeSelector, needs: tuple[Need, ...], tasks: int, wanted: int, limit_us: int
    ) -> tuple[list[tuple[Need, list[Chunk]]], bool]:
        """Up to `wanted` jobs, and whether it was searched at all (False: known to be full)."""
        needs = self._unfilled(needs, tasks, self._lasting(limit_us) and self.capacity.reserved)
        if needs and self.unheld is not None:
            if not any(int(selector.fit(need).sum()) >= tasks for need in needs):
                self.full.update((need.key, tasks, False, self.bars) for need in needs)
                return [], True
            self._reserve_first()
            needs = self._unfilled(needs, tasks, self._lasting(limit_us) and self.capacity.reserved)
        if not needs:
            return [], False
        lasting = self._lasting(limit_us)
        placed: list[tuple[Need, list[Chunk]]] = []
        self.choices = []
        if tasks == 1:
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

    def _unfilled(self, needs: tuple[Need, ...], tasks: int, held: bool) -> tuple[Need, ...]:
        """Needs that are not yet known to find no room."""
        full, bars = self.full, self.bars
        return tuple(
            need
            for need in needs
            if (need.key, tasks, held, bars) not in full and (need.key, tasks, False, bars) not in full
        )

    def _record(
        self, run: Run, rows: list[int], placed: list[tuple[Need, list[Chunk]]], guaranteed: bool
    ) -> None:
        job = run.job_class
        org, project, array, limit_us = job.org, job.project, job.array, job.limit_us
        counted = bool(self.snapshot.quotas.labels)
        line = self.__dict__.get("timeline")
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

    def _quota_reason(self, job_class: JobClass, needs: tuple[Need, ...]) -> int:
        org, project, tasks = job_class.org, job_class.project, job_class.tasks
        bindings = (self.quotas.binding(org, project, need, tasks) for need in needs)
        return self._reason(reasons.quota(next((b for b in bindings if b is not None), None)))

    def _blocked(self, run: Run, needs: tuple[Need, ...], rows: list[int], guaranteed: bool) -> list[int]:
        """No room: say why; make room by preemption where that is right; reserve for the first such jobs."""
        request, tasks, limit_us = run.job_class.request, run.job_class.tasks, run.job_class.limit_us
        if self._never(request, tasks):
            self.excused.add(run.class_index)
            return self._park(run.class_index, self._reason(self._impossible(request, tasks)))
        same = (needs, tasks, self._lasting(limit_us), self.bars)
        known = self.shortage.get(same)
        passing = known is not None and known in self.passing
        if known is None and self.bars and any(self._fits_but_for_windows(need, tasks) for need in needs):
            name, end_us = self.windows.last(self.bars)
            free = StartEstimate(self.snapshot.now_us, end_us, end_us)
            known = self.shortage[same] = self._reason(reasons.window(name, free))
            self.passing.add(known)
        elif (
            known is None
            and self.capacity.reserved
            and any(fits(self.visible, need, tasks) for need in needs)
        ):
            head = self.snapshot.waiting.ids[self.head] if self.head is not None else self.resumes
            known = self.shortage[same] = self._reason(reasons.reserved(head, None))
            self.passing.add(known)
            passing = True
        if passing:
            self.unserved |= {need.model for need in needs}
        else:
            rows = self._free_by_preemption(run, needs, rows, guaranteed)
        depth = self.backfill.depth(self.lane.config)
        more = depth > 1 and self.reservations < depth and not passing
        if known is not None and not more:
            return self._park(run.class_index, known)
        if not rows:
            return []
        short = self._capacity(request, needs, tasks)
        for row in rows[: depth - self.reservations if more else 1]:
            start = self._promise(needs, tasks, row)
            self._wait([row], self._reason(_with_start(short, start)))
        if known is None:
            known = self.shortage[same] = self._reason(short)
        if more and self.reservations < depth:
            return []  # the next of the kind gets a reservation of its own
        return self._park(run.class_index, known)

    def _must_not_pass(self, run: Run, head: int) -> bool:
        """Who waited too long is passed by nobody that could take what it needs.

        A reservation is not enough where ends are guesses: each time a guess fails it moves elsewhere, and what it left
        is taken again.
        """
        bound_us = round(self.lane.config.wait_max_s * _US)
        if bound_us <= 0 or self.waited[head] < bound_us:
            return False
        wanted = {need.model for need in self._needs(int(self.snapshot.waiting.request[head]))}
        return any(need.model in wanted for need in self._needs(run.job_class.request))

    def _fits_but_for_windows(self, need: Need, tasks: int) -> bool:
        """Whether only what windows hold is missing."""
        return fits(self.capacity, need, tasks) and not fits(self.visible, need, tasks)

    def _promise(self, needs: tuple[Need, ...], tasks: int, row: int) -> Callable[[], StartEstimate | None]:
        """Reserve for a blocked job if the policy does; returns how to find its start estimate."""
        first = self.head is None
        if first:
            self.head = row
        if self.reservations < self.backfill.depth(self.lane.config):
            self.reservations += 1
            if self.unheld is not None:
                self._reserve_first()
            self.unheld = (needs, tasks, row, self.visible)
            return lambda: self._started(row)
        if first or self.estimates < _ESTIMATES:
            self.estimates += not first
            visible = self.visible
            return lambda: self._estimated(needs, tasks, visible)
        return lambda: None

    def _estimated(self, needs: tuple[Need, ...], tasks: int, visible: FreeCapacity) -> StartEstimate | None:
        self.timeline.visible = visible
        return self._estimate(self.timeline.earliest(needs, tasks))

    def _started(self, row: int) -> StartEstimate | None:
        """The estimate that came with a reservation."""
        if self.unheld is not None:
            self._reserve_first()
        return self.promised.get(row)

    @cached_property
    def promised(self) -> dict[int, StartEstimate | None]:
        return {}

    def _reserve_first(self) -> None:
        """Make the reservation that was put off until somebody could be in its way."""
        if self.unheld is None:
            return
        (needs, tasks, row, visible), self.unheld = self.unheld, None
        mine, self.timeline.visible = self.timeline.visible, visible
        found = self.timeline.earliest(needs, tasks)
        self.promised[row] = self._estimate(found)
        if found is not None:
            self._hold(found[0], found[1], tasks)
        self.timeline.visible = mine

    def _capacity(self, request: int, needs: tuple[Need, ...], tasks: int) -> Callable[[], Reason]:
        snapshot, capacity = self.snapshot, self.visible
        return lambda: reasons.no_capacity(
            reasons.details(snapshot, capacity, snapshot.requests[request], needs, tasks), None
        )

    def _never(self, request: int, tasks: int) -> bool:
        """Whether not even the empty center could run it."""
        memo = (request, tasks)
        if memo not in self.impossible:
            self.impossible[memo] = not any(self._ever(need, tasks) for need in self._needs(request))
        return self.impossible[memo]

    def _ever(self, need: Need, tasks: int) -> bool:
        """Whether the empty center holds all tasks."""
        fit = self.capacity.topology_cache.ever.get(need)
        if fit is None:
            fit = self.capacity.topology_cache.ever[need] = self.empty.fit(need, ALL, False)
        return int(fit.sum()) >= tasks

    def _impossible(self, request: int, tasks: int) -> Callable[[], Reason]:
        def found() -> Reason:
            asked, needs = self.snapshot.requests[request], self._needs(request)
            return reasons.impossible(reasons.details(self.snapshot, self.empty, asked, needs, tasks))

        return found

    def _estimate(self, found: tuple[int, Need, bool] | None) -> StartEstimate | None:
        """From now until all that must end reached its limit; likely half-way.

        Where an end is predicted, the prediction is the likely start and its band the latest, and it is called a guess;
        None where an end is unknown.
        """
        if found is None:
            return None
        now, at_us = self.snapshot.now_us, found[0]
        if not found[2]:
            return StartEstimate(now, now + (at_us - now) // 2, at_us)
        latest = self.timeline.latest(at_us)
        return None if latest is None else StartEstimate(now, at_us, latest, guess=True)

    def _hold(self, at_us: int, need: Need, tasks: int, *, surely: bool = False) -> None:
        """Keep a place; `surely`: one that rests on no guessed end, if there is one."""
        future = self.timeline.room_without(self.timeline.over_by(at_us)) if surely else None
        if future is None or not fits(future, need, tasks):
            future = self.timeline.room_at(at_us)
        self.timeline.reserve(future, need, tasks, self._selector().scorer)
        self._held(at_us)

    def _held(self, at_us: int) -> None:
        """Something is held from that moment on: look anew at what jobs that run past it may take."""
        self.reserved_us = min(self.reserved_us or at_us, at_us)
        self.windows.follow()
        for selector in self.selectors.values():
            selector.forget()
        self.full = {memo for memo in self.full if not memo[2]}

    def _free_by_preemption(
        self, run: Run, needs: tuple[Need, ...], rows: list[int], guaranteed: bool
    ) -> list[int]:
        """Cut or stop cheaper attempts for the first of `rows`; returns the rows that got nothing this way."""
        if self.snapshot.running.max_tasks.any():
            rows = self._cut_for(run, needs, rows, guaranteed)
        if not rows or not guaranteed or self.preemption is None or not self.snapshot.running.count:
            return rows
        config, tasks, now = self.lane.config, run.job_class.tasks, self.snapshot.now_us
        soon = now + round(config.grace_s * _US)
        left = list(rows)
        while left and self.preempt_tries < config.preempt_depth and len(self.stops) < config.preempt_limit:
            self.preempt_tries += 1
            count = self._victims(run.job_class, needs, left[0], soon)
            if count == 0:
                break
            if self.unheld is not None:
                self._reserve_first()
            ready = self.timeline.room_at(soon)
            need = next((need for need in needs if fits(ready, need, tasks)), None)
            if need is None:
                break
            self._hold(soon, need, tasks, surely=True)
            self._wait(left[:1], self._reason(reasons.preempting(count, StartEstimate(now, soon, soon))))
            self.head = left[0] if self.head is None else self.head
            left = left[1:]
        return left

    def _victims(self, job_class: JobClass, needs: tuple[Need, ...], row: int, soon: int) -> int:
        """How many attempts are ending or were now told to end for this job; 0 when that would not do."""
        if self.preemption is None:
            return 0
        tasks, running = job_class.tasks, self.snapshot.running
        if self.timeline.any_by(soon) and self._ready(needs, tasks, soon):
            # without any that ends for it, what runs ends by itself just as soon
            return int((running.ending | self.leaving).sum())
        ranks = self.places[1] if self.preemption.ranks else None
        rank = int(self.places[0][row]) if self.preemption.ranks else 0
        claim = Claim(
            job_class.org, job_class.project, job_class.priority, tasks, self.quotas.any_guarantee, rank
        )
        may = self.preemption.candidates(self.snapshot, self.lane.config, self.quotas, claim, ranks)
        if not (may.able & ~self.leaving).any():
            return 0
        if self.unheld is not None:  # who stands before it is not to lean on what is stopped for it
            self._reserve_first()
        found = find_victims(
            self.snapshot, self.preemption, self.quotas, self.timeline, needs, claim, may, self.leaving, ranks,
            soon,
        )  # fmt: skip
        if not found:
            return 0
        self.leaving[list(found)] = True
        self.timeline.end_soon(found, soon)
        job, grace_s = self.snapshot.waiting.ids[row], self.lane.config.grace_s
        for a in found:
            self.stops.append(
                Stop(running.ids[a], running.job_ids[a], job, grace_s, self._why_stopped(claim, a))
            )
        return len(found)

    def _ready(self, needs: tuple[Need, ...], tasks: int, soon: int) -> bool:
        """Whether it fits once all that ends until then has ended."""
        ready = self.timeline.room_at(soon)
        return any(fits(ready, need, tasks) for need in needs)

    def _why_stopped(self, claim: Claim, attempt: int) -> Text:
        assert self.preemption is not None
        return self.preemption.why(self.snapshot, claim, attempt)


def _with_start(
    reason: Callable[[], Reason], start: Callable[[], StartEstimate | None]
) -> Callable[[], Reason]:
    """The same reason with a start estimate."""
    return lambda: replace(reason(), start=start())
