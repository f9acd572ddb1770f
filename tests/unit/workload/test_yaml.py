"""YAML as people and attackers write it."""

from __future__ import annotations

import time

import pytest

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.workload.spec.parse import parse_yaml


def problem(source: str) -> Problem:
    """The first problem of a text."""
    with pytest.raises(InvalidInput) as refused:
        parse_yaml(source, "job.yaml")
    return refused.value.problems[0]


@pytest.mark.parametrize(
    ("source", "line", "says"),
    [
        ("command: x\nname: 'open\n", 2, "end of"),
        ("command: x\nlabels: {a: b\n", 2, "flow mapping"),
        ("command: x\n  name: y\n", 2, "mapping values"),
        ("command: x\n\tname: y\n", 2, "tab|cannot start|token"),
        ("a\nb: c\n", 2, "mapping values|simple key|expected"),
        ("command: x\n- y\n", 2, "expected"),
        ("command: *nothing\n", 1, "stands for nothing"),
        ("command: x\n---\ncommand: y\n", 2, "second document"),
        ("command: !!python/object/apply:os.system [id]\n", 1, "tag"),
        ("command: !mine x\n", 1, "tag"),
        ("? [a]\n: b\n", 1, "plain text"),
        ("command: x\nname: a: b\n", 2, "mapping values"),
        ("%YAML 9.9\n---\ncommand: x\n", 1, ""),
    ],
)
def test_text_that_is_no_yaml_is_told_with_its_line(source: str, line: int, says: str) -> None:
    found = problem(source)
    assert found.line == line
    assert found.column is not None
    import re

    assert re.search(says, str(found.message))


def test_a_tab_and_a_loose_colon_get_a_hint() -> None:
    assert "spaces" in str(problem("per_task:\n\tcpus: 3\ncommand: x").hint)
    assert "quotes" in str(problem("command: x\nname: a: b\n").hint)


def test_a_field_written_twice_is_told_with_both_lines() -> None:
    found = problem("command: x\nname: a\ncommand: y\n")
    assert (found.field, found.line) == ("command", 3)
    assert str(found.message) == "It is written twice, first on line 1"


def test_words_for_true_stay_words_and_are_explained() -> None:
    assert parse_yaml("command: [echo, yes, on, off, 12:30:00, 2026-01-31]").command[1:] == (
        "yes", "on", "off", "12:30:00", "2026-01-31",
    )  # fmt: skip
    assert str(problem("command: x\npreemptible: yes\n").hint) == "Write true"


def test_an_alias_repeats_what_it_names() -> None:
    spec = parse_yaml("command: x\nlabels: &l {a: b}\nvariables: *l\n")
    assert spec.variables == {"a": "b"}


def test_a_bomb_of_aliases_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    start = time.perf_counter()
    found = problem("\n".join(lines))
    assert "values" in str(found.message)
    assert time.perf_counter() - start < 3


@pytest.mark.parametrize(
    "source",
    ["[" * 5000, "{a: " * 5000, "- " * 5000 + "x", "a:\n" + "".join(" " * i + "b:\n" for i in range(1, 300))],
)
def test_deep_nesting_is_refused_without_exhausting_the_stack(source: str) -> None:
    assert "deep" in str(problem(source).message)


def test_a_huge_text_is_refused_by_its_size() -> None:
    assert "longer than" in str(problem("#" * (4 << 20) + "\n").message)


@pytest.mark.parametrize("source", ["", "\n\n", "# only a comment\n", "---\n", "{}", "null"])
def test_an_empty_file_says_what_to_write(source: str) -> None:
    assert str(problem(source).message) == "The job specification is empty"


@pytest.mark.parametrize("source", ["command: a\x00b", "command: a\x07b", "\ufffe", "command: \ud800"])
def test_characters_yaml_forbids_are_refused(source: str) -> None:
    assert problem(source).message


def test_json_is_yaml_too() -> None:
    assert parse_yaml('{"command": ["echo", "\\u4f60"], "tasks": 2}').command == ("echo", "你")


def test_windows_line_ends_and_a_byte_order_mark_are_fine() -> None:
    assert parse_yaml("\ufeffname: a\r\ncommand: |\r\n  one\r\n  two\r\n").command[2] == "one\ntwo\n"


def test_a_problem_deep_inside_has_its_own_line() -> None:
    source = (
        "command: x\nfiles:\n  - upload: upl_01k8m3v5q2e7r9t0w4y6z8a1b3\n    path: ok\n  - upload: nope\n"
    )
    with pytest.raises(InvalidInput) as refused:
        parse_yaml(source)
    [found] = refused.value.problems
    assert (found.field, found.line, found.column) == ("files[1].upload", 5, 5)
