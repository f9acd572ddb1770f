"""PURE cards: the YAML front matter of README.md, checked."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import Text, text

CARD_BYTES_MAX = 1 << 20
"""Maximum size of a card."""
FRONT_MATTER_BYTES_MAX = 64 << 10
NESTING_MAX = 12
_TEXTS = ("license", "language", "pipeline_tag", "library_name", "base_model", "pretty_name")


@dataclass(frozen=True, slots=True)
class CardParts:
    """A card split at its front matter. `front` None: it has none."""

    front: str | None
    body: str


def split_card(content: bytes) -> CardParts:
    """Return front matter and Markdown of a card. Raises InvalidInput."""
    if len(content) > CARD_BYTES_MAX:
        raise _wrong(text("The card is larger than {limit} bytes", limit=CARD_BYTES_MAX))
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _wrong(text("The card is not UTF-8"), line) from None
    if not lines or lines[0].rstrip() != "---":
        return CardParts(None, "\n".join(lines))
    end = next((at for at, line in enumerate(lines[1:], 1) if line.rstrip() == "---"), None)
    if end is None:
        raise _wrong(text("The front matter of the card has no end: a line with ---"), 1)
    return CardParts("\n".join(lines[1:end]), "\n".join(lines[end + 1 :]))


def read_card(content: bytes) -> Mapping[str, object]:
    """Return the front matter of a card; empty without one. Raises InvalidInput, with the line where that is known."""
    front = split_card(content).front
    if front is None:
        return {}
    if len(front) > FRONT_MATTER_BYTES_MAX or ("&" in front and "*" in front and _has_alias(front)):
        raise _wrong(text("The front matter of the card is too large or has aliases"))
    try:
        value = YAML(typ="safe", pure=True).load(io.StringIO(front))
        value = {} if value is None else value
        plain = json.loads(json.dumps(value, default=str))
    except (YAMLError, ValueError, TypeError, RecursionError, AttributeError, KeyError, IndexError) as error:
        raise _not_yaml(error) from None
    if not isinstance(plain, dict):
        raise _wrong(text("The front matter of the card is not a table of names and values"), 2)
    for name in ("license", "pipeline_tag", "library_name"):
        if not isinstance(plain.get(name, ""), (str, type(None), list)):
            lines = enumerate(front.splitlines(), 2)
            at = next((number for number, line in lines if line.startswith(f"{name}:")), None)
            raise _wrong(text("{name} in the card must be text", name=name), at)
    return {str(key)[:200]: value for key, value in plain.items()}


def _not_yaml(error: Exception) -> InvalidInput:
    """Return the error of a YAML parser with its line in the card, where the front matter begins on line 2."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    said = getattr(error, "problem", None) or str(error) or type(error).__name__
    message = text(
        "The front matter of the card is not YAML: {problem}", problem=str(said).splitlines()[0][:200]
    )
    return _wrong(message, mark.line + 2 if mark is not None else None)


def card_tags(card: Mapping[str, object]) -> list[str]:
    """Return the tags of a card, as clients filter by them."""
    tags = [str(tag) for tag in _many(card.get("tags"))]
    for name in ("license", "language"):
        prefix = f"{name}:" if name == "license" else ""
        tags += [prefix + str(value) for value in _many(card.get(name))]
    tags += [str(card[name]) for name in ("library_name", "pipeline_tag") if isinstance(card.get(name), str)]
    return list(dict.fromkeys(tags))[:200]


def card_words(name: str, card: Mapping[str, object]) -> str:
    """Return the words that searches look in."""
    parts = [name, *card_tags(card)]
    parts += [str(value) for key in _TEXTS for value in _many(card.get(key))]
    return "\n".join(parts).lower()[:20_000].replace("\0", "")


def _has_alias(front: str) -> bool:
    return any(word.startswith(("*", "&")) for line in front.splitlines() for word in line.split())


def _many(value: object) -> list[object]:
    if isinstance(value, list):
        return [item for item in value if isinstance(item, (str, int, float))]
    return [value] if isinstance(value, (str, int, float)) and value != "" else []


def _wrong(message: Text, line: int | None = None) -> InvalidInput:
    return InvalidInput(message, problems=[Problem("README.md", message, line=line)])
