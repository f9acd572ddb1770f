"""The replay itself: virtual time, and at each moment of change the same `plan` that the live center calls.

Moments are ends, stops, arrivals and, while time alone might let a job be preempted, ticks. At each the state is brought up
to date, the planner asked where its answer could be anything, and its answer carried out.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from pearlstreet.base.clock import US_PER_S
from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.compute.replay.constraints import NO_TERMS, Terms
from pearlstreet.compute.replay.fitting import Fitting
from pearlstreet.compute.replay.fragments import Fragments
from pearlstreet.compute.replay.learning import Learning
from pearlstreet.compute.replay.outcome import Levels, Outcome, Place, Runs
from pearlstreet.compute.replay.settings import ReplaySettings
from pearlstreet.compute.replay.state import State
from pearlstreet.compute.replay.trace import Trace
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.cycle import plan
from pearlstreet.compute.scheduling.plan import Placement, Plan
from pearlstreet.compute.scheduling.registry import ELASTICITIES, ORDERS
from pearlstreet.compute.scheduling.rows import NodeRow, PflopsOf

Progress = Callable[[int, int, int], None]
"""Jobs that ended, all jobs, virtual time in µs."""
_FOREVER = 1 << 62
_ROUNDS_MAX = 64
"""Limit of plans at one moment: a plan that stops attempts makes another plan useful."""
_FRAGMENTS = 200
"""Moments at which fragmentation is looked at."""
_LEARN, _LEARN_MOST = 200, 5000
"""Arrivals after which the workload is looked at anew: as many as there were, between these."""
_H_US = 3_600 * US_PER_S


@dataclass(slots=True)
class _Run:
    """A job that holds its place."""

    start_us: int
    place: Place
    serial: int
    overhead_us: int
    """Time at its beginning that restarting takes."""
    tasks: int = 0
    speed: float = 1.0
    """Speed relative to the number of tasks the job asked for."""


@dataclass(frozen=True, slots=True)
class _Halted:
    """A job that was stopped at this very moment, and what was known of it before."""

    run: _Run
    left_us: int
    served_us: int
    held_us: int
    lost_us: int
    sums: tuple[int, int]
    limit_us: int
    resized: bool
    """Stopped to go on with another number of tasks."""


@dataclass(slots=True)
class _Ends:
    """Moments to come."""

    heap: list[tuple[int, int, int]] = field(default_factory=list)
    serial: int = 0

    def add(self, at_us: int, row: int) -> int:
        self.serial += 1
        heapq.heappush(self.heap, (at_us, self.serial, row))
        return self.serial

    def next_us(self) -> int:
        return self.heap[0][0] if self.heap else _FOREVER


class Replay:
    """Replays one trace on one set of nodes under one configuration. Deterministic."""

    def __init__(
        self,
        trace: Trace,
        nodes: Sequence[NodeRow],
        config: PlannerConfig,
        settings: ReplaySettings,
        pflops_of: PflopsOf,
        terms: Terms = NO_TERMS,
    ) -> None:
        self.trace, self.config, self.settings = trace, config, settings
        self.state = State(trace, nodes, pflops_of, terms)
        self.fitting = Fitting(self.state)
        self.fragments = Fragments(self.state, self.fitting)
        self._row = {name: row for row, name in enumerate(trace.ids)}
        names = (config.elasticity, *(queue.elasticity for queue in config.queues))
        policies = [policy for name in names if name is not None and (policy := ELASTICITIES[name])]
        self._elastic = bool(policies and trace.max_tasks.any())
        self._grows = self._elastic and any(policy.grows for policy in policies)
        fewest = np.where(trace.min_tasks > 0, trace.min_tasks, trace.tasks) if self._elastic else trace.tasks
        self._shapes = list(zip(trace.request.tolist(), fewest.tolist(), strict=True))
        """Request of every job, and the smallest number of tasks it can run with."""
        self._asked = trace.tasks.tolist()
        self._resumes: dict[int, int] = {}
        self._sums: dict[int, tuple[int, int]] = {}
        """Card time and normalised work of resized jobs while they ran, in basis points × µs and GFLOPS × µs."""
        self._submit = trace.submit_us.tolist()
        self._left_us = trace.duration_us.tolist()
        """Run time still to come, starting anew included."""
        self._served = [0] * trace.count
        self._limit_us = trace.limit_us.tolist()
        """Remaining time limit of each job in µs: a resize subtracts the time it ran, any other restart resets it; 0: no limit."""
        self._running: dict[int, _Run] = {}
        self._ends, self._stops = _Ends(), _Ends()
        self._stopping: set[int] = set()
        self._halted: dict[int, _Halted] = {}
        self.learning = Learning(self.state)
        self._arrived, self._over, self._now = 0, 0, 0
        self._used_bp = self._used_gflops = 0
        self._usage_us = 0
        self._learn_at = _FOREVER if trace.stays.any() else _LEARN
        self._fragments_us, self._fragments_step = 0, 0
        orders = {config.order, *(queue.order for queue in config.queues)}
        self._fair = "fair-share" in orders
        """Whether an order policy needs the fair-share use."""
        self._guarantees = any(quota.guaranteed for quota in terms.quotas)
        held = self.state.held
        self._turns = sorted({*held.start_us[held.org < 0].tolist(), *held.end_us.tolist()})
        """Times at which maintenance begins and reservations end."""
        self.outcome = self._blank()

    def _blank(self) -> Outcome:
        count, empty = self.trace.count, self.state.empty
        model = empty.nodes.device_model
        cards = np.bincount(model[model >= 0], minlength=len(empty.models))
        return Outcome(
            trace=self.trace,
            node_names=empty.nodes.names,
            capacity_bp=int(cards.sum()) * FULL_BP,
            capacity_gflops=int(cards @ empty.model_gflops) if len(cards) else 0,
            cards_bp=np.zeros(count, dtype=np.int64),
            gflops=np.zeros(count, dtype=np.int64),
            first_us=np.full(count, -1, dtype=np.int64),
            end_us=np.full(count, -1, dtype=np.int64),
            held_us=np.zeros(count, dtype=np.int64),
            lost_us=np.zeros(count, dtype=np.int64),
            stops=np.zeros(count, dtype=np.int64),
            resizes=np.zeros(count, dtype=np.int64),
            never={},
            runs=Runs(),
            levels=Levels(),
        )

    def run(self, progress: Progress | None = None) -> Outcome:
        """Play the whole trace; jobs that an empty cluster could not run are left out, with the code `impossible`."""
        trace, outcome = self.trace, self.outcome
        possible = {shape: self.fitting.fits(shape) for shape in set(self._shapes)}
        queue = []
        for row, shape in enumerate(self._shapes):
            if possible[shape]:
                queue.append(row)
            else:
                outcome.never[row] = "impossible"
        self._over = len(outcome.never)
        span = int(trace.submit_us[-1]) if trace.count else 0
        self._fragments_step = max(span // _FRAGMENTS, US_PER_S)
        if trace.stays.any():
            self.state.learn_workload(
                trace.count
            )  # jobs that stay for ever form a fill experiment, whose mix of requests is known beforehand
        report = max(trace.count // 200, 1)
        told = 0
        while True:
            moment = self._next(queue)
            if moment == _FOREVER:
                break
            self._now = moment
            outcome.events += 1
            self._move(queue)
            self._decide()
            self._note()
            if progress is not None and self._over >= told:
                told = self._over + report
                progress(self._over, trace.count, moment)
        self._give_up()
        if progress is not None:
            progress(trace.count, trace.count, self._now)
        return outcome

    def _next(self, queue: list[int]) -> int:
        arrival = self._submit[queue[self._arrived]] if self._arrived < len(queue) else _FOREVER
        moment = min(arrival, self._ends.next_us(), self._stops.next_us())
        moment = min(moment, self._wake_us(), self._resize_us())
        if self._turns and (moment < _FOREVER or self.state.waiting.count):
            moment = min(moment, next((at for at in self._turns if at > self._now), _FOREVER))
        return moment

    def _resize_us(self) -> int:
        """Return when an elastic job has run long enough to be cut, or to grow."""
        if not self._elastic or not self._running:
            return _FOREVER
        running, now = self.state.running, self._now
        started = running["started_us"][running["max_tasks"] > 0]
        config, due = self.config, _FOREVER
        for policy in (config, *(config.of_queue(queue.name) for queue in config.queues)):
            for after_s in (policy.min_run_s, policy.grow_after_s):
                at_us = started + round(after_s * US_PER_S)
                due = min(due, int(at_us[at_us > now].min(initial=_FOREVER)))
        return due

    def _wake_us(self) -> int:
        """Return when the planner's answer may change although no job arrives or ends."""
        config, now = self.config, self._now
        if not self._running or not self.state.waiting.count or not self._may_preempt():
            return _FOREVER
        tick_us = max(round(self.settings.tick_s * US_PER_S), 1)
        if config.queues or config.wait_max_s or config.age_s:
            return now + tick_us
        running = self.state.running
        mature = running["started_us"][running["preemptible"]] + round(config.min_run_s * US_PER_S)
        due = int(mature[mature > now].min(initial=_FOREVER))
        changes = ORDERS[config.order].changes_us(self.state.snapshot(now), config)
        return min(due, max(changes, now + 1)) if changes else due

    def _move(self, queue: list[int]) -> None:
        """Bring the state to this moment: first what ends, then what arrives."""
        now = self._now
        if min(self._ends.next_us(), self._stops.next_us()) <= now:
            self._accrue()  # what ends now has run until now
        while self._ends.next_us() <= now:
            _, serial, row = heapq.heappop(self._ends.heap)
            if row in self._running and self._running[row].serial == serial:
                self._finish(row)
        while self._stops.next_us() <= now:
            _, _, row = heapq.heappop(self._stops.heap)
            if row in self._stopping:
                self._halt(row)
        if self._turns:
            for row in self.state.in_the_way(now):
                self._stop(row)
        while self._arrived < len(queue) and self._submit[queue[self._arrived]] <= now:
            self._enqueue(queue[self._arrived])
            self._arrived += 1
        if self._arrived >= self._learn_at:
            self.state.learn_workload(self._arrived)
            self._learn_at = self._arrived + min(max(self._arrived, _LEARN), _LEARN_MOST)

    # What happens to a job

    def _enqueue(self, row: int) -> None:
        limit = self._limit_us[row]
        self.state.wait(row, self._served[row], self._prediction(row), limit, self._resumes.pop(row, 0))
        self.fitting.add(self._shapes[row])

    def _prediction(self, row: int) -> tuple[int, int, int]:
        """Run time still to come: likely, low, high; 0: not known."""
        if self.settings.tell_durations:
            left = max(self._left_us[row], 1)
            return left, left, left
        if not self.settings.learn:
            return 0, 0, 0
        return self.learning.left_us(row, int(self.outcome.held_us[row] - self.outcome.lost_us[row]))

    def _start(self, placement: Placement) -> None:
        row, now, outcome = self._row[placement.job_id], self._now, self.outcome
        by_node: dict[int, list[int]] = {}
        for task in placement.tasks:
            by_node.setdefault(task.node_index, []).extend(device.index for device in task.devices)
        place = tuple((node, tuple(indices)) for node, indices in by_node.items())
        tasks = len(placement.tasks)
        run = self._undisturbed(row, place, tasks)
        attempt = int(outcome.stops[row] + outcome.resizes[row])
        if run is None:
            speed = 1.0 if tasks == self._asked[row] else self._speed(row, tasks)
            run = _Run(now, place, 0, self._restart_us(row) if attempt else 0, tasks, speed)
        limit = self._limit_us[row]
        likely, low, high = (
            run.start_us + (us if run.speed == 1.0 else round(us / run.speed)) if us else 0
            for us in self._prediction(row)
        )
        self.state.start(
            row, attempt, placement, run.start_us, run.start_us + limit if limit else 0,
            self._served[row], (likely, low, high),
        )  # fmt: skip
        if not self.trace.stays[row]:
            left_us = self._left_us[row]
            if run.speed != 1.0:
                left_us = run.overhead_us + round(max(left_us - run.overhead_us, 0) / run.speed)
            run.serial = self._ends.add(run.start_us + left_us, row)
        self._running[row] = run
        self.fitting.remove(self._shapes[row])
        if outcome.first_us[row] < 0:
            outcome.first_us[row] = now
        outcome.gflops[row] = placement.gflops
        outcome.cards_bp[row] = self.state.running["cards_bp"][-1]
        self._used_bp += int(outcome.cards_bp[row])
        self._used_gflops += placement.gflops

    def _speed(self, row: int, tasks: int) -> float:
        """Return the speed of an elastic job with this number of tasks, relative to the number it asked for."""
        return float((tasks / self._asked[row]) ** self.settings.elastic_power)

    def _undisturbed(self, row: int, place: Place, tasks: int) -> _Run | None:
        """Return the run of a job stopped at this moment and placed where it was: it counts as never stopped."""
        halted = self._halted.get(row)
        if halted is None:
            return None
        if halted.run.place != place or halted.run.tasks != tasks or self.settings.stop_s > 0:
            self._settle(row)
            return None
        del self._halted[row]
        self._left_us[row], self._served[row] = halted.left_us, halted.served_us
        self._limit_us[row] = halted.limit_us
        self.outcome.held_us[row], self.outcome.lost_us[row] = halted.held_us, halted.lost_us
        (self.outcome.resizes if halted.resized else self.outcome.stops)[row] -= 1
        if row in self._sums:
            self._sums[row] = halted.sums
        return halted.run

    def _restart_us(self, row: int) -> int:
        settings = self.settings
        wide = self._shapes[row][1] > 1
        return round((settings.restart_gang_s if wide else settings.restart_s) * US_PER_S)

    def _release(self, row: int) -> _Run:
        """Give back what a job holds, and count it."""
        run, outcome = self._running.pop(row), self.outcome
        self.state.end(row)
        self.fitting.released()
        held = self._now - run.start_us
        outcome.held_us[row] += held
        outcome.lost_us[row] += min(held, run.overhead_us)
        self._served[row] += held * int(outcome.cards_bp[row]) // FULL_BP
        self._used_bp -= int(outcome.cards_bp[row])
        self._used_gflops -= int(outcome.gflops[row])
        if self._elastic and self.trace.max_tasks[row]:
            self._average(row, held)
        return run

    def _average(self, row: int, held_us: int) -> None:
        """Store the mean cards and compute of a job that ran with several numbers of tasks."""
        outcome, (cards, gflops) = self.outcome, self._sums.get(row, (0, 0))
        cards += held_us * int(outcome.cards_bp[row])
        gflops += held_us * int(outcome.gflops[row])
        self._sums[row] = cards, gflops
        if outcome.held_us[row]:
            outcome.cards_bp[row] = cards // int(outcome.held_us[row])
            outcome.gflops[row] = gflops // int(outcome.held_us[row])

    def _finish(self, row: int) -> None:
        self._stopping.discard(row)
        run = self._release(row)
        self.outcome.runs.add(row, run.start_us, self._now, run.place)
        self.outcome.end_us[row] = self._now
        self._over += 1
        self.learning.ended(row, self._served[row])

    def _stop(self, row: int) -> None:
        """Carry out a preemption."""
        if row in self._stopping:
            return
        self._stopping.add(row)
        wait_us = round(self.settings.stop_s * US_PER_S)
        if wait_us == 0:
            self._halt(row)
            return
        self.state.set_ending(self.state.position_of(row), self._resumes.get(row, 0))
        self._stops.add(self._now + wait_us, row)

    def _halt(self, row: int) -> None:
        """Stop a job: keep its saved progress and queue it again."""
        self._stopping.discard(row)
        outcome = self.outcome
        before = _Halted(
            self._running[row],
            self._left_us[row],
            self._served[row],
            int(outcome.held_us[row]),
            int(outcome.lost_us[row]),
            self._sums.get(row, (0, 0)),
            self._limit_us[row],
            row in self._resumes,
        )
        run = self._release(row)
        held = self._now - run.start_us
        useful = max(held - run.overhead_us, 0)
        lost = self._unsaved(useful)
        outcome.lost_us[row] += lost
        if row in self._resumes:
            outcome.resizes[row] += 1
            self._limit_us[row] = max(before.limit_us - held, US_PER_S) if before.limit_us else 0
        else:
            outcome.stops[row] += 1
            self._limit_us[row] = int(self.trace.limit_us[row])
        if run.speed == 1.0:
            self._left_us[row] += lost - held + self._restart_us(row)
        else:
            done = held - useful + round((useful - lost) * run.speed)
            self._left_us[row] += self._restart_us(row) - done
        self._halted[row] = before
        self._enqueue(row)

    def _settle(self, row: int) -> None:
        """Record the end of a stopped job's run, since it was not placed where it was."""
        run = self._halted.pop(row).run
        self.outcome.runs.add(row, run.start_us, self._now, run.place)

    def _unsaved(self, useful_us: int) -> int:
        every = self.settings.checkpoint_s
        if every < 0:
            return useful_us
        if every == 0:
            return 0
        return useful_us % round(every * US_PER_S)

    # What the planner is asked, and what it answers

    def _decide(self) -> None:
        for _ in range(_ROUNDS_MAX):
            if not self._worth_asking():
                self.outcome.skipped += 1
                break
            self._accrue()
            answer = plan(self.state.snapshot(self._now), self.config, cache=self.state.cache)
            self.outcome.plans += 1
            self._carry_out(answer)
            if not (answer.preemptions or answer.resizes) or self.settings.stop_s > 0:
                break
        for row in sorted(self._halted):
            self._settle(row)
        self._drop_impatient()

    def _carry_out(self, answer: Plan) -> None:
        stopped = [self._row[item.job_id] for item in answer.preemptions]
        for resize in answer.resizes:
            self._resumes[self._row[resize.job_id]] = resize.tasks
            stopped.append(self._row[resize.job_id])
        for placement in answer.placements:
            self._start(placement)
        if answer.placements:
            self.state.leave(self._row[placement.job_id] for placement in answer.placements)
        for row in stopped:
            self._stop(row)

    def _worth_asking(self) -> bool:
        if not self.state.waiting.count:
            return self._grows and self._may_resize()
        return self._may_preempt() or self.fitting.any_fits() or (self._elastic and self._may_resize())

    def _may_resize(self) -> bool:
        """Return whether an elastic job has run long enough to be cut, or to grow."""
        running, config = self.state.running, self.config
        started = running["started_us"][running["max_tasks"] > 0]
        if not len(started):
            return False
        least_s = (
            min(config.grow_after_s, config.min_run_s) if self.state.waiting.count else config.grow_after_s
        )
        return bool(config.queues) or int(started.min()) + round(least_s * US_PER_S) <= self._now

    def _may_preempt(self) -> bool:
        """Return whether a plan could stop anything that runs."""
        config, running = self.config, self.state.running
        if config.queues:
            return True
        if config.preemption == "none" or not running.count or not running["preemptible"].any():
            return False
        if config.preemption not in ("priority", "priority-across-accounts") or self._guarantees:
            return True
        return int(self.state.waiting["priority"].max()) > int(running["priority"].min())

    def _drop_impatient(self) -> None:
        """Remove waiting jobs that are permitted only one attempt at a start."""
        waiting = self.state.waiting_rows
        gone = waiting[self.trace.stays[waiting]].tolist()
        for row in gone:
            self.outcome.never[row] = "capacity"
            self.fitting.remove(self._shapes[row])
        if gone:
            self.state.leave(gone)

    def _accrue(self) -> None:
        """Decay fair-share use and add the use since the last plan, as the live center does."""
        elapsed_us = self._now - self._usage_us
        if elapsed_us <= 0 or not self._fair:
            return
        self._usage_us = self._now
        half_life_us = self.config.half_life_s * US_PER_S
        fade = 0.5 ** (elapsed_us / half_life_us)
        hours = half_life_us / np.log(2) * (1 - fade) / _H_US
        usage, running = self.state.usage, self.state.running
        usage *= fade
        if running.count:
            project = running["project"]
            for resource, (column, unit) in enumerate((("gflops", 1e6), ("cpu", 1e3), ("memory", 1024.0))):
                held = np.bincount(project, weights=running[column], minlength=len(usage))
                usage[:, resource] += held * (hours / unit)

    # What is kept for the report

    def _note(self) -> None:
        waiting = self.state.waiting
        self.outcome.levels.note(
            self._now, self._used_bp, self._used_gflops, waiting.count, self._waiting_cards()
        )
        if self._now >= self._fragments_us:
            self._fragments_us = self._now + self._fragments_step
            self.outcome.levels.fragments_at.append(self._now)
            self.outcome.levels.fragments.append(self.fragments.share())

    def _waiting_cards(self) -> int:
        return sum(
            count * shape[1] * max((need.card_bp for need in self.fitting.needs(shape[0])), default=0)
            for shape, count in self.fitting.waiting.items()
        )

    def _give_up(self) -> None:
        """Mark the waiting jobs as never started."""
        why = {}
        if self.state.waiting.count:
            asked = plan(self.state.snapshot(self._now), self.config, cache=self.state.cache)
            why = {wait.job_id: wait.reason.code.value for wait in asked.waits}
        for row, run in self._running.items():  # the jobs that never end
            self.outcome.runs.add(row, run.start_us, self._now, run.place)
        for row in self.state.waiting_rows.tolist():
            self.outcome.never[row] = why.get(self.trace.ids[row], "capacity")
