"""Pydantic's errors as problems with field names, in both languages, with suggestions for misspelt fields."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import Text, text

M = TypeVar("M", bound=BaseModel)
PROBLEMS_MAX = 50
_SAYS: Mapping[str, Text] = {
    "missing": text("It is missing"),
    "extra_forbidden": text("There is no such field"),
    "string_type": text("It must be text"),
    "string_unicode": text("It is not valid Unicode"),
    "int_type": text("It must be a whole number"),
    "int_parsing": text("It must be a whole number"),
    "int_parsing_size": text("The number is too large"),
    "int_from_float": text("It must be a whole number"),
    "float_type": text("It must be a number"),
    "float_parsing": text("It must be a number"),
    "finite_number": text("It must be a finite number"),
    "bool_type": text("It must be true or false"),
    "bool_parsing": text("It must be true or false"),
    "list_type": text("It must be a list"),
    "dict_type": text("It must be an object"),
    "model_type": text("It must be an object"),
    "model_attributes_type": text("It must be an object"),
    "json_invalid": text("It is not JSON"),
}
_SAYS_WITH: Mapping[str, str] = {
    "string_too_long": "At most {max_length} characters are allowed",
    "string_too_short": "At least {min_length} characters are needed",
    "too_long": "At most {max_length} items are allowed",
    "greater_than_equal": "It must be at least {ge}",
    "greater_than": "It must be more than {gt}",
    "less_than_equal": "It must be at most {le}",
    "less_than": "It must be less than {lt}",
    "enum": "It must be one of {expected}",
    "literal_error": "It must be one of {expected}",
}
_PLACES = ("body", "query", "path", "header", "cookie")


def validated(model: type[M], value: object) -> M:
    """Return `value` as `model`. Raises InvalidInput naming every field that does not fit."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise does_not_fit(error.errors(include_url=False, include_input=False), model) from None


def does_not_fit(found: Sequence[Mapping[str, object]], model: type[BaseModel] | None) -> InvalidInput:
    """Return the error for pydantic's errors; `model` is the body's model, for suggestions."""
    problems = [_problem(item, model) for item in found[:PROBLEMS_MAX]]
    return InvalidInput(text("The request does not fit the schema"), problems=problems)


def _problem(item: Mapping[str, Any], model: type[BaseModel] | None) -> Problem:
    place = list(item["loc"])
    if place and place[0] in _PLACES:
        place = place[1:]
    field = ".".join(str(part)[:80] for part in place) or "body"
    hint = _suggestion(place, model) if item["type"] == "extra_forbidden" else None
    return Problem(field, _message(item), hint=hint)


def _message(item: Mapping[str, Any]) -> Text:
    kind = str(item["type"])
    if kind in _SAYS:
        return _SAYS[kind]
    if kind in _SAYS_WITH:
        return text(_SAYS_WITH[kind], **item.get("ctx", {}))
    return text("{message}", message=str(item["msg"]))


def _suggestion(place: Sequence[object], model: type[BaseModel] | None) -> Text | None:
    for part in place[:-1]:
        model = _inner(model, part)
    if model is None:
        return None
    names = sorted(model.model_fields)
    near = difflib.get_close_matches(str(place[-1]), names, 1, 0.6)
    if near:
        return text("Did you mean {name}?", name=near[0])
    return text("Fields are: {names}", names=", ".join(names))


def _inner(model: type[BaseModel] | None, part: object) -> type[BaseModel] | None:
    """Return the model of a field, or of the items of its list."""
    if model is None or isinstance(part, int):
        return model
    found = model.model_fields.get(str(part))
    return model_in(found.annotation) if found is not None else None


def model_in(annotation: object) -> type[BaseModel] | None:
    """Return the model in the annotation `Model`, `Model | None` or `list[Model]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (list, typing.Union, types.UnionType):
        for part in typing.get_args(annotation):
            found = model_in(part)
            if found is not None:
                return found
    return None
