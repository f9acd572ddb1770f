"""Resizes elastic jobs: starts them with fewer tasks, cuts running ones, widens them, and resumes those that were stopped for
it. What is allowed is the decision of the elasticity policy.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from pearlstreet.compute.scheduling import reasons
from pearlstreet.compute.scheduling.capacity import ALL, FreeCapacity, Need
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.cycle_state import CycleState
from pearlstreet.compute.scheduling.elasticity import growth
from pearlstreet.compute.scheduling.elasticity.cuts import WhatIf, find_cuts, place_gang, resume_order
from pearlstreet.compute.scheduling.job_classes import JobClass, Run
from pearlstreet.compute.scheduling.model import I64, Bools
from pearlstreet.compute.scheduling.order.ties import ranked
from pearlstreet.compute.scheduling.placement.selector import NodeSelector, Placed
from pearlstreet.compute.scheduling.plan import Resize, StartEstimate
from pearlstreet.compute.scheduling.preemption.protocol import Claim
from pearlstreet.compute.scheduling.queues import Lane
from pearlstreet.compute.scheduling.registry import ELASTICITIES, PLACEMENTS
from pearlstreet.compute.scheduling.report import Given
from pearlstreet.compute.scheduling.timeline import fits

_US = 1_000_000
RESUMED = "pack"
"""Placement policy of resumed jobs: it depends on the nodes only, so a trial placement is repeated exactly later."""
_NOBODY: I64 = np.zeros(0, dtype=np.int64)


class Resizer:
    """Resizes elastic jobs of one cycle; `resizes` collects the decisions."""

    def __init__(self, state: CycleState) -> None:
        self.state = state
        self.resizes: list[Resize] = []
        self.unserved: set[int] = set()
        """Device models with unmet demand ahead; no cut may serve a later job on these."""
        self.moving: set[int] = set()
        """Models on which jobs cut in this cycle may resume, and models they were cut for. Another cut there could put a
        resuming job where another is to start, so it waits for the next cycle."""
        self.excused: set[int] = set()
        """Classes of waiting jobs that nothing an elastic job holds would help."""
        self.resumes = "-"
        """Id of a job whose place is kept while it is being resized."""

    def _visible_to(self, attempt: int) -> FreeCapacity:
        """Return the free capacity that a running attempt's job may take when it restarts."""
        if not self.state.windows.any:
            return self.state.capacity
        running = self.state.snapshot.running
        limit_us = max(int(running.expected_end_us[attempt] - running.started_us[attempt]), 0)
        org, project = int(running.org[attempt]), int(running.project[attempt])
        return self.state.windows.capacity(self.state.windows.bars(org, project, limit_us))

    def _needs_of(self, attempt: int) -> tuple[Need, ...]:
        running = self.state.snapshot.running
        return self.state.needs_of_request(int(running.request[attempt]), int(running.max_tasks[attempt]))

    def resume_stopped(self) -> None:
        """First of all, jobs that were stopped to go on with another number of tasks; and keep the place of those that are
        being stopped for it."""
        waiting, running = self.state.snapshot.waiting, self.state.snapshot.running
        if not (waiting.resumes_tasks.any() or running.resumes_tasks.any()):
            return
        rows = np.flatnonzero(waiting.resumes_tasks > 0)
        ids = [waiting.ids[row] for row in rows.tolist()]
        for row in rows[ranked((waiting.submitted_us[rows],), ids)].tolist() if len(rows) else ():
            class_index = int(self.state.classes.of[row])
            shared = self.state.job_class(class_index)
            config = replace(self.state.queue_config(int(waiting.queue[row])), placement=RESUMED)
            self.state.enter(Lane(config, _NOBODY))
            self.state.look_as(shared.org, shared.project, shared.limit_us)
            most = int(waiting.resumes_tasks[row])
            fewest = min(shared.min_tasks or most, most)
            run = Run(class_index, shared._replace(tasks=most + 1, min_tasks=fewest), [row])
            is_limited = shared.array >= 0 and shared.array_limit >= 0
            elements_left = shared.array_limit - self.state.elements[shared.array] if is_limited else 1
            needs = self.state.needs_of_request(shared.request, max(most, shared.max_tasks))
            within = (
                max(self.state.allowed_by_quota(shared.org, shared.project, needs, 1, True), default=0)
                >= most
            )
            self.start_smaller(run, needs, [row], elements_left, within)
        going = np.flatnonzero(running.ending & (running.resumes_tasks > 0))
        if len(going) and waiting.count:
            self.state.enter(Lane(self.state.config, _NOBODY))
            soon = self.state.snapshot.now_us + round(self.state.config.grace_s * _US)
            for a in resume_order(self.state.snapshot, going.tolist()):
                self._keep_place(a, int(running.resumes_tasks[a]), soon)

    def _keep_place(self, attempt: int, tasks: int, soon: int) -> None:
        """Reserve, from `soon` on, the place where an attempt that is being stopped will resume."""
        running, mine = self.state.snapshot.running, self.state.timeline.visible
        if running.request[attempt] >= 0:
            self.state.timeline.visible = self._visible_to(attempt)
            capacity, needs = self.state.timeline.capacity_at(soon), self._needs_of(attempt)
            fit = [min(int(np.minimum(capacity.fit(n, ALL, False), tasks).sum()), tasks) for n in needs]
            most = max(fit, default=0)
            if most >= max(int(running.min_tasks[attempt]), 1):
                scorer = PLACEMENTS[RESUMED](self.state.snapshot, self.state.lane.config, self.state.cache)
                self._keep(soon, place_gang(NodeSelector(capacity, scorer), needs, most, False))
                self.resumes = running.job_ids[attempt]
        self.state.timeline.visible = mine

    def _keep(self, soon: int, placed: Sequence[Placed]) -> None:
        """Hold places of one job from `soon` on."""
        if not placed:
            return
        need, chunks = placed[0][0], [chunk for _, chunk in placed]
        future = self.state.timeline.capacity_at(soon)
        for chunk in chunks:
            future.take(chunk, need, lasting=False)
        self.state.timeline.hold(future, need, chunks)
        self.state.look_anew_from(soon)

    def start_smaller(
        self, run: Run, needs: tuple[Need, ...], rows: list[int], elements_left: int, guaranteed: bool
    ) -> list[int]:
        """Start elastic jobs with as many tasks as fit, fewer than they asked for; returns those that found no place."""
        job = run.job_class
        tasks, org, project, limit_us, fewest = job.tasks, job.org, job.project, job.limit_us, job.min_tasks
        selector, tries = self.state.selector(), 0
        while rows and elements_left > 0 and tries < 2:
            allowed = [
                min(most, tasks - 1)
                for most in self.state.allowed_by_quota(org, project, needs, 1, guaranteed)
            ]
            lasting = self.state.outlasts_reservations(limit_us)
            sizes = [
                min(int(np.minimum(selector.table(need, lasting).fit, tasks).sum()), most)
                for need, most in zip(needs, allowed, strict=True)
            ]
            size = max(sizes, default=0)
            if size < fewest:
                break
            able = tuple(need for need, most in zip(needs, sizes, strict=True) if most == size)
            joint = able if selector.scorer.joint else able[:1]
            placed, _ = self.state.place(selector, joint, size, 1, limit_us)
            self.state.record(run, rows[: len(placed)], placed, guaranteed)
            rows, elements_left = rows[len(placed) :], elements_left - len(placed)
            tries = (
                0 if placed else tries + 1
            )  # after a failure once more: placing may have made the delayed reservation, which frees other nodes
        return rows

    def cut_for(self, run: Run, needs: tuple[Need, ...], rows: list[int], guaranteed: bool) -> list[int]:
        """Cut running elastic jobs for the first of `rows`; returns the rows that got nothing this way."""
        models, config, tasks = {need.model for need in needs}, self.state.lane.config, run.job_class.tasks
        blocked = self.unserved | self.moving if self.state.elasticity is not None else models
        now = self.state.snapshot.now_us
        soon = now + round(config.grace_s * _US)
        left = list(rows)
        while left and models.isdisjoint(blocked) and self.state.preempt_tries < config.preempt_depth:
            self.state.preempt_tries += 1
            count = self._cuts(run.job_class, needs, left[0], soon, guaranteed)
            if count:
                ready = self.state.timeline.capacity_at(soon)
                need = next((need for need in needs if fits(ready, need, tasks)), None)
                count = count if need is not None else 0
            if not count or need is None:
                break
            self.state.hold_place(soon, need, tasks, surely=True)
            self.state.set_reason(
                left[:1], self.state.add_reason(reasons.resizing(count, StartEstimate(now, soon, soon)))
            )
            self.state.head = left[0] if self.state.head is None else self.state.head
            left, blocked = left[1:], self.unserved | self.moving
        if left:  # later jobs may not cut for these models: what a cut frees, directly or by moving, goes to these rows first
            self.unserved |= models | self._elsewhere(needs)
        return left

    def _elsewhere(self, needs: tuple[Need, ...]) -> set[int]:
        """Return the models that running elastic jobs allow, of those jobs that hold devices these needs could use."""
        rows = np.flatnonzero(self._elastic() & self._holding(needs))
        return {need.model for a in rows.tolist() for need in self._needs_of(a)}

    def _elastic(self) -> Bools:
        """Return attempts that may be resized at all, and whose request is known."""
        running = self.state.snapshot.running
        return np.asarray((running.max_tasks > 0) & (running.request >= 0))

    def _cuts(
        self, job_class: JobClass, needs: tuple[Need, ...], row: int, soon: int, guaranteed: bool
    ) -> int:
        """Return how many elastic jobs are cut, now or already, so that this one fits soon; 0 if cuts do not suffice."""
        assert self.state.elasticity is not None
        running, config = self.state.snapshot.running, self.state.lane.config
        if self.state.unheld is not None:
            self.state.make_reservation()
        ready = self.state.timeline.capacity_at(soon)
        if any(fits(ready, need, job_class.tasks) for need in needs):
            return int((running.ending | self.state.leaving).sum())
        claim = Claim(job_class.org, job_class.project, job_class.priority, job_class.tasks, guaranteed)
        slack = self.state.elasticity.slack(self.state.snapshot, config, self.state.quotas, claim)
        if slack is None:
            return 0
        what_if = WhatIf(
            self.state.snapshot, self.state.timeline, lambda: PLACEMENTS[RESUMED](self.state.snapshot, config, self.state.cache), needs, job_class.tasks,
            self.state.leaving, self._needs_of, self._visible_to,
        )  # fmt: skip
        cuts = find_cuts(
            self.state.snapshot, what_if, slack, self._holding(needs) & ~self._moves(), self.state.leaving
        )
        if not cuts:
            return 0
        places = what_if.places(cuts)
        self.moving |= {need.model for a in cuts for need in (*needs, *self._needs_of(a))}
        self._resize(cuts, soon, self.state.snapshot.waiting.ids[row])
        for _, placed in places or ():
            self._keep(soon, placed)
        return len(cuts)

    def _holding(self, needs: tuple[Need, ...]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Return the attempts that hold resources these needs could use."""
        running = self.state.snapshot.running
        if any(need.model < 0 for need in needs):
            return np.ones(running.count, dtype=np.bool_)
        model = self.state.snapshot.nodes.device_model[running.device_node, running.device_position]
        found = np.zeros(running.count, dtype=np.bool_)
        found[running.device_attempt[np.isin(model, [need.model for need in needs])]] = True
        return found

    def _moves(self) -> Bools:
        """Return the attempts that could resume on nodes where others cut in this cycle resume, or where the jobs they were cut for start."""
        found = np.zeros(self.state.snapshot.running.count, dtype=np.bool_)
        for a in np.flatnonzero(self._elastic()).tolist() if self.moving else ():
            found[a] = not self.moving.isdisjoint(need.model for need in self._needs_of(a))
        return found

    def _resize(self, sizes: dict[int, int], soon: int, for_job_id: str) -> None:
        """Decide that these attempts resume with the given numbers of tasks."""
        running = self.state.snapshot.running
        self.state.leaving[list(sizes)] = True
        self.state.timeline.end_soon(list(sizes), soon)
        for a in resume_order(self.state.snapshot, list(sizes)):
            before = int((running.task_attempt == a).sum())
            why = reasons.cut(before, sizes[a]) if for_job_id else reasons.grown(before, sizes[a])
            grace_s = self.state.lane.config.grace_s
            self.resizes.append(
                Resize(running.ids[a], running.job_ids[a], sizes[a], grace_s, why, before, for_job_id)
            )

    def may_grow(self) -> bool:
        """Return whether any elastic job might be widened."""
        snapshot, config = self.state.snapshot, self.state.config
        if not (snapshot.running.max_tasks.any() or any(self._most(item) for item in self.state.given)):
            return False
        names = (config.elasticity, *(queue.elasticity for queue in config.queues))
        return any(name is not None and ELASTICITIES[name] is not None for name in names)

    def _most(self, item: Given, wanted: Collection[int] = ()) -> int:
        """Return the most tasks that a starting job may be widened to; 0: it may not be widened.

        Where other jobs want the model, it is widened to the requested number at most.
        """
        waiting = self.state.snapshot.waiting
        most, policy = int(waiting.max_tasks[item.row]), None
        if most:
            policy = ELASTICITIES[self.state.queue_config(int(waiting.queue[item.row])).elasticity]
        if policy is None or waiting.resumes_tasks[item.row]:
            return 0
        asked = int(waiting.tasks[item.row])
        top = (
            asked
            if wanted and not {-1, item.need.model}.isdisjoint(wanted)
            else policy.start_most(asked, most)
        )
        return top if top > len(item.chunks) else 0

    def grow(self) -> None:
        """Widen jobs into devices that no waiting job could use: first jobs that start now, which costs nothing, then running ones."""
        wanted = self._wanted()
        if wanted and self.state.unheld is not None:
            self.state.make_reservation()
        starts = [number for number, item in enumerate(self.state.given) if self._most(item, wanted)]
        for place, number in enumerate(starts):
            most = self._most(self.state.given[number], wanted)
            self.state.given[number] = self._widened(self.state.given[number], most, len(starts) - place)
        running = self.state.snapshot.running
        if running.max_tasks.any():
            self._grow_running(wanted)

    def _wanted(self) -> set[int]:
        """Return the models that some waiting job could use if they were free; -1: a job could use any node."""
        waiting = self.state.snapshot.waiting
        left = np.ones(waiting.count, dtype=np.bool_)
        left[[item.row for item in self.state.given]] = False
        left &= waiting.not_before_us <= self.state.snapshot.now_us
        if self.excused:
            left &= ~np.isin(self.state.classes.of, list(self.excused))
        requests = np.unique(waiting.request[left]).tolist()
        return {need.model for request in requests for need in self.state.needs_of_request(request)}

    def _widened(self, item: Given, most: int, sharing: int) -> Given:
        """Return a starting job widened by its share of the devices that are left."""
        waiting, need, now = self.state.snapshot.waiting, item.need, len(item.chunks)
        org, project, limit_us = (
            int(column[item.row]) for column in (waiting.org, waiting.project, waiting.limit_us)
        )
        self.state.enter(Lane(self.state.queue_config(int(waiting.queue[item.row])), _NOBODY))
        self.state.look_as(org, project, limit_us)
        selector = self.state.selector()
        free = min(int(np.minimum(selector.table(need, True).fit, most).sum()), most)
        more = min(
            -(-free // sharing), most - now, *self.state.allowed_by_quota(org, project, (need,), 1, False)
        )
        anew = not self.state.capacity.reserved and not self.state.has_timeline
        if more <= 0:
            return item
        if (
            anew
        ):  # place old and new tasks together: they get closer nodes than new tasks added to the old places
            for chunk in item.chunks:
                self.state.capacity.give_back(chunk, need)
        size = now + more if anew else more
        chunks = tuple(chunk for _, chunk in selector.gang((need,), size, True))
        if not chunks:  # should not happen, since the old places fit
            for chunk in item.chunks if anew else ():
                self.state.capacity.take(chunk, need, lasting=True)
            return item
        if not anew:
            self.state.timeline.placed(need, chunks, limit_us)
            chunks = (*item.chunks, *chunks)
        self.state.quotas.take(org, project, need, more)
        return replace(item, chunks=chunks)

    def _grow_running(self, wanted: set[int]) -> None:
        running, snapshot = self.state.snapshot.running, self.state.snapshot

        def growing(a: int) -> PlannerConfig | None:
            config = self.state.queue_config(int(running.queue[a]))
            policy = ELASTICITIES[config.elasticity]
            return config if policy is not None and policy.grows else None

        rows = growth.candidates(snapshot, growing, self.state.leaving)
        for place, a in enumerate(rows):
            config = self.state.queue_config(int(running.queue[a]))
            self.state.enter(Lane(config, _NOBODY))
            needs, now = self._needs_of(a), int((running.task_attempt == a).sum())
            org, project = int(running.org[a]), int(running.project[a])
            top, asked = int(running.max_tasks[a]), max(int(running.asked_tasks[a]), now)
            allowed = [
                min(top if {-1, need.model}.isdisjoint(wanted) else asked, now + more)
                for need, more in zip(
                    needs, self.state.allowed_by_quota(org, project, needs, 1, False), strict=True
                )
            ]
            visible = self._visible_to(a)
            found = (
                growth.widest(self.state.timeline, visible, needs, a, now, allowed)
                if max(allowed) > now
                else None
            )
            if found is None:
                continue
            tasks = now - (now - found.tasks) // (len(rows) - place)  # its part of what is left, rounded up
            soon = snapshot.now_us + round(config.grace_s * _US)
            if growth.pays(snapshot, config, a, now, tasks):
                self._resize({a: tasks}, soon, "")
                self._keep_place(a, tasks, soon)
                self.state.quotas.take(org, project, found.need, tasks - now)
