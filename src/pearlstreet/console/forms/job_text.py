"""PURE: Conversion between texts of form inputs and values of a job specification. The specification's parser validates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pearlstreet.base.errors import InvalidInput
from pearlstreet.console.forms.field_text import written
from pearlstreet.console.forms.job_fields import Input, inputs
from pearlstreet.workload.spec.context import Context
from pearlstreet.workload.spec.shapes import ListKind, MapKind, ShortKind
from pearlstreet.workload.spec.yaml_source import read_yaml

_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?")
_REMARK = re.compile(r"\s+#\s.*$")


def document(form: Mapping[str, str], lists: Mapping[str, Sequence[str]]) -> dict[str, object]:
    """Return the specification in a filled form, without values that equal the defaults."""
    made: dict[str, object] = {}
    for one in inputs("en"):
        value = read(one, form, lists)
        if value is not None:
            _put(made, one.name, value)
    return made


def read(one: Input, form: Mapping[str, str], lists: Mapping[str, Sequence[str]]) -> object:
    """Return the value of one input; None if it is empty or equals the default."""
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


def filled(spec: Mapping[str, object]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return the inputs of the form for a specification's JSON: single values and lists."""
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


def _pair(line: str, listed: bool) -> tuple[str, object]:
    name, equals, value = line.partition("=")
    if not equals:
        return name.strip(), name.strip() if listed else None
    return name.strip(), _item(value.strip())


def _item(value: str) -> object:
    return _flow(value) if value[:1] in ("{", "[", '"') else value


def _flow(value: str) -> object:
    """Parse JSON or YAML flow style; text that cannot be parsed is returned unchanged."""
    try:
        return read_yaml(value, None, Context())
    except InvalidInput:
        return value


def _number(typed: str) -> object:
    if not _NUMBER.fullmatch(typed):
        return typed
    return float(typed) if "." in typed else int(typed)


def _put(made: dict[str, Any], name: str, value: object) -> None:
    *path, last = name.split(".")
    for step in path:
        made = made.setdefault(step, {})
    made[last] = value


def _get(spec: Mapping[str, object], name: str) -> Any:
    value: object = spec
    for step in name.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(step)
    return value
