"""Messages for people in two languages, and catalogues that fit their templates."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.base.text import catalogue, from_json, pick_language, text


def test_a_message_is_rendered_in_the_readers_language() -> None:
    message = text("Did you mean {name}?", name="count")
    assert str(message) == "Did you mean count?"
    assert message.render("zh-CN") == "是否想写 count？"


def test_a_missing_translation_falls_back_to_english() -> None:
    assert text("No such template {a}", a=1).render("zh-CN") == "No such template 1"


def test_a_message_inside_a_message_is_rendered_too() -> None:
    inner = text("It is empty")
    outer = text("Line {number}: {problem}", number=3, problem=inner)
    assert outer.render("zh-CN") == "第 3 行：内容为空"
    assert from_json(outer.to_json()) == outer


@given(st.text(max_size=40))
def test_parameters_are_never_read_as_templates(value: str) -> None:
    assert str(text("{a}", a=value)) == value


@pytest.mark.parametrize(
    ("header", "language"),
    [(None, "en"), ("", "en"), ("zh-CN,zh;q=0.9", "zh-CN"), ("fr,zh;q=0.5", "zh-CN"), ("en-US,zh", "en"),
     ("zh_CN.UTF-8", "zh-CN"), ("C.UTF-8", "en"), ("de", "en")],
)  # fmt: skip
def test_the_best_language_is_picked(header: str | None, language: str) -> None:
    assert pick_language(header) == language


def test_every_translation_uses_the_parameters_of_its_template() -> None:
    formatter = string.Formatter()

    def names(template: str) -> set[str]:
        return {name for _, name, _, _ in formatter.parse(template) if name}

    entries = catalogue("zh-CN")
    assert len(entries) > 100
    different = [template for template, chinese in entries.items() if names(template) != names(chinese)]
    assert different == []
