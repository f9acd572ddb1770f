"""PURE cards: the YAML front matter of README.md, checked."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import Text, text

CARD_BYTES_MAX = 1 << 20
"""Maximum size of a card."""
FRONT_MATTER_BYTES_MAX = 64 << 10
NESTING_MAX = 12
_TEXTS = ("license", "language", "pipeline_tag", "library_name", "base_model", "pretty_name")


def read_card(content: bytes) -> Mapping[str, object]:
    """Return the front matter of a card; empty without one. Raises InvalidInput."""
    if len(content) > CARD_BYTES_MAX:
        raise _wrong(text("The card is larger than {limit} bytes", limit=CARD_BYTES_MAX))
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise _wrong(text("The card is not UTF-8")) from None
    if not lines or lines[0].rstrip() != "---":
        return {}
    end = next((at for at, line in enumerate(lines[1:], 1) if line.rstrip() == "---"), None)
    if end is None:
        raise _wrong(text("The front matter of the card has no end: a line with ---"))
    front = "\n".join(lines[1:end])
    if len(front) > FRONT_MATTER_BYTES_MAX or ("&" in front and "*" in front and _has_alias(front)):
        raise _wrong(text("The front matter of the card is too large or has aliases"))
    try:
        value = YAML(typ="safe", pure=True).load(io.StringIO(front))
        value = {} if value is None else value
        plain = json.loads(json.dumps(value, default=str))
    except (YAMLError, ValueError, TypeError, RecursionError, AttributeError, KeyError, IndexError) as error:
        problem = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise _wrong(text("The front matter of the card is not YAML: {problem}", problem=problem)) from None
    if not isinstance(plain, dict):
        raise _wrong(text("The front matter of the card is not a table of names and values"))
    for name in ("license", "pipeline_tag", "library_name"):
        if not isinstance(plain.get(name, ""), (str, type(None), list)):
            raise _wrong(text("{name} in the card must be text", name=name))
    return {str(key)[:200]: value for key, value in plain.items()}


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


def _wrong(message: Text) -> InvalidInput:
    return InvalidInput(message, problems=[Problem("README.md", message)])
