"""Messages of the command line that are given as plain words: help strings, headings of tables, states."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from typing import Any

from tests.tidy.messages import Message
from tests.tidy.source import modules


def cli_messages() -> list[Message]:
    """Return all of them."""
    return [
        *(Message("cli/help", words, None) for words in sorted(_help())),
        *(Message(place, words, None) for place, words in _headings()),
        *(Message("cli/output.py", words, None) for words in sorted(shown_words())),
        Message("cli/helping.py", "Show this message and exit.", None),  # of `--help`, which click adds
    ]


def shown_words() -> set[str]:
    """Return the words for states that tables show."""
    from pearlstreet.cli.output import STATES
    from pearlstreet.compute.engines.protocol import EndReason
    from pearlstreet.compute.execution.model import AttemptState
    from pearlstreet.compute.jobs.model import JobState

    return {str(word) for word in (*STATES, *JobState, *AttemptState, *EndReason)}


def literals() -> set[str]:
    """Return every string of the code, docstrings without indentation and in one line as `--help` shows them."""
    strings = set()
    for tree in modules().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                strings |= {node.value, " ".join(inspect.cleandoc(node.value).split())}
    return strings


def _help() -> set[str]:
    from pearlstreet.app.pearl import COMMAND_GROUPS
    from pearlstreet.cli.helping import help_strings
    from pearlstreet.cli.main import command_of, make_app

    return set(help_strings(command_of(make_app(COMMAND_GROUPS))))


def _headings() -> Iterator[tuple[str, str]]:
    for path, tree in modules().items():
        if path.startswith(("cli/", "app/")):
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and node.args:
                    for part in _heading_parts(node):
                        if isinstance(part, ast.Constant):
                            yield f"{path}:{node.lineno}", str(part.value)


def _heading_parts(node: ast.Call) -> list[Any]:
    name, first = getattr(node.func, "id", None), node.args[0]
    if name == "table" and isinstance(first, ast.Tuple):
        return list(first.elts)
    if name == "facts" and isinstance(first, ast.Dict):
        return list(first.keys)
    return []
