"""The published schema, the example file and the reference page say what the parser does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pearlstreet.base.errors import InvalidInput
from pearlstreet.workload.spec.context import Context
from pearlstreet.workload.spec.model import JobSpec
from pearlstreet.workload.spec.parse import parse_json, parse_yaml
from pearlstreet.workload.spec.reference import reference_page
from pearlstreet.workload.spec.table import JOB, sections
from pearlstreet.workload.spec.write import json_schema, to_json
from pearlstreet.workload.spec.yaml_source import read_yaml

DOCS = Path(__file__).parents[3] / "docs" / "reference"
EXAMPLE = (DOCS / "job.example.yaml").read_text(encoding="utf-8")
UPLOAD = "upl_01k8m3v5q2e7r9t0w4y6z8a1b3"


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())


def test_the_example_is_valid_by_parser_and_schema(validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(read_yaml(EXAMPLE, None, Context()))
    spec = parse_yaml(EXAMPLE, "job.example.yaml", local=True)
    validator.validate(to_json(spec))
    assert parse_json(to_json(spec), local=True) == spec


def test_the_example_shows_every_field() -> None:
    commented = EXAMPLE.replace("# ", "")
    missing = [
        f"{prefix}{one.name}"
        for section, prefix in sections()
        for one in section.fields
        if f"{one.name}:" not in commented
    ]
    # What the short form of a file or input stands for.
    assert set(missing) <= {"files[].source", "inputs.NAME.source"}


def test_every_field_is_described_in_both_languages_and_has_its_example_accepted() -> None:
    for section, prefix in sections():
        for one in section.fields:
            assert one.title and one.about and one.title_zh and one.about_zh, f"{prefix}{one.name}"
            assert any("\u4e00" <= letter <= "\u9fff" for letter in one.title_zh + one.about_zh)
            if one.example is not None:
                jsonschema.Draft202012Validator(one.kind.schema()).validate(one.example)


def test_defaults_in_the_schema_are_those_of_the_parser() -> None:
    spec = parse_json({"command": "x"})
    properties = json_schema()["properties"]
    told = {name: entry["default"] for name, entry in properties.items() if "default" in entry}
    assert told["time_limit"] == 86_400
    assert told["tasks"] == 1
    assert parse_json({"command": "x", **told}) == spec


@pytest.mark.parametrize(
    "value",
    [
        {"command": ["a", "b"], "tasks": 4, "per_task": {"accelerator": ["H100", "A100"], "count": 8}},
        {"command": "x", "per_task": {"fraction": {"compute_percent": 25}}, "retries": 3, "priority": "low"},
        {"command": "x", "environment": {"python": 3.11, "packages": "numpy"}, "outputs": ["a/**"]},
        {"command": "x", "files": UPLOAD, "inputs": {"A": UPLOAD}, "secrets": ["A"], "variables": {"B": 1}},
        {"command": "x", "array": {"size": 10}, "limits": {"grace": "30s"}, "time_limit": "1h30m"},
    ],
)
def test_what_the_parser_takes_the_schema_takes(
    validator: jsonschema.Draft202012Validator, value: dict[str, Any]
) -> None:
    spec = parse_json(value)
    validator.validate(value)
    validator.validate(to_json(spec))


@pytest.mark.parametrize(
    "value",
    [{}, {"command": "x", "tasks": 0}, {"command": "x", "unknown": 1}, {"command": "x", "network": "host"},
     {"command": "x", "variables": {"1": "x"}}, {"command": "x", "files": [{"upload": "x"}]},
     {"command": "x", "per_task": {"cpus": "two"}}],
)  # fmt: skip
def test_plain_mistakes_are_refused_by_both(
    validator: jsonschema.Draft202012Validator, value: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput):
        parse_json(value)
    assert not validator.is_valid(value)


def _objects(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for value in schema.values():
            yield from _objects(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _objects(value)


def test_a_form_can_be_made_from_the_schema() -> None:
    for entry in _objects(json_schema()):
        assert entry["additionalProperties"] is False
        for name, field in entry["properties"].items():
            assert {"title", "description", "x-title-zh", "x-description-zh"} <= set(field), name
            assert "type" in field or "anyOf" in field, name


def test_the_reference_page_is_the_one_the_table_makes() -> None:
    written = (DOCS / "job.md").read_text(encoding="utf-8")
    assert written == reference_page(), (
        "run: python -m pearlstreet.workload.spec.reference > docs/reference/job.md"
    )
    for section, prefix in sections():
        for one in section.fields:
            assert f"`{prefix}{one.name}`" in written


def test_every_attribute_of_the_model_can_be_written() -> None:
    assert {one.target for one in JOB.fields} == set(JobSpec.__dataclass_fields__)
