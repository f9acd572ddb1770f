"""Translation of an attempt's state file into an `AttemptReport`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pearlstreet.base.text import Text, from_json
from pearlstreet.base.units import GIB
from pearlstreet.compute.engines.protocol import AttemptReport, Endpoint, EndReason, TaskReport, TaskState


def starting(plan: Mapping[str, Any]) -> AttemptReport:
    """Return the report of an attempt whose supervisor has not written a state yet."""
    tasks = tuple(_task(plan, rank, None, TaskState.STARTING) for rank in range(plan["ranks"]))
    return AttemptReport(plan["attempt_id"], TaskState.STARTING, tasks, wall=plan["wall"])


def from_state(plan: Mapping[str, Any], state: Mapping[str, Any] | None) -> AttemptReport:
    """Return the report of `state`, the content of the state file, or None if it does not exist yet."""
    if state is None:
        return starting(plan)
    tasks = {task["rank"]: task for task in state["tasks"]}
    attempt_state = TaskState(state["state"])
    reason = state["end_reason"]
    return AttemptReport(
        attempt_id=plan["attempt_id"],
        state=attempt_state,
        tasks=tuple(_task(plan, rank, tasks.get(rank), attempt_state) for rank in range(plan["ranks"])),
        started_us=state["started_us"],
        ended_us=state["ended_us"],
        end_reason=EndReason(reason) if reason else None,
        exit_code=state["exit_code"],
        message=from_json(state["message"]) if state["message"] else None,
        wall=plan["wall"],
        saved_us=state.get("saved_us"),
    )


def _task(
    plan: Mapping[str, Any], rank: int, task: Mapping[str, Any] | None, attempt: TaskState
) -> TaskReport:
    node = plan.get("node", "")  # plans of older versions do not name it
    devices = tuple(plan["tasks"][rank]["devices"])
    if task is None:
        never = TaskState.EXITED if attempt is TaskState.EXITED else TaskState.STARTING
        return TaskReport(rank, never, node=node, devices=devices)
    return TaskReport(
        rank=rank,
        state=TaskState(task["state"]),
        exit_code=task["exit_code"],
        signal=task["signal"],
        started_us=task["started_us"],
        ended_us=task["ended_us"],
        cpu_s=task["cpu_s"],
        memory_peak_gib=round(task["memory_peak_bytes"] / GIB, 6),
        node=node,
        devices=devices,
        restarts=task.get("restarts", 0),
        is_ready=task.get("is_ready", False),
        endpoints=tuple(Endpoint(*one) for one in plan["tasks"][rank].get("endpoints", ()))
        if task["state"] == TaskState.RUNNING
        else (),
    )


def ended_state(
    state: Mapping[str, Any] | None, reason: EndReason, *, ended_us: int, message: Text | None
) -> dict[str, Any]:
    """Return the last state of an attempt whose supervisor died or was never started."""
    tasks = [dict(task) for task in state["tasks"]] if state is not None else []
    for task in tasks:
        if task["state"] != TaskState.EXITED:
            task["state"], task["ended_us"] = TaskState.EXITED, ended_us
            task["is_ready"] = False
    return {
        "state": TaskState.EXITED,
        "tasks": tasks,
        "started_us": state["started_us"] if state is not None else None,
        "ended_us": ended_us,
        "end_reason": reason,
        "exit_code": None,
        "message": message.to_json() if message is not None else None,
    }
