"""The `.po` files as the tidy checks read and write them, through Babel."""

from __future__ import annotations

import functools
import re
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po, write_po
from tests.tidy.source import SRC

LANGUAGE = "zh_CN"
FOLDER = SRC / "locale" / LANGUAGE / "LC_MESSAGES"
HEADER = rf"""msgid ""
msgstr ""
"Project-Id-Version: Pearlstreet\n"
"Language: {LANGUAGE}\n"
"Language-Team: Simplified Chinese\n"
"MIME-Version: 1.0\n"
"Content-Type: text/plain; charset=UTF-8\n"
"Content-Transfer-Encoding: 8bit\n"
"Plural-Forms: nplurals=1; plural=0;\n"

"""
"""Header without dates and names: these would conflict in every merge."""


def read(path: Path) -> Catalog:
    """Return the messages of a `.po` file in their order."""
    with path.open("rb") as file:
        return read_po(file, locale=LANGUAGE, abort_invalid=True)


def entries(catalog: Catalog) -> list[Message]:
    """Return the messages without the header."""
    return [message for message in catalog if message.id]


def template(message: Message) -> str:
    """Return the English template; of a plural message the one for 1, under which it is looked up."""
    return message.id if isinstance(message.id, str) else message.id[0]


def translated(message: Message) -> str:
    """Return the translation, empty if it is missing. Chinese has one form for every count."""
    return message.string if isinstance(message.string, str) else message.string[0]


def render(comment: str, messages: list[Message]) -> str:
    """Return a `.po` file: one line per string, no positions in the code, so that changes merge."""
    catalog = Catalog(locale=LANGUAGE)
    for message in messages:
        catalog[message.id] = message
        message.flags.discard("python-format")  # a template is for str.format: "100 % of" is no format
    content = BytesIO()
    write_po(content, catalog, width=0, omit_header=True, no_location=True)
    head = "".join(f"{line}\n" for line in comment.splitlines())
    return head + HEADER + content.getvalue().decode().strip() + "\n"


def write(path: Path, comment: str, messages: list[Message]) -> None:
    """Write a `.po` file as `render` gives it."""
    path.write_text(render(comment, messages), encoding="utf-8")


def comment_of(path: Path) -> str:
    """Return the comment at the head of a `.po` file."""
    match = re.match(r"(?:#[^\n]*\n)*", path.read_text(encoding="utf-8"))
    return match.group() if match else ""


@functools.cache
def translations_by_template() -> dict[str, str]:
    """Return the translation of every template of every file."""
    return {
        template(message): translated(message)
        for path in sorted(FOLDER.glob("*.po"))
        for message in entries(read(path))
    }
