"""PURE tokenizer of the search: words of languages with spaces, bigrams of Chinese, Japanese and Korean.

Both sides of the search use it, so that it finds the same on every database, without an extension of any.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pearlstreet.hub.cards import card_tags

TERM_CHARACTERS = 40
FACT_CHARACTERS = 78
BODY_CHARACTERS = 64 << 10
"""Length of a card's text that is indexed."""
TERMS_MAX = 3000
"""Maximum number of terms of a repository."""
QUERY_TERMS_MAX = 20
NAME, TAG, BODY, FACT = 8, 4, 1, 0
"""Weight of a term by where it stands."""
_TOKEN = re.compile(r"([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af]+)|([^\W_]+)")
_TITLES = ("pretty_name", "base_model", "datasets", "model_name", "task_categories")


@dataclass(frozen=True, slots=True)
class QueryTerm:
    """A term that a repository must have, or the beginning of one."""

    text: str
    is_prefix: bool


def index_tokens(text: str) -> Iterator[str]:
    """Yield the terms of a text; a run of Chinese also ends with its last character, so that single ones are found."""
    for chinese, word in _split(text):
        if chinese:
            yield from (chinese[at : at + 2] for at in range(len(chinese)))
        else:
            yield word[:TERM_CHARACTERS]


def query_terms(text: str) -> list[QueryTerm]:
    """Return what a query asks for. Words match by their beginning, Chinese by each pair of neighbours."""
    found: dict[QueryTerm, None] = {}
    for chinese, word in _split(text):
        pairs = [chinese[at : at + 2] for at in range(len(chinese) - 1)] if chinese else []
        for pair in pairs:
            found[QueryTerm(pair, False)] = None
        if not pairs:
            found[QueryTerm((chinese or word)[:TERM_CHARACTERS], True)] = None
        if len(found) >= QUERY_TERMS_MAX:
            break
    return list(found)[:QUERY_TERMS_MAX]


def _split(text: str) -> Iterator[tuple[str, str]]:
    # Wide letters and compatibility forms become the plain ones.
    for match in _TOKEN.finditer(unicodedata.normalize("NFKC", text).lower()):
        yield match[1] or "", match[2] or ""


def fact(name: str, value: str) -> str:
    """Return the term of a fact, such as a licence; no word begins with its first character."""
    return f"={name}:{value.strip().lower()}"[:FACT_CHARACTERS]


def repo_terms(name: str, card: Mapping[str, object], body: str = "") -> dict[str, int]:
    """Return the terms of a repository with their weights: of its name, its front matter and the text of its card."""
    weights: dict[str, int] = {}
    _add(weights, index_tokens(name), NAME)
    for term, weight in _facts(card):
        weights.setdefault(term, weight)
    _add(weights, (token for tag in card_tags(card) for token in index_tokens(tag)), TAG)
    _add(
        weights,
        (token for key in _TITLES for value in _texts(card.get(key)) for token in index_tokens(value)),
        TAG,
    )
    _add(weights, index_tokens(body[:BODY_CHARACTERS]), BODY)
    return weights


def _add(weights: dict[str, int], tokens: Iterable[str], weight: int) -> None:
    for token in tokens:
        if token not in weights and len(weights) < TERMS_MAX:
            weights[token] = weight


def _facts(card: Mapping[str, object]) -> Iterator[tuple[str, int]]:
    for tag in card_tags(card):
        yield fact("tag", tag), FACT
    for name, keys in (
        ("task", ("pipeline_tag", "task_categories")),
        ("language", ("language",)),
        ("licence", ("license",)),
    ):
        for key in keys:
            for value in _texts(card.get(key)):
                yield fact(name, value), FACT
                # The clients write some tags with the name of their entry, some without.
                yield fact("tag", value), FACT
                yield fact("tag", f"{key}:{value}"), FACT


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [str(one)[:200] for one in values[:50] if isinstance(one, (str, int, float)) and str(one)]
