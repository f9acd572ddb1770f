"""Generator of src/pearlstreet/client/results.py from the response models: `python -m pearlstreet.api.client_types`."""

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
"""Descriptions that the fields leave out because the docstring of the generated module gives them."""
_SIMPLE = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
Schema = Mapping[str, Any]


def results_module() -> str:
    """Return the text of src/pearlstreet/client/results.py."""
    schemas = _schemas()
    written = (_definition(name, schemas[name]) for name in sorted(_answered(), key=type_name))
    return _HEAD + "".join(written)


def answer_schemas() -> dict[str, Schema]:
    """Return operation id → schema of its JSON response, for operations that have one."""
    found = {}
    for methods in describe_api()["paths"].values():
        for operation in methods.values():
            for status, answer in operation["responses"].items():
                schema = answer.get("content", {}).get("application/json", {}).get("schema")
                if status.startswith("2") and schema:
                    found[operation["operationId"]] = schema
    return found


def result_type(schema: Schema) -> str:
    """Return the result type of a client method; for a page, or an object with only `items`, the type of an item."""
    schemas = _schemas()
    items = _items(_resolved(schema, schemas))
    return expression(items if items is not None else schema, prefix="results.")


def type_name(schema_name: str) -> str:
    """Return `Job` for `JobOut`: callers do not need the API's suffixes."""
    for suffix in ("Out", "In"):
        shorter = schema_name.removesuffix(suffix)
        if shorter != schema_name and not {shorter, f"{shorter}Out"} & (_answered() - {schema_name}):
            return shorter
    return schema_name


def expression(schema: Schema, prefix: str = "") -> str:
    """Return a schema as a type expression, with a prefix before the names of other schemas."""
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
    """Return the names of schemas in responses, without pages and lists, whose items client methods return."""
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
    """Return the schema of an item if a response only consists of a list, else None."""
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
