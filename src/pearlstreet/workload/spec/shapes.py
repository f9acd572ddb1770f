"""Kinds of values that contain others: lists, maps, sections with named fields, and sections with a short form."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field
from dataclasses import fields as dataclass_fields
from typing import Any

from pearlstreet.base.errors import check
from pearlstreet.base.text import Text, plural, text
from pearlstreet.workload.spec.context import BAD, Attributes, Context, Where
from pearlstreet.workload.spec.kinds import JsonSchema, ValueKind, shown, wrong_type
from pearlstreet.workload.spec.suggest import field_hint


@dataclass(frozen=True, slots=True)
class ListKind:
    """A list, stored as a tuple. `single`: one item may be written without brackets."""

    item: ValueKind
    high: int
    low: int = 0
    single: bool = False
    unique: bool = False

    def parse(self, value: object, where: Where, context: Context) -> object:
        """Return a tuple of the items."""
        if not isinstance(value, list | tuple):
            if not self.single or isinstance(value, dict):
                return wrong_type(
                    value, where, context, text("a list"), text("Write [a, b] or lines with - a")
                )
            value = [value]
        if not self.low <= len(value) <= self.high:
            return context.add(where, count_problem(len(value), self.low, self.high))
        item = self.item
        made = [item.parse(one, (*where, index), context) for index, one in enumerate(value)]
        if any(one is BAD for one in made):
            return BAD
        if self.unique and len(set(made)) != len(made):
            twice = next(index for index, one in enumerate(made) if one in made[:index])
            return context.add((*where, twice), text("{value} is listed twice", value=shown(made[twice])))
        return tuple(made)

    def dump(self, value: Any) -> Any:
        """Return a list, or a single text item without brackets where that is allowed."""
        made = [self.item.dump(one) for one in value]
        return made[0] if self.single and len(made) == 1 and isinstance(made[0], str) else made

    def schema(self) -> JsonSchema:
        """Return an array schema."""
        made: dict[str, object] = {"type": "array", "items": self.item.schema(), "maxItems": self.high}
        if self.low:
            made["minItems"] = self.low
        if self.unique:
            made["uniqueItems"] = True
        return {"anyOf": [made, self.item.schema()]} if self.single else made


def count_problem(count: int, low: int, high: int) -> Text:
    """Return the message for a list or map with too few or too many entries."""
    return plural(
        "It has {count} entry; it must have from {low} to {high}",
        "It has {count} entries; it must have from {low} to {high}",
        count=f"{count:,}",
        low=low,
        high=f"{high:,}",
    )


@dataclass(frozen=True, slots=True)
class MapKind:
    """A map from names to values. `listed`: a list of names may be written, each of which is its own value."""

    key: re.Pattern[str]
    key_wanted: Text
    item: ValueKind
    high: int
    listed: bool = False

    def parse(self, value: object, where: Where, context: Context) -> object:
        """Return a dict in the order written."""
        if self.listed and isinstance(value, list):
            value = {str(name): name for name in value}
        if not isinstance(value, dict):
            return wrong_type(value, where, context, text("names with values"), text("Write NAME: value"))
        if len(value) > self.high:
            return context.add(where, count_problem(len(value), 0, self.high))
        made: dict[str, object] = {}
        good = True
        matches = self.key.fullmatch
        for name, raw in value.items():
            at = (*where, str(name))
            if not isinstance(name, str) or matches(name) is None:
                context.add(at, text("{value} is not {wanted}", value=shown(name), wanted=self.key_wanted))
                good = False
                continue
            item = self.item.parse(raw, at, context)
            good = good and item is not BAD
            made[name] = item
        return made if good else BAD

    def dump(self, value: Any) -> Any:
        """Return a plain dict."""
        return {name: self.item.dump(one) for name, one in value.items()}

    def schema(self) -> JsonSchema:
        """Return an object schema with a pattern for the names."""
        plain = {
            "type": "object",
            "propertyNames": {"pattern": f"^(?:{self.key.pattern})$"},
            "additionalProperties": self.item.schema(),
            "maxProperties": self.high,
        }
        if not self.listed:
            return plain
        names = {"type": "array", "items": {"type": "string", "pattern": f"^(?:{self.key.pattern})$"}}
        return {"anyOf": [plain, names]}


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its kind of value, title and description. All parsers, schemas and pages use this definition."""

    name: str
    kind: ValueKind
    title: str
    title_zh: str
    about: str
    about_zh: str
    attribute: str = ""
    """Name of the attribute in the model if it differs from the field's (by a unit at its end)."""
    required: bool = False
    unit: str = ""
    example: object = None

    @property
    def target(self) -> str:
        """Name of the attribute in the model."""
        return self.attribute or self.name


Check = Callable[[Attributes, Where, Context], None]


@dataclass(frozen=True, slots=True)
class Section:
    """A set of named fields that is parsed to one value of the model."""

    make: type
    fields: tuple[Field, ...]
    check: Check | None = None
    """Rules across fields, applied to the attributes that were parsed without a problem."""
    presence: Check | None = None
    """Rules about required combinations, applied only if all fields were parsed without a problem."""
    by_name: dict[str, Field] = field(init=False)
    defaults: dict[str, object] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {one.name: one for one in self.fields})
        object.__setattr__(self, "defaults", _defaults(self.make))
        known = {one.name for one in dataclass_fields(self.make)}
        check(
            known == {one.target for one in self.fields},
            "every attribute has a field",
            section=self.make.__name__,
        )

    def parse(self, value: object, where: Where, context: Context) -> object:
        """Return the value of the model, or BAD after recording problems."""
        if not isinstance(value, dict):
            hint = text("Fields are {names}", names=", ".join(list(self.by_name)[:8]))
            return wrong_type(value, where, context, text("a set of fields"), hint)
        made: dict[str, object] = {}
        before = len(context.problems) + context.more
        by_name = self.by_name
        for name, raw in value.items():
            known = by_name.get(name)
            if known is None:
                self._unknown(name, where, context)
            elif raw is not None:
                item = known.kind.parse(raw, (*where, name), context)
                if item is not BAD:
                    made[known.target] = item
        for one in self.fields:
            if one.required and value.get(one.name) is None:
                context.add((*where, one.name), text("It is missing"), text("Add {name}", name=one.name))
        if self.presence is not None and len(context.problems) + context.more == before:
            self.presence(made, where, context)
        if self.check is not None:
            self.check(made, where, context)
        return BAD if len(context.problems) + context.more > before else self.make(**made)

    def _unknown(self, name: object, where: Where, context: Context) -> None:
        word = str(name)[:200]
        context.add(
            (*where, word),
            text("There is no field {name} here", name=shown(word)),
            field_hint(word, self.by_name, context.full_names),
        )

    def dump(self, value: Any) -> Any:
        """Return the fields that differ from their default."""
        made: dict[str, object] = {}
        for one in self.fields:
            item = getattr(value, one.target)
            if one.target not in self.defaults or item != self.defaults[one.target]:
                made[one.name] = one.kind.dump(item)
        return made

    def schema(self) -> JsonSchema:
        """Return an object schema with every field described in both languages."""
        made: dict[str, object] = {
            "type": "object",
            "properties": {one.name: self._field_schema(one) for one in self.fields},
            "additionalProperties": False,
        }
        required = [one.name for one in self.fields if one.required]
        return {**made, "required": required} if required else made

    def _field_schema(self, one: Field) -> JsonSchema:
        made = {
            "title": one.title,
            "description": one.about,
            "x-title-zh": one.title_zh,
            "x-description-zh": one.about_zh,
            **one.kind.schema(),
        }
        if one.unit:
            made["x-unit"] = one.unit
        if one.example is not None:
            made["examples"] = [one.example]
        default = self.default_json(one)
        return made if default is None else {**made, "default": default}

    def default_json(self, one: Field) -> object:
        """Return the default of a field in JSON; None if it has none."""
        default = self.defaults.get(one.target)
        if default is None or default in ((), {}, ""):
            return None
        dumped = one.kind.dump(default)
        return dumped if dumped != {} else None


def _defaults(make: type) -> dict[str, object]:
    found: dict[str, object] = {}
    for one in dataclass_fields(make):
        if one.default is not MISSING:
            found[one.name] = one.default
        elif one.default_factory is not MISSING:
            found[one.name] = one.default_factory()
    return found


Expand = Callable[[object, Context], object]


@dataclass(frozen=True, slots=True)
class ShortKind:
    """A section that may also be written as one plain value, which `expand` converts to the long form."""

    section: Section
    expand: Expand
    short: JsonSchema
    """JSON Schema of the plain value."""

    def parse(self, value: object, where: Where, context: Context) -> object:
        """Return the value of the model, or BAD after recording problems."""
        return self.section.parse(
            value if isinstance(value, dict) else self.expand(value, context), where, context
        )

    def dump(self, value: object) -> object:
        """Return the long form."""
        return self.section.dump(value)

    def schema(self) -> JsonSchema:
        """Return the schema of both forms."""
        return {"anyOf": [self.section.schema(), self.short]}
