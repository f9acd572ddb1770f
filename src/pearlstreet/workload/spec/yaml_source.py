"""Reads YAML text as plain values with the line and column of each, by YAML 1.2's JSON schema and without tags.

Values are built from the parser's events, so that depth, size and aliases are limited while reading. `yes`, `on` and times
remain text, numbers remember how they were written, and a duplicate key is reported with both lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StreamMark, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from pearlstreet.base.text import Text, text
from pearlstreet.workload.spec.context import Context, Where, invalid

TEXT_MAX = 4 << 20
"""Maximum characters of a specification; larger data belongs in files."""
DEPTH_MAX = 20
NODES_MAX = 250_000
"""Maximum number of values, counting every use of an alias: an array of 100,000 values fits, an alias bomb does not."""

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_STR_TAGS = ("tag:yaml.org,2002:str", "!")


class WrittenInt(int):
    """An integer that remembers how it was written."""

    raw: str


class WrittenFloat(float):
    """A number that remembers how it was written: 3.10 is not 3.1 when it is a version."""

    raw: str


@dataclass(slots=True)
class _Open:
    """A list or mapping being read."""

    value: Any
    where: Where
    is_map: bool
    anchor: str | None
    key: str | None = None
    keys: dict[str, int] = field(default_factory=dict)


class _Stop(Exception):
    """Raised when the rest of the text cannot be read."""


def read_yaml(source: str, file: str | None, context: Context) -> object:
    """Return the value of the text and put locations into `context.locations`. Raises InvalidInput for invalid YAML."""
    places: dict[Where, tuple[int, int]] = {}
    context.locations = places
    context.file = file
    if len(source) > TEXT_MAX:
        context.add((), text("The file is longer than {limit} characters", limit=f"{TEXT_MAX:,}"))
        raise invalid(context.problems)
    try:
        return _Reader(context, places).read(_events(source))
    except MarkedYAMLError as failed:
        mark = _mark(failed)
        if mark is not None:
            places[()] = (mark.line + 1, mark.column + 1)
        context.add(
            (), text("The YAML cannot be read: {problem}", problem=_told(failed)), _yaml_hint(source, mark)
        )
    except YAMLError as failed:
        context.add((), text("The YAML cannot be read: {problem}", problem=str(failed).splitlines()[0][:200]))
    except _Stop:
        pass
    raise invalid(context.problems, context.more)


def _events(source: str) -> Iterator[Event]:
    reader = YAML(typ="rt", pure=True)
    yield from reader.parse(source)


def _mark(failed: MarkedYAMLError) -> StreamMark | None:
    """Return the location of a syntax error; for an unclosed construct where it begins, not the end of the file."""
    problem = failed.problem or ""
    at_the_end = "stream end" in problem or "end of stream" in problem
    never_closed = at_the_end and failed.context_mark is not None
    mark: StreamMark | None = (
        failed.context_mark if never_closed else failed.problem_mark or failed.context_mark
    )
    return mark


def _told(failed: MarkedYAMLError) -> str:
    parts = [part for part in (failed.context, failed.problem) if part]
    return ", ".join(parts)[:200]


def _yaml_hint(source: str, mark: StreamMark | None) -> Text | None:
    if mark is None:
        return None
    lines = source.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return text("Indent with spaces; YAML does not take tabs")
    if re.match(r"^\s*(- )?[\w.-]+: [^'\"]*: ", line):
        return text("Put a value that contains a colon in quotes")
    return None


class _Reader:
    """Builds values from events with an explicit stack."""

    def __init__(self, context: Context, places: dict[Where, tuple[int, int]]) -> None:
        self._context = context
        self._places = places
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[object, int]] = {}
        self._nodes = 0
        self._documents = 0
        self._top: object = None

    def read(self, events: Iterator[Event]) -> object:
        """Return the value of the only document."""
        for event in events:
            self._take(event)
        if self._context.problems:
            raise _Stop
        return self._top

    def _take(self, event: Event) -> None:
        if isinstance(event, ScalarEvent):
            self._scalar(event)
        elif isinstance(event, MappingStartEvent | SequenceStartEvent):
            self._open(event)
        elif isinstance(event, MappingEndEvent | SequenceEndEvent):
            done = self._stack.pop()
            if done.anchor is not None:
                self._anchors[done.anchor] = (done.value, _size(done.value))
        elif isinstance(event, AliasEvent):
            self._alias(event)
        elif isinstance(event, DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._stop(event, text("A file holds one job; a second document begins here"))

    def _stop(self, event: Event, message: Text) -> None:
        self._places[()] = (event.start_mark.line + 1, event.start_mark.column + 1)
        self._context.add((), message)
        raise _Stop

    def _count(self, event: Event, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > NODES_MAX:
            self._stop(event, text("The file holds more than {limit} values", limit=f"{NODES_MAX:,}"))

    def _where(self) -> Where:
        if not self._stack:
            return ()
        top = self._stack[-1]
        return (*top.where, str(top.key) if top.is_map else len(top.value))

    def _put(self, value: object) -> None:
        if not self._stack:
            self._top = value
            return
        top = self._stack[-1]
        if top.is_map:
            top.value[top.key] = value
            top.key = None
        else:
            top.value.append(value)

    def _key(self, event: ScalarEvent) -> None:
        top = self._stack[-1]
        name = str(event.value)
        line = event.start_mark.line + 1
        self._places[(*top.where, name)] = (line, event.start_mark.column + 1)
        if name in top.keys:
            self._context.add(
                (*top.where, name),
                text("It is written twice, first on line {line}", line=top.keys[name]),
                text("Keep one of them"),
            )
        top.keys.setdefault(name, line)
        top.key = name

    def _scalar(self, event: ScalarEvent) -> None:
        self._count(event, 1)
        if self._stack and self._stack[-1].is_map and self._stack[-1].key is None:
            self._key(event)
            return
        where = self._where()
        self._places.setdefault(where, (event.start_mark.line + 1, event.start_mark.column + 1))
        value = self._value(event)
        if event.anchor is not None:
            self._anchors[str(event.anchor)] = (value, 1)
        self._put(value)

    def _value(self, event: ScalarEvent) -> object:
        tag = str(event.tag) if event.tag else None
        if tag is not None and tag not in _STR_TAGS:
            self._stop(event, text("The tag {tag} is not allowed", tag=ascii(tag[:80])))
        if tag is not None or event.style in ("'", '"', "|", ">"):
            return event.value
        return plain_value(event.value)

    def _open(self, event: MappingStartEvent | SequenceStartEvent) -> None:
        self._count(event, 1)
        if event.tag and not event.implicit:
            self._stop(event, text("The tag {tag} is not allowed", tag=ascii(str(event.tag)[:80])))
        if len(self._stack) >= DEPTH_MAX:
            self._stop(event, text("It is nested more than {limit} deep", limit=DEPTH_MAX))
        if self._stack and self._stack[-1].is_map and self._stack[-1].key is None:
            self._stop(event, text("A field's name must be plain text"))
        where = self._where()
        self._places.setdefault(where, (event.start_mark.line + 1, event.start_mark.column + 1))
        is_map = isinstance(event, MappingStartEvent)
        made = _Open({} if is_map else [], where, is_map, str(event.anchor) if event.anchor else None)
        self._put(made.value)
        self._stack.append(made)

    def _alias(self, event: AliasEvent) -> None:
        name = str(event.anchor)
        if self._stack and self._stack[-1].is_map and self._stack[-1].key is None:
            self._stop(event, text("A field's name must be plain text"))
        if name not in self._anchors:
            self._stop(event, text("The alias *{name} stands for nothing above it", name=name[:80]))
        value, size = self._anchors[name]
        self._count(event, size)
        self._places.setdefault(self._where(), (event.start_mark.line + 1, event.start_mark.column + 1))
        self._put(value)


def _size(value: object) -> int:
    """Count the values in a value, up to just above the limit, because sizes of aliases multiply."""
    count, rest = 0, [value]
    while rest and count <= NODES_MAX:
        one = rest.pop()
        count += 1
        if isinstance(one, dict):
            rest.extend(one.values())
        elif isinstance(one, list):
            rest.extend(one)
    return count


def plain_value(written: str) -> object:
    """Return the value of an unquoted scalar in YAML 1.2: null, true or false, a number, else text."""
    if written in _WORDS:
        return _WORDS[written]
    if len(written) <= 40:
        if _INT.fullmatch(written):
            number = WrittenInt(int(written, 0) if written[:2] in ("0x", "0o") else int(written))
            number.raw = written
            return number
        if _FLOAT.fullmatch(written):
            decimal = WrittenFloat(written)
            decimal.raw = written
            return decimal
    return written
