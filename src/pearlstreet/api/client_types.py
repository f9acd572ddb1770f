"""`python -m pearlstreet.api.client_types`: writes src/pearlstreet/client/results.py from the models of the API's answers."""

from __future__ import annotations

import functools
import json
import keyword
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from pearlstreet.api.app import describe_api

_REF = "#/components/schemas/"
_HEAD = '''\
"""Results of the client's methods, as the center answers them: plain dictionaries with known keys.

Written by `python -m pearlstreet.api.client_types` from the models of the API; a test fails when it is not current.
Times are RFC 3339 text in UTC, amounts of money exact decimal text in yuan.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict
'''
_TIME, _YUAN = "RFC 3339, UTC", "Yuan, exact to the micro-yuan"
"""Descriptions that the module's docstring gives once."""
_SIMPLE = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
Schema = Mapping[str, Any]


def results_module() -> str:
    """src/pearlstreet/client/results.py as it must be."""
    schemas = _schemas()
    written = (_definition(name, schemas[name]) for name in sorted(_answered(), key=type_name))
    return _HEAD + "".join(written)


def answer_schemas() -> dict[str, Schema]:
    """Operation id → schema of its JSON answer, for operations that have one."""
    found = {}
    for methods in describe_api()["paths"].values():
        for operation in methods.values():
            for status, answer in operation["responses"].items():
                schema = answer.get("content", {}).get("application/json", {}).get("schema")
                if status.startswith("2") and schema:
                    found[operation["operationId"]] = schema
    return found


def result_type(schema: Schema) -> str:
    """The type of a method that returns this answer; for a page, or a list alone in `items`, that of an item."""
    schemas = _schemas()
    items = _items(_resolved(schema, schemas))
    return expression(items if items is not None else schema, prefix="results.")


def type_name(schema_name: str) -> str:
    """`Job` of `JobOut`: the API's suffixes say what is of no use to a caller."""
    for suffix in ("Out", "In"):
        shorter = schema_name.removesuffix(suffix)
        if shorter != schema_name and not {shorter, f"{shorter}Out"} & (_answered() - {schema_name}):
            return shorter
    return schema_name


def expression(schema: Schema, prefix: str = "") -> str:
    """A schema as a type expression; names of other schemas get the prefix."""
    if "$ref" in schema:
        return prefix + type_name(_named(schema))
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(expression(item, prefix) for item in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return f"Literal[{', '.join(json.dumps(item) for item in schema.get('enum', [schema.get('const')]))}]"
    kind = schema.get("type")
    if kind == "array":
        return f"list[{expression(schema['items'], prefix)}]"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"dict[str, {expression(values, prefix) if isinstance(values, Mapping) else 'Any'}]"
    return _SIMPLE.get(str(kind), "Any")


def _definition(name: str, schema: Schema) -> str:
    if schema.get("type") != "object":
        return f"\n{type_name(name)} = {expression(schema)}\n"
    required = set(schema.get("required", ()))
    types = {
        key: expression(item) if key in required else f"NotRequired[{expression(item)}]"
        for key, item in schema["properties"].items()
    }
    keywords = {key: types.pop(key) for key in list(types) if keyword.iskeyword(key)}
    base = f"_{type_name(name)}" if keywords else "TypedDict"
    before = f'\n{base} = TypedDict("{base}", {json.dumps(keywords)})\n' if keywords else ""
    fields = [_field(key, kind, schema["properties"][key]) for key, kind in types.items()]
    head = f'\n\nclass {type_name(name)}({base}):\n    """{_sentence(schema["description"])}"""\n'
    return before + head + ("\n" if fields else "") + "".join(fields)


def _field(name: str, kind: str, schema: Schema) -> str:
    said = schema.get("description", "")
    known = not said or said in (_TIME, _YUAN)
    return f"    {name}: {kind}\n" + ("" if known else f'    """{_sentence(said)}"""\n')


def _sentence(text: str) -> str:
    line = " ".join(text.split())
    return line if line.endswith((".", "…")) else f"{line}."


@functools.cache
def _answered() -> frozenset[str]:
    """Names of schemas that answers hold, without pages and lists that methods take apart."""
    schemas = _schemas()
    found: set[str] = set()
    waiting = list(answer_schemas().values())
    while waiting:
        schema = waiting.pop()
        if "$ref" in schema:
            name = _named(schema)
            if name not in found and _items(schemas[name]) is None:
                found.add(name)
                waiting.append(schemas[name])
            elif name not in found:
                waiting.append(_items(schemas[name]) or {})
        else:
            waiting += _inner(schema)
    return frozenset(found)


def _inner(schema: Schema) -> Iterator[Schema]:
    yield from schema.get("properties", {}).values()
    yield from schema.get("anyOf", ())
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), Mapping):
            yield schema[key]


def _items(schema: Schema) -> Schema | None:
    """The schema of an item where an answer is nothing but a list."""
    fields = schema.get("properties", {})
    if "items" in fields and set(fields) <= {"items", "next_cursor"}:
        items: Schema = fields["items"]["items"]
        return items
    return None


def _resolved(schema: Schema, schemas: Mapping[str, Schema]) -> Schema:
    return schemas[_named(schema)] if "$ref" in schema else schema


def _named(schema: Schema) -> str:
    return str(schema["$ref"]).removeprefix(_REF)


def _schemas() -> Mapping[str, Schema]:
    schemas: Mapping[str, Schema] = describe_api()["components"]["schemas"]
    return schemas


if __name__ == "__main__":
    sys.stdout.write(results_module())
