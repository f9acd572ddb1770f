"""Whatever is sent as a job specification is answered with a specification or a list of problems, never a crash."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pearlstreet.base.errors import InvalidInput
from pearlstreet.workload.spec.model import JobSpec
from pearlstreet.workload.spec.parse import parse_json, parse_stored, parse_yaml
from pearlstreet.workload.spec.shapes import Section, ShortKind
from pearlstreet.workload.spec.table import JOB, sections
from pearlstreet.workload.spec.write import spec_digest, to_json

NAMES = sorted(
    {one.name for section, _ in sections() for one in section.fields} | {"", "unknown", "\x00", "é"}
)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
    | st.sampled_from([
        "upl_01k8m3v5q2e7r9t0w4y6z8a1b3", "job_01k8m3v5q2e7r9t0w4y6z8a1b3", "1h", "16GB", "../x", "numpy", "any",
        "https://github.com/a/b", "https://127.0.0.1/", "none", "2026-01-31T08:00:00Z", "python train.py", 1e308, -0.0,
    ])
)  # fmt: skip
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=6), inner, max_size=5),
    max_leaves=25,
)  # fmt: skip


def answered(read: Any, value: Any) -> JobSpec | None:
    """The specification, or None after a refusal whose problems can be shown."""
    try:
        made = read(value)
    except InvalidInput as refused:
        assert refused.problems
        for problem in refused.problems:
            assert problem.field
            json.dumps([problem.message.to_json(), problem.hint and problem.hint.to_json()])
            for language in ("en", "zh-CN"):
                assert problem.message.render(language).isprintable() or "\n" not in problem.field
        return None
    assert isinstance(made, JobSpec)
    return made


@settings(max_examples=400)
@given(st.dictionaries(st.sampled_from(NAMES), ANYTHING, max_size=8))
def test_any_json_is_answered(value: dict[str, Any]) -> None:
    for candidate in (value, {"command": "true", **value}):
        spec = answered(parse_json, candidate)
        if spec is not None:
            assert parse_stored(to_json(spec)) == spec


@settings(max_examples=300)
@given(
    st.text(st.sampled_from(list("abc:-[]{}&*!|>'\"#%@, \n\t0.~?\\é\x00")), max_size=60)
    | st.binary(max_size=60).map(lambda data: data.decode("latin-1"))
)
def test_any_text_is_answered(source: str) -> None:
    answered(parse_yaml, source)
    answered(parse_yaml, f"command: x\nlabels: {source}\n")


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(NAMES), ANYTHING, max_size=6))
def test_yaml_and_json_of_the_same_value_agree(value: dict[str, Any]) -> None:
    written = (
        json.dumps({"command": "true", **value}, allow_nan=False, default=str) if _finite(value) else "{}"
    )
    from_json = answered(parse_json, json.loads(written))
    from_yaml = answered(parse_yaml, written)
    assert (from_json is None) == (from_yaml is None)
    if from_json is not None and from_yaml is not None:
        # Numbers where text is wanted keep their spelling in YAML (1e3) and not in JSON (1000.0).
        assert to_json(from_json).keys() == to_json(from_yaml).keys()


def _finite(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


def _valid(section: Section) -> st.SearchStrategy[dict[str, Any]]:
    """Specifications made of the fields' own examples."""
    known = {one.name: one.example for one in section.fields if one.example is not None}
    return st.sets(st.sampled_from(sorted(known))).map(lambda names: {name: known[name] for name in names})


def _combine(value: dict[str, Any]) -> bool:
    return not {"service", "array"} <= value.keys()


@given(_valid(JOB).filter(_combine))
def test_examples_combine_and_survive_being_stored(value: dict[str, Any]) -> None:
    spec = parse_json({"command": "true", **value}, local=True)
    stored = json.loads(json.dumps(to_json(spec)))
    again = parse_json(stored, local=True)
    assert again == spec
    assert spec_digest(again) == spec_digest(spec)
    assert to_json(again) == stored


def test_every_section_is_reached_from_the_job() -> None:
    reached = {JOB.make} | {
        section.make
        for one in JOB.fields
        for kind in (one.kind, getattr(one.kind, "item", None))
        for section in (kind, kind.section if isinstance(kind, ShortKind) else None)
        if isinstance(section, Section)
    }
    nested = {
        kind.make
        for section, _ in sections()
        for one in section.fields
        for kind in (one.kind, one.kind.section if isinstance(one.kind, ShortKind) else None)
        if isinstance(kind, Section)
    }
    assert reached | nested == {section.make for section, _ in sections()}
