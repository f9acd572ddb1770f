"""Front matter of cards: what is read, and what is refused."""

from __future__ import annotations

import pytest

from pearlstreet.base.errors import InvalidInput
from pearlstreet.hub.cards import card_tags, read_card, split_card


def test_tags_licence_and_languages_are_read() -> None:
    card = read_card("---\nlicense: mit\nlanguage: [en, zh]\ntags: [图像]\n---\n# 标题\n".encode())
    assert card_tags(card) == ["图像", "license:mit", "en", "zh"]
    assert read_card(b"# no front matter") == {}


@pytest.mark.parametrize(
    "front",
    [
        "a: [",
        "- list",
        "license: 5",
        "a: &x [1]\nb: *x",
        "a: !!python/object/apply:os.system [id]",
        "x" * 70_000,
    ],
)
def test_wrong_front_matter_is_refused(front: str) -> None:
    with pytest.raises(InvalidInput):
        read_card(f"---\n{front}\n---\n".encode())


def test_front_matter_without_end_and_other_bytes_are_refused() -> None:
    for content in (b"---\na: 1\n", b"---\n\xff\n---\n"):
        with pytest.raises(InvalidInput):
            read_card(content)


def test_a_problem_names_its_line() -> None:
    wrong = (("license: mit\ntags: [a", 4), ("a: 1\n  b: 2", 3), ("tags: [a]\nlicense: 5", 3), ("- list", 2))
    for front, line in wrong:
        with pytest.raises(InvalidInput) as error:
            read_card(f"---\n{front}\n---\n".encode())
        assert abs((error.value.problems[0].line or 0) - line) <= 1, (front, error.value.problems)
    with pytest.raises(InvalidInput) as error:
        read_card(b"line\nnext \xff\n")
    assert error.value.problems[0].line == 2


def test_a_card_is_split_at_its_front_matter() -> None:
    parts = split_card(b"---\nlicense: mit\n---\n# Tiny\n---\nmore")
    assert (parts.front, parts.body) == ("license: mit", "# Tiny\n---\nmore")
    assert split_card(b"no front").front is None
