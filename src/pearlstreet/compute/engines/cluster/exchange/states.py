"""Checks what a node says of its tasks before anything relies on it: a task that got out of a weak sandbox may say it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pearlstreet.compute.engines.protocol import EndReason, TaskState

MESSAGE_CHARS_MAX = 4000
WORD_CHARS_MAX = 200
NUMBER_MAX = 1 << 62
DEVICES_MAX = 1024
_NUMBERS = ("exit_code", "signal", "started_us", "ended_us")
_AMOUNTS = ("cpu_s", "memory_peak_bytes")


def clean_state(value: object, ranks: range) -> Mapping[str, Any] | None:
    """Return the known part of a state file of a supervisor; None: it is none, or names ranks that are not the node's."""
    if not isinstance(value, dict) or value.get("state") not in list(TaskState):
        return None
    tasks = value.get("tasks")
    cleaned = [_task(task, ranks) for task in tasks] if isinstance(tasks, list) else [None]
    reason, message = value.get("end_reason"), value.get("message")
    numbers = {name: value.get(name) for name in ("started_us", "ended_us", "exit_code", "saved_us")}
    if None in cleaned or len(cleaned) > len(ranks) or not all(_is_number(item) for item in numbers.values()):
        return None
    if (reason is not None and reason not in list(EndReason)) or not _is_message(message):
        return None
    if value["state"] == TaskState.EXITED and reason is None:
        return None
    return {"state": value["state"], "tasks": cleaned, **numbers, "end_reason": reason, "message": message}


def _task(value: object, ranks: range) -> Mapping[str, Any] | None:
    if not isinstance(value, dict) or not _is_whole(value.get("rank")) or value["rank"] not in ranks:
        return None
    numbers = {name: value.get(name) for name in _NUMBERS}
    amounts = {name: value.get(name) for name in _AMOUNTS}
    if value.get("state") not in list(TaskState) or not all(_is_number(item) for item in numbers.values()):
        return None
    if not all(_is_amount(item) for item in amounts.values()):
        return None
    return {"rank": value["rank"], "state": value["state"], **numbers, **amounts}


def clean_plan(value: object, ranks: range) -> Mapping[str, Any] | None:
    """Return isolation, node and devices by which a node says it runs its tasks; None: it cannot be."""
    if not isinstance(value, dict) or not isinstance(value.get("tasks"), list):
        return None
    wall, node = value.get("wall"), value.get("node")
    if not _is_word(wall) or not _is_word(node):
        return None
    tasks = []
    for task in value["tasks"]:
        devices = task.get("devices") if isinstance(task, dict) else None
        if not isinstance(devices, list) or len(devices) > DEVICES_MAX or not all(map(_is_whole, devices)):
            return None
        if not _is_whole(task.get("rank")) or task["rank"] not in ranks:
            return None
        tasks.append({"rank": task["rank"], "devices": devices})
    return {"wall": wall, "node": node, "tasks": tasks} if len(tasks) <= len(ranks) else None


def _is_message(value: object) -> bool:
    if value is None:
        return True
    if not isinstance(value, dict) or set(value) != {"template", "params"}:
        return False
    params = value["params"]
    if not isinstance(value["template"], str) or not isinstance(params, dict):
        return False
    return len(json.dumps(value)) <= MESSAGE_CHARS_MAX and all(
        isinstance(item, str | int | float) for item in params.values()
    )


def _is_word(value: object) -> bool:
    return isinstance(value, str) and len(value) <= WORD_CHARS_MAX and value.isprintable()


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < NUMBER_MAX


def _is_number(value: object) -> bool:
    return value is None or (
        isinstance(value, int) and not isinstance(value, bool) and abs(value) < NUMBER_MAX
    )


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < NUMBER_MAX
