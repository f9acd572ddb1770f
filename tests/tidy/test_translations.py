"""Every message has a Simplified Chinese line with the same parameters. All that are missing are listed at once."""

from __future__ import annotations

import functools
import string
import tomllib
from collections import defaultdict

from tests.tidy.messages import Message, untraceable
from tests.tidy.messages import messages as messages_in_code
from tests.tidy.source import SRC
from tests.tidy.templates import page_messages, untraceable_in_pages

FOLDER = SRC / "locale" / "zh_CN"


@functools.cache
def messages() -> tuple[Message, ...]:
    return (*messages_in_code(), *page_messages())


def _fields(template: str) -> set[str]:
    return {
        name.split(".")[0].split("[")[0]
        for _, name, _, _ in string.Formatter().parse(template)
        if name is not None
    }


def _catalogue() -> dict[str, dict[str, str]]:
    """Template → file name → translation."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for file in sorted(FOLDER.glob("*.toml")):
        for template, line in tomllib.loads(file.read_text(encoding="utf-8")).items():
            found[template][file.name] = line
    return found


def test_every_message_is_translated() -> None:
    known = _catalogue()
    missing: dict[str, set[str]] = defaultdict(set)
    for message in messages():
        if message.template not in known:
            missing[message.place.rpartition("/")[0]].add(_toml(message.template))
    lines = [f"\n# {room}\n" + "\n".join(sorted(found)) for room, found in sorted(missing.items())]
    assert not missing, (
        f"{sum(map(len, missing.values()))} messages without a line in {FOLDER.name}:" + "".join(lines)
    )


def _toml(template: str) -> str:
    escaped = template.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}" = ""'


def test_messages_can_be_found_by_reading_the_code() -> None:
    assert untraceable() + untraceable_in_pages() == [], (
        "give text() a literal, a parameter of the function around it, or an entry of a table"
    )


def test_messages_get_exactly_the_parameters_they_name() -> None:
    wrong = [
        f"{message.place}: {message.template!r} is given {sorted(message.given)}"
        for message in messages()
        if message.given is not None and message.given != _fields(message.template)
    ]
    assert not wrong, "\n".join(wrong)


def test_translations_use_the_same_parameters() -> None:
    wrong = [
        f"{file}: {template!r}"
        for template, lines in _catalogue().items()
        for file, line in lines.items()
        if _fields(line) != _fields(template) or not line.strip()
    ]
    assert not wrong, "\n".join(wrong)


def test_a_message_is_translated_one_way() -> None:
    twice = {template: lines for template, lines in _catalogue().items() if len(set(lines.values())) > 1}
    assert not twice, "\n".join(f"{template!r}: {lines}" for template, lines in twice.items())


def test_the_search_for_messages_finds_some_of_each_kind() -> None:
    found = {message.template for message in messages()}
    assert "The database is busy" in found, "given to text() directly"
    assert "{value} is not an e-mail address" in found, "given to a function that hands it on"
    assert "Skip to content" in found, "in a page"
