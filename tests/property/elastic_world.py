"""Random centers with elastic jobs, and what becomes of one when its planner's resizes are carried out."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.property.dice import Dice, drawn

from pearlstreet.compute.scheduling.builder import build
from pearlstreet.compute.scheduling.model import Snapshot
from pearlstreet.compute.scheduling.plan import Placement, Plan
from pearlstreet.compute.scheduling.rows import (
    DeviceRow,
    DeviceUse,
    NodeRow,
    Quota,
    Request,
    Reservation,
    RunningAttempt,
    TaskUse,
    WaitingJob,
)

NOW_US = 1_000_000_000_000
DAY_US = 86_400_000_000
ORGS = ("red", "blue")


@dataclass(frozen=True)
class Center:
    """Rows, as the live loop would load them."""

    nodes: tuple[NodeRow, ...]
    running: tuple[RunningAttempt, ...] = ()
    waiting: tuple[WaitingJob, ...] = ()
    quotas: tuple[Quota, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    now_us: int = NOW_US

    def snapshot(self) -> Snapshot:
        return build(
            now_us=self.now_us, nodes=self.nodes, running=self.running, waiting=self.waiting,
            quotas=self.quotas, reservations=self.reservations,
        )  # fmt: skip


def job_of(attempt: RunningAttempt, resumes: int) -> WaitingJob:
    """The job of an attempt that was stopped to go on with another number of tasks."""
    assert attempt.request is not None
    return WaitingJob(
        id=attempt.job_id, org=attempt.org, project=attempt.project, request=attempt.request,
        tasks=attempt.asked_tasks or len(attempt.tasks), priority=attempt.priority,
        submitted_us=attempt.submitted_us, preemptible=attempt.preemptible, queue=attempt.queue,
        min_tasks=attempt.min_tasks, max_tasks=attempt.max_tasks, resumes_tasks=resumes,
    )  # fmt: skip


def started(center: Center, job: WaitingJob, placement: Placement) -> RunningAttempt:
    """The attempt that a placement becomes."""
    request = job.request
    tasks = tuple(
        TaskUse(
            task.node, request.cpu_milli, request.memory_mib,
            tuple(
                DeviceUse(d.index, *((None, None) if d.whole else (d.memory_mib, d.compute_bp))) for d in task.devices
            ),
        )
        for task in placement.tasks
    )  # fmt: skip
    end_us = None if job.time_limit_s is None else center.now_us + round(job.time_limit_s * 1e6)
    return RunningAttempt(
        id=f"{job.id}@{center.now_us}", job_id=job.id, org=job.org, project=job.project, tasks=tasks,
        priority=job.priority, started_us=center.now_us, expected_end_us=end_us, preemptible=job.preemptible,
        submitted_us=job.submitted_us, request=request, queue=job.queue, min_tasks=job.min_tasks,
        max_tasks=job.max_tasks, asked_tasks=job.tasks,
    )  # fmt: skip


def carried_out(center: Center, answer: Plan) -> Center:
    """The center once what the plan says was done, and what it stopped has ended."""
    jobs = {job.id: job for job in center.waiting}
    sizes = {resize.attempt_id: resize.tasks for resize in answer.resizes}
    gone = sizes.keys() | {stop.attempt_id for stop in answer.preemptions}
    placed = {placement.job_id for placement in answer.placements}
    stopped = tuple(job_of(a, sizes.get(a.id, 0)) for a in center.running if a.id in gone)
    return replace(
        center,
        running=(
            *(a for a in center.running if a.id not in gone),
            *(started(center, jobs[p.job_id], p) for p in answer.placements),
        ),
        waiting=(*(job for job in center.waiting if job.id not in placed), *stopped),
    )


def stopping(center: Center, answer: Plan) -> Center:
    """The center while what the plan resizes is still being stopped."""
    sizes = {resize.attempt_id: resize.tasks for resize in answer.resizes}
    done = carried_out(center, replace(answer, resizes=(), preemptions=()))
    return replace(
        done,
        running=tuple(
            replace(a, ending=True, resumes_tasks=sizes[a.id]) if a.id in sizes else a for a in done.running
        ),
    )


def request_of(dice: Dice) -> Request:
    return Request(
        accelerators=dice.pick([(), ("a100",), ("a100",), ("t4",)]),
        count=dice.pick([1, 1, 2, 4]),
        cpu_milli=dice.pick([0, 1000]),
    )


def job(dice: Dice, number: int, *, elastic: bool | None = None) -> WaitingJob:
    tasks = dice.integer(1, 4)
    elastic = dice.yes() if elastic is None else elastic
    fewest = dice.pick([1, 1, (tasks + 1) // 2, tasks])
    return WaitingJob(
        id=f"j{number}",
        org=(org := dice.pick(ORGS)),
        project=f"{org}-0",
        request=request_of(dice),
        tasks=tasks,
        priority=dice.pick([0, 0, 5]),
        submitted_us=NOW_US - dice.integer(1, 9) * 3_600_000_000,
        time_limit_s=dice.pick([None, 100.0, 10_000.0]),
        min_tasks=fewest if elastic else 0,
        max_tasks=tasks + dice.integer(0, 4) if elastic else 0,
    )


def node_row(dice: Dice, number: int) -> NodeRow:
    model = dice.pick(["a100", "a100", "t4"])
    devices = tuple(DeviceRow(2 * j, model, 80, link_group=j // 2) for j in range(dice.pick([2, 4])))
    return NodeRow(
        f"n{number}", 8000, 64, devices, rack=dice.pick(["", "r1", "r2"]),
        schedulable=dice.integer(0, 19) > 0, domain=dice.pick(["", "", "lab"]),
    )  # fmt: skip


def quota_row(dice: Dice) -> Quota:
    return Quota(
        org=dice.pick(ORGS),
        resource="cards",
        guaranteed=dice.pick([None, 2.0, 4.0]),
        maximum=dice.pick([None, 4.0, 8.0]),
    )


def window(dice: Dice, nodes: tuple[NodeRow, ...]) -> Reservation:
    node = dice.pick(nodes)
    start = NOW_US + dice.pick([-3_600, 50, 5_000, 20_000]) * 1_000_000
    device = dice.pick([None, *(d.index for d in node.devices)])
    return Reservation(
        id=f"w{dice.integer(0, 99)}", start_us=start, end_us=start + 30_000_000_000, node=node.name,
        device=device, org=dice.pick(["", "red"]),
    )  # fmt: skip


def empty_center(dice: Dice, *, held: bool = False) -> Center:
    """Nodes without jobs; with `held`, some windows."""
    nodes = tuple(node_row(dice, i) for i in range(dice.integer(1, 3)))
    kept = tuple(window(dice, nodes) for _ in range(dice.integer(1, 3))) if held else ()
    return Center(nodes, reservations=kept)


empty_centers = drawn(empty_center)
