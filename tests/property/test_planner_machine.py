"""The planner over many cycles: jobs come and end, nodes drain and break, quotas change, the urgent displace others.

Each cycle's plan is checked as in test_planner.py and then carried out, so that the next one starts from what the
planner itself has made. When everything heals, whatever can ever run has run.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.property.dice import Drawn
from tests.property.machines import lives
from tests.property.planner_world import NOW_US, World, quota_rows, requests, waiting_job, worlds
from tests.property.test_planner import ceiling, check_everything, configs, quota_use

from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.cycle import plan
from pearlstreet.compute.scheduling.plan import Code, Placement, Plan
from pearlstreet.compute.scheduling.rows import DeviceUse, Request, RunningAttempt, TaskUse, WaitingJob

WAITING_MAX = 24


class Cycles(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World((), (), ())
        self.jobs: dict[str, WaitingJob] = {}
        """Attempt → the job it runs, where this machine placed it."""
        self.number = 100

    @initialize(world=worlds())
    def open(self, world: World) -> None:
        self.world = world

    @rule(data=st.data(), request=requests(), preemptible=st.booleans())
    def arrive(self, data: st.DataObject, request: Request, preemptible: bool) -> None:
        if len(self.world.waiting) < WAITING_MAX:
            self.number += 1
            job = waiting_job(Drawn(data.draw), self.number, request)
            self._change(waiting=(*self.world.waiting, replace(job, preemptible=preemptible)))

    @rule(config=configs)
    def cycle(self, config: PlannerConfig) -> None:
        """Plan, check, carry out."""
        check_everything(self.world, config)
        self._carry_out(plan(self.world.snapshot(), config))

    @precondition(lambda self: self.world.running)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        """An attempt ends; one that was displaced goes back to the queue."""
        self._end(data.draw(st.sampled_from(self.world.running)))

    @rule(data=st.data(), schedulable=st.booleans())
    def drain(self, data: st.DataObject, schedulable: bool) -> None:
        number = data.draw(st.integers(0, len(self.world.nodes) - 1))
        nodes = list(self.world.nodes)
        nodes[number] = replace(nodes[number], schedulable=schedulable)
        self._change(nodes=tuple(nodes))

    @rule(data=st.data(), healthy=st.booleans())
    def break_or_mend(self, data: st.DataObject, healthy: bool) -> None:
        number = data.draw(st.integers(0, len(self.world.nodes) - 1))
        nodes = list(self.world.nodes)
        devices = list(nodes[number].devices)
        if devices:
            which = data.draw(st.integers(0, len(devices) - 1))
            devices[which] = replace(devices[which], healthy=healthy)
        nodes[number] = replace(nodes[number], devices=tuple(devices))
        self._change(nodes=tuple(nodes))

    @rule(quotas=st.lists(quota_rows(), max_size=3))
    def limit(self, quotas: list[object]) -> None:
        """New limits; what runs beyond them is not the planner's to stop, but nothing is added to it."""
        self._change(quotas=tuple(quotas))
        answer = plan(self.world.snapshot(), PlannerConfig())
        for quota in self.world.quotas:
            before, more = quota_use(self.world, answer, quota)
            top = ceiling(quota)
            assert top is None or before <= top + 1e-4 or more == 0, (quota, before, more)

    @rule(seconds=st.sampled_from([1, 60, 400, 2000]))
    def wait(self, seconds: int) -> None:
        """Time goes on: seen from the present moment, everything moves into the past."""
        by = seconds * 1_000_000
        self._change(
            running=tuple(
                replace(
                    one,
                    started_us=one.started_us - by,
                    expected_end_us=None if one.expected_end_us is None else one.expected_end_us - by,
                )
                for one in self.world.running
            ),
            waiting=tuple(
                replace(job, not_before_us=max(0, job.not_before_us - by)) for job in self.world.waiting
            ),
        )

    @invariant()
    def nothing_is_given_twice(self) -> None:
        for node in self.world.after().values():
            assert node.cpu >= 0, node
            assert all(device.memory >= 0 and device.compute >= 0 for device in node.devices), node

    def teardown(self) -> None:
        """Everything heals: no limits, all nodes back. Then nothing waits that could ever run."""
        if not self.world.nodes:
            return
        self._change(
            quotas=(),
            nodes=tuple(
                replace(row, schedulable=True, devices=tuple(replace(d, healthy=True) for d in row.devices))
                for row in self.world.nodes
            ),
            waiting=tuple(replace(job, not_before_us=0) for job in self.world.waiting),
        )
        for _ in range(2 * WAITING_MAX + 20):
            answer = plan(self.world.snapshot(), PlannerConfig())
            self._carry_out(answer)
            stuck = [wait for wait in answer.waits if wait.reason.code is not Code.IMPOSSIBLE]
            for attempt in self.world.running:
                self._end(attempt)
            if not stuck:
                return
        raise AssertionError(f"these wait for ever: {stuck}")

    def _change(self, **parts: object) -> None:
        self.world = replace(self.world, **parts)  # type: ignore[arg-type]

    def _end(self, attempt: RunningAttempt) -> None:
        left = tuple(one for one in self.world.running if one.id != attempt.id)
        back = self.jobs.pop(attempt.id, None) if attempt.ending else None
        again = (*self.world.waiting, back) if back is not None else self.world.waiting
        self._change(running=left, waiting=again)

    def _carry_out(self, answer: Plan) -> None:
        jobs = {job.id: job for job in self.world.waiting}
        placed = [_attempt(jobs[placement.job_id], placement) for placement in answer.placements]
        self.jobs |= {attempt.id: jobs[attempt.job_id] for attempt in placed}
        displaced = {preemption.attempt_id for preemption in answer.preemptions}
        running = [replace(one, ending=one.ending or one.id in displaced) for one in self.world.running]
        gone = {attempt.job_id for attempt in placed}
        self._change(
            running=(*running, *placed),
            waiting=tuple(job for job in self.world.waiting if job.id not in gone),
        )


def _attempt(job: WaitingJob, placement: Placement) -> RunningAttempt:
    request = job.request
    tasks = tuple(
        TaskUse(
            task.node,
            request.cpu_milli,
            request.memory_mib,
            tuple(
                DeviceUse(given.index)
                if given.whole
                else DeviceUse(given.index, given.memory_mib, given.compute_bp)
                for given in task.devices
            ),
        )
        for task in placement.tasks
    )
    limit = job.time_limit_s
    return RunningAttempt(
        id=f"a-{job.id}",
        job_id=job.id,
        org=job.org,
        project=job.project,
        tasks=tasks,
        priority=job.priority,
        started_us=NOW_US,
        expected_end_us=None if limit is None else NOW_US + round(limit * 1e6),
        preemptible=job.preemptible,
        array=job.array,
    )


TestCycles = Cycles.TestCase
TestCycles.settings = lives(30, steps=20)
