"""PURE: Formatting of values of a job specification as text for form inputs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pearlstreet.workload.spec.kinds import BoolKind, DurationKind, ValueKind
from pearlstreet.workload.spec.rules import CommandKind
from pearlstreet.workload.spec.shapes import ListKind, MapKind


def written(kind: ValueKind, value: Any) -> str:
    """Return a JSON value of a specification as the text of its input; `job_text.read` is the inverse."""
    if isinstance(kind, DurationKind) and isinstance(value, int | float):
        return duration_text(value)
    if isinstance(kind, BoolKind):
        return "true" if value else ""
    if isinstance(kind, CommandKind):
        return value if isinstance(value, str) else item_text(value)
    if isinstance(kind, MapKind):
        return "\n".join(pair_text(name, one) for name, one in value.items())
    if isinstance(kind, ListKind):
        items: Sequence[object] = [value] if isinstance(value, str | dict) else value
        return "\n".join(item_text(one) for one in items)
    return str(value)


def duration_text(seconds: float) -> str:
    """Return a duration in the largest exact unit: `2h`, `90m`, `45s`."""
    for size, unit in ((3600, "h"), (60, "m")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size:.0f}{unit}"
    return f"{seconds:g}s"


def item_text(value: object) -> str:
    """Return an item of a list as one line."""
    if (
        isinstance(value, str)
        and value
        and "\n" not in value
        and value[0] not in '{["#'
        and value == value.strip()
    ):
        return value
    return json.dumps(value, ensure_ascii=False)


def pair_text(name: str, value: object) -> str:
    """Return a name and its value as one line."""
    return f"{name}={'' if value == '' else item_text(value)}"
