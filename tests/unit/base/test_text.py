"""Messages for people in two languages, with the right form for a count."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.base import translations as module
from pearlstreet.base.text import from_json, pick_language, plural, text
from pearlstreet.base.translation_compiler import compile_catalogues
from pearlstreet.base.translations import translations


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


def test_a_count_of_one_has_its_own_english_form() -> None:
    def words(count: float) -> str:
        return str(plural("{count} node is drained", "{count} nodes are drained", count=count))

    assert [words(count) for count in (0, 1, 1.0, 1.5, 2, 1_000)] == [
        "0 nodes are drained", "1 node is drained", "1.0 node is drained",
        "1.5 nodes are drained", "2 nodes are drained", "1000 nodes are drained",
    ]  # fmt: skip


def test_a_plural_message_has_one_chinese_form(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "zh_CN" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    header = 'msgid ""\nmsgstr "Plural-Forms: nplurals=1; plural=0;\\n"\n'
    (folder / "pool.po").write_text(
        header + 'msgid "{count} node"\nmsgid_plural "{count} nodes"\nmsgstr[0] "{count} 个节点"\n',
        encoding="utf-8",
    )
    monkeypatch.setattr(module, "LOCALE", tmp_path)
    translations.cache_clear()
    try:
        for count in (1, 2):
            message = plural("{count} node", "{count} nodes", count=count)
            assert message.render("zh-CN") == f"{count} 个节点"
    finally:
        translations.cache_clear()


def test_plural_messages_are_stored_with_both_forms() -> None:
    message = plural("{count} node of {org}", "{count} nodes of {org}", count=1, org="river-lab")
    stored = message.to_json()
    assert stored == {
        "template": "{count} node of {org}",
        "plural": "{count} nodes of {org}",
        "params": {"count": 1, "org": "river-lab"},
    }
    assert from_json(stored) == message
    assert text("It is empty").to_json() == {"template": "It is empty", "params": {}}


def test_messages_stored_without_a_plural_form_are_read() -> None:
    assert from_json({"template": "{count} nodes", "params": {"count": 1}}) == text("{count} nodes", count=1)


@pytest.mark.parametrize("written_first", ["mo", "po"])
def test_the_newer_of_sources_and_compiled_file_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, written_first: str
) -> None:
    folder = tmp_path / "zh_CN" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    source, compiled = folder / "base.po", folder / module.COMPILED
    source.write_text('msgid "Yes"\nmsgstr "旧"\n', encoding="utf-8")
    compiled.write_bytes(compile_catalogues(folder))
    source.write_text('msgid "Yes"\nmsgstr "新"\n', encoding="utf-8")
    for path, at_s in ((source, 20 if written_first == "mo" else 5), (compiled, 10)):
        os.utime(path, (at_s, at_s))
    monkeypatch.setattr(module, "LOCALE", tmp_path)
    translations.cache_clear()
    try:
        assert text("Yes").render("zh-CN") == ("新" if written_first == "mo" else "旧")
        source.unlink()
        translations.cache_clear()
        assert text("Yes").render("zh-CN") == "旧", "a wheel has no sources"
        compiled.unlink()
        translations.cache_clear()
        assert text("Yes").render("zh-CN") == "Yes"
    finally:
        translations.cache_clear()
