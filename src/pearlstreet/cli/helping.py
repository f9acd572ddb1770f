"""Help in the reader's language, in at most 100 columns, with East Asian letters counted as the two cells they take.

The English help string is the key of its translation, as with every other message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from pearlstreet.base.translations import translations
from pearlstreet.cli.output import cells, language, say

WIDTH = 100
INDENT = 2
KINDS = {"str": "TEXT", "int": "NUMBER", "float": "NUMBER", "Path": "FILE", "path": "FILE"}
NAME_MAX = 30
"""Longer names get their words on the next line."""
WORD = re.compile(r"\s+|[⺀-鿿＀-￯、-〿]|[^\s⺀-鿿＀-￯、-〿]+")


def in_language(words: str) -> str:
    """Return a help string in the reader's language."""
    return translations(language()).gettext(words) if words and language() != "en" else words


def speak(command: Any) -> None:
    """Let a command and all beneath it answer `--help` in our form."""
    command.format_help = lambda context, formatter: formatter.write(render(command, context))
    for child in getattr(command, "commands", {}).values():
        speak(child)


def help_strings(command: Any) -> Iterator[str]:
    """Yield every help string of a command and its subcommands; each needs a translation."""
    if command.help:
        yield _one_line(command.help)
    yield from (parameter.help for parameter in command.params if getattr(parameter, "help", None))
    for child in getattr(command, "commands", {}).values():
        yield from help_strings(child)


def render(command: Any, context: Any) -> str:
    """Return the whole help text."""
    width = min(WIDTH, context.terminal_width or _terminal_width())
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    lines = [say("Usage: {usage}", usage=usage), ""]
    if command.help:
        lines += [*wrap(in_language(_one_line(command.help)), width), ""]
    arguments: list[tuple[str, str]] = []
    options: list[tuple[str, str]] = []
    for parameter in command.get_params(context):
        if getattr(parameter, "hidden", False):
            continue
        record = parameter.get_help_record(context)
        if record is not None:
            words = in_language(parameter.help or "") + _default(parameter)
            (arguments if parameter.param_type_name == "argument" else options).append(
                (_shape(record[0]), words)
            )
    children = [
        (name, in_language(_one_line(child.help or "")))
        for name, child in getattr(command, "commands", {}).items()
        if not child.hidden
    ]
    for title, rows in (("Arguments", arguments), ("Options", options), ("Commands", children)):
        if rows:
            lines += [f"{say(title)}:", *_columns(rows, width), ""]
    return "\n".join(lines)


def _shape(names: str) -> str:
    """`--tasks <int>` as people write it: `--tasks NUMBER`."""
    return re.sub(
        r" <(list\[)?(\w+)\]?>(\.\.\.)?", lambda found: f" {KINDS.get(found[2], found[2].upper())}", names
    )


def _terminal_width() -> int:
    import shutil

    return shutil.get_terminal_size((80, 24)).columns


def _default(parameter: Any) -> str:
    value = parameter.default
    if value in (None, "", ()) or isinstance(value, bool) or callable(value) or not parameter.show_default:
        return ""
    return f"  [{value}]"


def _one_line(words: str) -> str:
    return " ".join(words.split())


def _columns(rows: Sequence[tuple[str, str]], width: int) -> Iterator[str]:
    left = min(NAME_MAX, max(cells(name) for name, _ in rows)) + INDENT + 2
    for name, words in rows:
        lines = wrap(words, width - left) or [""]
        head = " " * INDENT + name
        if cells(head) + 2 > left:
            yield head
            head = ""
        yield (head + " " * (left - cells(head)) + lines[0]).rstrip()
        yield from (" " * left + line for line in lines[1:])


def wrap(words: str, width: int) -> list[str]:
    """Return lines of at most `width` cells; Chinese is broken anywhere, other words at spaces."""
    lines, line = [], ""
    for word in WORD.findall(words):
        if line and not word.isspace() and cells(line + word) > width:
            lines.append(line.rstrip())
            line = ""
        if line or not word.isspace():
            line += word
    return [*lines, line.rstrip()] if line.strip() else lines
