"""PURE: what of a placement the center leaves to an engine, and where the engine then runs the attempt.

The planner places every attempt on nodes and devices that are free in its books. An engine that chooses for itself gets only the
part that it leaves to the center; the rest of the books' placement is a forecast until the engine reports where the attempt runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pearlstreet.compute.engines.protocol import (
    AttemptOrder,
    AttemptReport,
    DeviceRequest,
    PlacementMode,
    TaskOrder,
)

CHOSEN_BY_ENGINE = "chosen_by_engine"
"""Key in the placement of an attempt whose engine reported another place than the planned one."""


def leave_to_engine(order: AttemptOrder, mode: PlacementMode, model: str) -> AttemptOrder:
    """Return the order without the devices, and without the nodes, that the engine chooses. `model`: that of its devices."""
    if mode == "device":
        return order
    return replace(order, tasks=tuple(_open_task(task, mode, model) for task in order.tasks))


def _open_task(task: TaskOrder, mode: PlacementMode, model: str) -> TaskOrder:
    wants = None
    if task.devices:
        share = task.devices[0]
        wants = DeviceRequest(model, len(task.devices), share.memory_gib, share.compute_percent)
    return replace(task, node="" if mode == "engine" else task.node, devices=(), wants=wants)


def actual_placement(placement: Mapping[str, Any], report: AttemptReport) -> dict[str, Any] | None:
    """Return the placement of an attempt as its engine reports it; None if it is the recorded one, or not known in full."""
    places = {task.rank: task for task in report.tasks if task.node}
    tasks = placement["tasks"]
    if any(task["rank"] not in places for task in tasks):
        return None
    actual = [_moved(task, places[task["rank"]].node, places[task["rank"]].devices) for task in tasks]
    if None in actual or actual == list(tasks):
        return None
    return {**placement, "tasks": actual, CHOSEN_BY_ENGINE: True}


def _moved(task: Mapping[str, Any], node: str, devices: tuple[int, ...]) -> Mapping[str, Any] | None:
    """Return a task of a placement on another node or other devices; None if their number differs, so that books stay right."""
    if len(devices) != len(task["devices"]):
        return None
    if node == task["node"] and set(devices) == {grant["index"] for grant in task["devices"]}:
        return task
    grants = [{**grant, "index": index} for grant, index in zip(task["devices"], devices, strict=True)]
    return {**task, "node": node, "devices": grants}
