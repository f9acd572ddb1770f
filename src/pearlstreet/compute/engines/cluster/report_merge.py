"""Makes one report of what the nodes of an attempt wrote and of what the cluster says about its job. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.text import Text, from_json
from pearlstreet.base.units import GIB
from pearlstreet.compute.engines.protocol import AttemptReport, EndReason, TaskReport, TaskState

SEVERITY = ("memory_limit", "disk_limit", "time_limit", "start_failed", "exited", "stopped", "engine_lost")
"""End reasons of nodes, the one that explains the others first."""


class ViewPhase(StrEnum):
    """What the cluster says about the job of an attempt."""

    UNKNOWN = "unknown"
    """It has not been seen among the jobs yet, or the cluster does not answer."""
    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class ClusterView:
    """The job of an attempt, as the cluster sees it."""

    phase: ViewPhase
    start_s: int | None = None
    end_s: int | None = None
    reason: EndReason = EndReason.EXITED
    """Why it ended, if it is over."""
    message: Text | None = None
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class Gang:
    """What was ordered: how many ranks, over how many nodes."""

    attempt_id: str
    ranks: int
    nodes: int
    is_stopped: bool = False
    """Whether the center has asked for its stop."""


State = Mapping[str, Any]
Place = tuple[str, tuple[int, ...]]
"""Node of a task, and the indices of its devices there."""


def with_places(report: AttemptReport, places: Mapping[int, Place]) -> AttemptReport:
    """Return a report whose tasks tell where they run, as far as that is known. `places`: by rank."""
    tasks = [
        replace(task, node=places[task.rank][0], devices=places[task.rank][1])
        if task.rank in places
        else task
        for task in report.tasks
    ]
    return replace(report, tasks=tuple(tasks))


def merge_report(
    gang: Gang, states: Sequence[State | None], view: ClusterView, wall: str, *, now_us: int, is_settled: bool
) -> AttemptReport:
    """Return the report of an attempt.

    `states`: by node, the content of its state file or None. `is_settled`: the job has been over for long enough that what
    its nodes wrote last must be visible on the shared folder.
    """
    tasks = _tasks(gang, states)
    ended = all(state is not None and state["state"] == TaskState.EXITED for state in states)
    if view.phase is ViewPhase.OVER and (ended or is_settled):
        return _ended(gang, states, view, wall, tasks, whole=ended, now_us=now_us)
    started = _started_us(states, view)
    if tasks and all(task.state is not TaskState.STARTING for task in tasks) and started is not None:
        # An ended gang still counts as running until the cluster has ended its job, whose times bound the bill.
        tasks = tuple(
            TaskReport(
                task.rank,
                TaskState.RUNNING,
                started_us=started,
                cpu_s=task.cpu_s,
                memory_peak_gib=task.memory_peak_gib,
            )
            if ended
            else task
            for task in tasks
        )
        return AttemptReport(gang.attempt_id, TaskState.RUNNING, tasks, started_us=started, wall=wall)
    state = TaskState.STARTING
    if view.phase in (ViewPhase.UNKNOWN, ViewPhase.WAITING) and not any(states):
        state = TaskState.PENDING  # the cluster has accepted the job and has no machines for it yet
    waiting = tuple(TaskReport(rank, state) for rank in range(gang.ranks))
    return AttemptReport(gang.attempt_id, state, waiting, wall=wall)


def _ended(
    gang: Gang,
    states: Sequence[State | None],
    view: ClusterView,
    wall: str,
    tasks: tuple[TaskReport, ...],
    *,
    whole: bool,
    now_us: int,
) -> AttemptReport:
    reason, message = _end(gang, states, view, whole=whole)
    started = _started_us(states, view)
    told = [state["ended_us"] for state in states if state is not None and state.get("ended_us")]
    ended = _within(max(told) if whole and told else view.end_s * US_PER_S if view.end_s else now_us, view)
    if view.end_s is not None:
        ended = max(ended, view.end_s * US_PER_S)
    if started is not None:
        ended = max(ended, started)
    over = tuple(_over(task, started, ended) for task in tasks)
    saved = [state["saved_us"] for state in states if state is not None and state.get("saved_us")]
    return AttemptReport(
        attempt_id=gang.attempt_id,
        state=TaskState.EXITED,
        tasks=over,
        started_us=started,
        ended_us=ended,
        end_reason=reason,
        exit_code=_exit_code(over, states, reason, whole=whole),
        message=message,
        wall=wall,
        saved_us=max(saved, default=None),
    )


def _end(
    gang: Gang, states: Sequence[State | None], view: ClusterView, *, whole: bool
) -> tuple[EndReason, Text | None]:
    """Return why the attempt ended: what the nodes say, unless the cluster or our own stop ended them."""
    told = [state for state in states if state is not None and state.get("end_reason")]
    worst = min(told, key=lambda state: SEVERITY.index(state["end_reason"]), default=None)
    reason = EndReason(worst["end_reason"]) if worst is not None else None
    message = from_json(worst["message"]) if worst is not None and worst.get("message") else None
    if whole and reason is EndReason.EXITED and view.reason is not EndReason.EXITED:
        # The cluster ended it: the tasks got its signal, and those that save their work in time even exit with 0.
        is_by_our_stop = gang.is_stopped and view.reason is EndReason.ENGINE_LOST
        return (EndReason.STOPPED, None) if is_by_our_stop else (view.reason, view.message)
    is_own = reason not in (None, EndReason.ENGINE_LOST, EndReason.STOPPED)
    if whole and is_own and reason is not None:
        return reason, message
    if gang.is_stopped:
        return EndReason.STOPPED, None
    if view.reason is not EndReason.EXITED:
        return view.reason, view.message
    return (
        (reason, message)
        if is_own and reason is not None
        else (EndReason.ENGINE_LOST, message or view.message)
    )


def _exit_code(
    tasks: Sequence[TaskReport], states: Sequence[State | None], reason: EndReason, *, whole: bool
) -> int | None:
    """Return the exit code of the task that failed first; 0 if none failed, None if one never ran."""
    first = sorted(
        (state for state in states if state is not None and state.get("exit_code")),
        key=lambda state: min(
            (task["ended_us"] or 0 for task in state["tasks"] if task["exit_code"]), default=0
        ),
    )
    if first:
        return int(first[0]["exit_code"])
    codes = [task.exit_code for task in tasks]
    return 0 if whole and codes and None not in codes and reason is not EndReason.ENGINE_LOST else None


def _tasks(gang: Gang, states: Sequence[State | None]) -> tuple[TaskReport, ...]:
    known = {task["rank"]: task for state in states if state is not None for task in state["tasks"]}
    return tuple(_task(rank, known.get(rank)) for rank in range(gang.ranks))


def _task(rank: int, task: State | None) -> TaskReport:
    if task is None:
        return TaskReport(rank, TaskState.STARTING)
    return TaskReport(
        rank=rank,
        state=TaskState(task["state"]),
        exit_code=task["exit_code"],
        signal=task["signal"],
        started_us=task["started_us"],
        ended_us=task["ended_us"],
        cpu_s=task["cpu_s"],
        memory_peak_gib=round(task["memory_peak_bytes"] / GIB, 6),
    )


def _over(task: TaskReport, started: int | None, ended: int) -> TaskReport:
    own_start = task.started_us if started is None or task.started_us is None else max(task.started_us, 0)
    own_end = (
        min(task.ended_us, ended) if task.ended_us is not None else ended if own_start is not None else None
    )
    return TaskReport(
        task.rank,
        TaskState.EXITED,
        task.exit_code,
        task.signal,
        own_start,
        own_end,
        task.cpu_s,
        task.memory_peak_gib,
    )


def _started_us(states: Sequence[State | None], view: ClusterView) -> int | None:
    """Return when the last task of the gang started, within the times that the cluster gives; None: not all have."""
    starts = [state["started_us"] for state in states if state is not None and state.get("started_us")]
    if len(starts) != len(states):
        return None
    started = _within(max(starts), view)
    # The job has its machines from the cluster's start on, which counts; the node's clock gives the fraction of the second.
    return started if view.start_s is None else min(started, (view.start_s + 1) * US_PER_S)


def _within(at_us: int, view: ClusterView) -> int:
    """Return a time of a node's clock, moved into the job's time by the cluster's clock, which counts whole seconds."""
    if view.start_s is not None:
        at_us = max(at_us, view.start_s * US_PER_S)
    if view.phase is ViewPhase.OVER and view.end_s is not None:
        at_us = min(at_us, (view.end_s + 1) * US_PER_S)
    return at_us
