"""From the state file of an attempt to the report of the protocol. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pearlstreet.base.text import Text, from_json
from pearlstreet.base.units import GIB
from pearlstreet.compute.engines.protocol import AttemptReport, EndReason, TaskReport, TaskState


def starting(plan: Mapping[str, Any]) -> AttemptReport:
    """An attempt whose supervisor has written nothing yet."""
    tasks = tuple(TaskReport(rank, TaskState.STARTING) for rank in range(plan["ranks"]))
    return AttemptReport(plan["attempt_id"], TaskState.STARTING, tasks, wall=plan["wall"])


def from_state(plan: Mapping[str, Any], state: Mapping[str, Any] | None) -> AttemptReport:
    """What `state` (the state file, None before there is one) says."""
    if state is None:
        return starting(plan)
    told = {task["rank"]: task for task in state["tasks"]}
    over = TaskState(state["state"])
    reason = state["end_reason"]
    return AttemptReport(
        attempt_id=plan["attempt_id"],
        state=over,
        tasks=tuple(_task(rank, told.get(rank), over) for rank in range(plan["ranks"])),
        started_us=state["started_us"],
        ended_us=state["ended_us"],
        end_reason=EndReason(reason) if reason else None,
        exit_code=state["exit_code"],
        message=from_json(state["message"]) if state["message"] else None,
        wall=plan["wall"],
    )


def _task(rank: int, told: Mapping[str, Any] | None, attempt: TaskState) -> TaskReport:
    if told is None:
        never = TaskState.EXITED if attempt is TaskState.EXITED else TaskState.STARTING
        return TaskReport(rank, never)
    return TaskReport(
        rank=rank,
        state=TaskState(told["state"]),
        exit_code=told["exit_code"],
        signal=told["signal"],
        started_us=told["started_us"],
        ended_us=told["ended_us"],
        cpu_s=told["cpu_s"],
        memory_peak_gib=round(told["memory_peak_bytes"] / GIB, 6),
    )


def ended_state(
    state: Mapping[str, Any] | None, reason: EndReason, *, ended_us: int, message: Text | None
) -> dict[str, Any]:
    """The last state of an attempt that cannot write it itself: its supervisor died, or was never to begin."""
    tasks = [dict(task) for task in state["tasks"]] if state is not None else []
    for task in tasks:
        if task["state"] != TaskState.EXITED:
            task["state"], task["ended_us"] = TaskState.EXITED, ended_us
    return {
        "state": TaskState.EXITED,
        "tasks": tasks,
        "started_us": state["started_us"] if state is not None else None,
        "ended_us": ended_us,
        "end_reason": reason,
        "exit_code": None,
        "message": message.to_json() if message is not None else None,
    }
