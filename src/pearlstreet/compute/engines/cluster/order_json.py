"""An order as JSON and back, for the program on the nodes. Pure; it imports nothing outside the standard library and this tree."""

from __future__ import annotations

import dataclasses
from typing import Any

from pearlstreet.compute.engines.protocol import (
    AttemptOrder,
    Binding,
    DeviceGrant,
    DeviceRequest,
    Limits,
    Mount,
    Stage,
    TaskOrder,
)


def order_to_json(order: AttemptOrder) -> dict[str, Any]:
    """Return an order as JSON."""
    return {
        **{item.name: _plain(getattr(order, item.name)) for item in dataclasses.fields(order)},
        "secret_names": sorted(order.secret_names),
    }


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, frozenset):
        return sorted(value)
    return dict(value) if hasattr(value, "items") else value


def order_from_json(value: dict[str, Any]) -> AttemptOrder:
    """Return the order that `order_to_json` wrote. Raises KeyError or TypeError for anything else."""
    return AttemptOrder(
        **{
            **value,
            "command": tuple(value["command"]),
            "tasks": tuple(_task(task) for task in value["tasks"]),
            "secret_names": frozenset(value["secret_names"]),
            "stages": tuple(Stage(**item) for item in value["stages"]),
            "mounts": tuple(Mount(**item) for item in value["mounts"]),
            "bindings": tuple(Binding(**item) for item in value["bindings"]),
            "limits": Limits(**value["limits"]),
        }
    )


def _task(value: dict[str, Any]) -> TaskOrder:
    wants = DeviceRequest(**value["wants"]) if value.get("wants") else None
    devices = tuple(DeviceGrant(**item) for item in value["devices"])
    return TaskOrder(**{**value, "devices": devices, "wants": wants})
