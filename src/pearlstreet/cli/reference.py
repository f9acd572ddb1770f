"""The commands' reference, docs/reference/cli.md, written from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pearlstreet.cli.helping import render

HEAD = """# Commands

Written by `python -m pearlstreet.app.reference`; `make test` fails when it is not current. Every command takes
`--help`; with `PEARL_LANG=zh-CN`, or in a Chinese locale, help and messages are Chinese.

Which center and as whom: `PEARL_URL`, `PEARL_KEY`, `PEARL_ORG`, else the profile that `pearl login` kept
(`~/.config/pearlstreet/profiles.toml`, `PEARL_CONFIG`; `PEARL_PROFILE` picks another one).

With `--json` one thing is answered as a JSON document and a list as JSON lines, on standard output; messages for
people go to standard error. Exit codes: 0 done, 1 failed, 2 misused, 130 interrupted; `pearl run --follow` answers
with the job's own.
"""
WIDTH = 100


def reference(root: object) -> str:
    """Return the whole document."""
    return HEAD + "".join(
        f"\n## `{name}`\n\n```\n{words}\n```\n" for name, words in pages(root, "pearl", None)
    )


def pages(command: Any, name: str, parent: Any) -> Iterator[tuple[str, str]]:
    """Yield (full name, help) of a command and all beneath it."""
    context = command.context_class(command, info_name=name.split(" ")[-1], parent=parent)
    context.terminal_width = WIDTH
    yield name, render(command, context).rstrip()
    for child_name, child in getattr(command, "commands", {}).items():
        yield from pages(child, f"{name} {child_name}", context)
