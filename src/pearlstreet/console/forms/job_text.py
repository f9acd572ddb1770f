"""PURE: what a person types into an input ↔ the value it stands for. Nothing is judged here; the parser does that."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pearlstreet.base.errors import InvalidInput
from pearlstreet.compute.jobs.spec.context import Context
from pearlstreet.compute.jobs.spec.shapes import ListKind, MapKind, ShortKind
from pearlstreet.compute.jobs.spec.yaml_source import read_yaml
from pearlstreet.console.forms.field_text import written
from pearlstreet.console.forms.job_fields import Input, inputs

_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?")
_REMARK = re.compile(r"\s+#\s.*$")


def document(form: Mapping[str, str], lists: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The specification that a filled form says. What is left as it was by default is left out."""
    made: dict[str, Any] = {}
    for one in inputs("en"):
        value = read(one, form, lists)
        if value is not None:
            _put(made, one.name, value)
    return made


def read(one: Input, form: Mapping[str, str], lists: Mapping[str, Sequence[str]]) -> Any:
    """The value of one input; None when nothing was said."""
    if one.widget == "tick":
        ticked = one.name in form
        return None if ticked == bool(one.default) else ticked
    if one.widget == "ticks":
        chosen = list(lists.get(one.name, ()))
        return None if set(chosen) == set(one.default.split()) else chosen
    if one.name == "per_task.accelerator":
        return list(lists.get(one.name, ())) or None
    typed = form.get(one.name, "").replace("\r\n", "\n")
    if not typed.strip() or typed.strip() == one.default:
        return None
    if one.widget == "list":
        remarks = isinstance(one.kind, ListKind) and isinstance(one.kind.item, ShortKind)
        return [_item(_REMARK.sub("", line) if remarks else line) for line in _lines(typed)]
    if one.widget == "map":
        listed = isinstance(one.kind, MapKind) and one.kind.listed
        return dict(_pair(line, listed) for line in _lines(typed))
    if one.widget == "command":
        return _flow(typed) if typed.lstrip().startswith("[") else typed.strip("\n")
    if one.widget == "lines":
        return typed
    if one.widget == "number":
        return _number(typed.strip())
    return _number(typed.strip()) if one.name == "priority" else typed.strip()


def filled(spec: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The inputs of the form, filled as a specification's JSON says."""
    form: dict[str, str] = {}
    lists: dict[str, list[str]] = {}
    for one in inputs("en"):
        value = _get(spec, one.name)
        if one.widget == "tick":
            if value if value is not None else one.default:
                form[one.name] = "true"
        elif one.widget == "ticks" or one.name == "per_task.accelerator":
            default = one.default.split()
            lists[one.name] = default if value is None else [value] if isinstance(value, str) else list(value)
        else:
            form[one.name] = one.default if value is None else written(one.kind, value)
    return form, lists


def _lines(typed: str) -> list[str]:
    return [line.strip() for line in typed.split("\n") if line.strip()]


def _pair(line: str, listed: bool) -> tuple[str, Any]:
    name, equals, value = line.partition("=")
    if not equals:
        return name.strip(), name.strip() if listed else None
    return name.strip(), _item(value.strip())


def _item(value: str) -> Any:
    return _flow(value) if value[:1] in ("{", "[", '"') else value


def _flow(value: str) -> Any:
    """What is written as JSON or in YAML's brackets; as it stands when it cannot be read."""
    try:
        return read_yaml(value, None, Context())
    except InvalidInput:
        return value


def _number(typed: str) -> Any:
    if not _NUMBER.fullmatch(typed):
        return typed
    return float(typed) if "." in typed else int(typed)


def _put(made: dict[str, Any], name: str, value: Any) -> None:
    *path, last = name.split(".")
    for step in path:
        made = made.setdefault(step, {})
    made[last] = value


def _get(spec: Mapping[str, Any], name: str) -> Any:
    value: Any = spec
    for step in name.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(step)
    return value
