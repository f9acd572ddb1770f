"""PURE: Inputs of the job form, generated from the field table of the job specification."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from pearlstreet.console.forms.field_text import written
from pearlstreet.workload.spec.kinds import (
    BoolKind,
    ChoiceKind,
    NumberKind,
    TextKind,
    ValueKind,
)
from pearlstreet.workload.spec.rules import CommandKind
from pearlstreet.workload.spec.shapes import Field, ListKind, MapKind, Section, ShortKind
from pearlstreet.workload.spec.table import JOB

COMMON = (
    "name",
    "project",
    "command",
    "environment.python",
    "environment.packages",
    "per_task.accelerator",
    "per_task.count",
    "per_task.cpus",
    "per_task.memory_gib",
    "time_limit",
)
"""Inputs that most jobs need; the others are collapsed."""


@dataclass(frozen=True, slots=True)
class Input:
    """One input of the form."""

    name: str
    """Name as in problems, such as per_task.count."""
    kind: ValueKind
    title: str
    about: str
    widget: str
    """Kind of widget: line, lines, number, tick, ticks, choice, command, list or map."""
    required: bool = False
    unit: str = ""
    example: str = ""
    default: str = ""
    """Default value as text of the form; for ticks one per line."""
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    step: str = "any"
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class FieldGroup:
    """Inputs under one heading; the title "" stands for fields of the job itself."""

    title: str
    about: str
    inputs: tuple[Input, ...]


@cache
def inputs(language: str) -> tuple[Input, ...]:
    """Return all inputs, in the order of the table."""
    return tuple(_input(name, one, section, language) for name, one, section in _walk(JOB, ""))


@cache
def common(language: str) -> dict[str, Input]:
    """Return the inputs of COMMON by name."""
    found = {one.name: one for one in inputs(language)}
    return {name: found[name] for name in COMMON}


@cache
def more(language: str) -> tuple[FieldGroup, ...]:
    """Return the other inputs, grouped by section of the specification."""
    rest = [one for one in inputs(language) if one.name not in COMMON]
    plain = tuple(one for one in rest if "." not in one.name)
    groups = [FieldGroup("", "", plain)]
    for name in dict.fromkeys(one.name.partition(".")[0] for one in rest if "." in one.name):
        field = JOB.by_name[name]
        mine = tuple(one for one in rest if one.name.startswith(f"{name}."))
        title, about = _words(field, language)
        if any(one.startswith(f"{name}.") for one in COMMON):
            about = ", ".join(one.title for one in mine)
        groups.append(FieldGroup(title, about, mine))
    return tuple(groups)


def input_of(field: str) -> str | None:
    """Return the name of the input for a problem's field: environment.packages for `environment.packages[3]`."""
    known = [name for name, _, _ in _walk(JOB, "")]
    fitting = [name for name in known if field == name or field.startswith((f"{name}.", f"{name}["))]
    return max(fitting, key=len, default=None)


def section_of(kind: ValueKind) -> Section | None:
    """Return the section of a kind with fields of its own, else None."""
    if isinstance(kind, Section):
        return kind
    return kind.section if isinstance(kind, ShortKind) else None


def _walk(section: Section, prefix: str) -> Iterator[tuple[str, Field, Section]]:
    for one in section.fields:
        inner = section_of(one.kind)
        if inner is None:
            yield f"{prefix}{one.name}", one, section
        else:
            yield from _walk(inner, f"{prefix}{one.name}.")


def _words(field: Field, language: str) -> tuple[str, str]:
    return (field.title_zh, field.about_zh) if language == "zh-CN" else (field.title, field.about)


def _input(name: str, field: Field, section: Section, language: str) -> Input:
    title, about = _words(field, language)
    kind = field.kind
    default = section.default_json(field)
    return Input(
        name=name,
        kind=kind,
        title=title,
        about=about,
        widget=_widget(kind),
        required=field.required and section is JOB,
        unit=field.unit if isinstance(kind, NumberKind) else "",
        example=_example(field.example),
        default="" if default in (None, 0, False, "job") else written(kind, default),
        choices=_choices(kind),
        low=kind.low if isinstance(kind, NumberKind) else None,
        high=kind.high if isinstance(kind, NumberKind) else None,
        step="1" if isinstance(kind, NumberKind) and kind.whole else "any",
        limit=kind.limit if isinstance(kind, TextKind) else None,
    )


def _widget(kind: ValueKind) -> str:
    if isinstance(kind, TextKind):
        return "lines" if kind.lines else "line"
    if isinstance(kind, NumberKind):
        return "line" if kind.names else "number"
    if isinstance(kind, ListKind):
        return "ticks" if isinstance(kind.item, ChoiceKind) else "list"
    known = {BoolKind: "tick", ChoiceKind: "choice", MapKind: "map", CommandKind: "command"}
    return known.get(type(kind), "line")


def _choices(kind: ValueKind) -> tuple[str, ...]:
    if isinstance(kind, ListKind) and isinstance(kind.item, ChoiceKind):
        return kind.item.choices
    return kind.choices if isinstance(kind, ChoiceKind) else ()


def _example(example: object) -> str:
    if isinstance(example, dict):
        return "\n".join(f"{name}={value}" for name, value in example.items())
    if isinstance(example, list):
        return "\n".join(str(one) for one in example)
    return "" if example is None else str(example)
