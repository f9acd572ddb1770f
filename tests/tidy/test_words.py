"""Names and texts use the field's terms: the words of banned_words.toml are refused."""

from __future__ import annotations

import pytest
from tests.tidy.words import banned, matches, python_pieces, refused_modules, uses


def test_no_banned_word_is_added() -> None:
    """Uses from before the rule are counted (`still`) and may only become fewer."""
    wrong = []
    by_pattern = uses()
    for pattern, rule in banned()["words"].items():
        places, still = by_pattern.get(pattern, []), rule.get("still", 0)
        if len(places) > still:
            shown = "\n  ".join(map(str, places[:40]))
            wrong.append(
                f"{pattern!r}: {len(places)} uses, {still} permitted; write {rule['instead']!r}:\n  {shown}"
            )
    assert not wrong, "\n".join(wrong)


def test_no_module_has_a_refused_name() -> None:
    added = set(refused_modules()) - set(banned()["modules"]["still"])
    assert not added, f"name these modules by a noun for what they hold: {sorted(added)}"


@pytest.mark.parametrize(
    "written",
    [
        '"""Furnish the demo."""',
        "# devices given away",
        "fill_shelf = 1",
        "class TopShelf: ...",
        'text("2 are not well")',
    ],
)
def test_a_banned_word_is_found(written: str) -> None:
    assert any(matches(text) for _, text in python_pieces(written + "\n"))


@pytest.mark.parametrize(
    "written", ["headroom = not well", "# indoor, mushrooms, predicted", "shelfs_like = 1"]
)
def test_other_words_pass(written: str) -> None:
    assert not any(matches(text) for _, text in python_pieces(written + "\n"))
