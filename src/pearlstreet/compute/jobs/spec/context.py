"""What a reading of a specification carries along: where things stand in the file, and every problem met so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import Text, plural, text

Where = tuple[str | int, ...]
"""The way to a value from the top: `("files", 0, "path")`."""
Locations = Mapping[Where, tuple[int, int]]
"""Line and column (both from 1) of keys and list items, when the specification came as text."""

PROBLEMS_MAX = 50
"""More are counted, not listed: an answer stays readable and bounded."""


class Bad:
    """The type of `BAD`."""

    __slots__ = ()


BAD: Final = Bad()
"""Stands for a value that was refused; its problem is already noted."""


def dotted(where: Where) -> str:
    """`files[0].path`."""
    parts: list[str] = []
    for step in where:
        if isinstance(step, int):
            parts.append(f"[{step}]")
        else:
            shown = step if len(step) <= 80 else step[:77] + "..."
            parts.append(f".{ascii(shown)[1:-1]}" if parts else ascii(shown)[1:-1])
    return "".join(parts) or "(top)"


@dataclass(slots=True)
class Context:
    """Collects problems; a reading goes on after each, so that all are told at once."""

    locations: Locations = field(default_factory=dict)
    file: str | None = None
    local: bool = False
    """Paths on the submitter's machine are allowed: the reader will upload them."""
    private_git: bool = False
    """The operator allows git repositories of the inner network, over http too."""
    problems: list[Problem] = field(default_factory=list)
    more: int = 0

    def add(self, where: Where, message: Text, hint: Text | None = None) -> Bad:
        """Note a problem. Answers BAD, to be returned in place of a value."""
        if len(self.problems) >= PROBLEMS_MAX:
            self.more += 1
            return BAD
        line, column = self._place(where)
        self.problems.append(Problem(dotted(where), message, line, column, self.file, hint))
        return BAD

    def _place(self, where: Where) -> tuple[int | None, int | None]:
        """Of the value itself, else of what is nearest around it."""
        for end in range(len(where), -1, -1):
            found = self.locations.get(where[:end])
            if found is not None:
                return found
        return None, None

    def raise_if_any(self) -> None:
        """Raises InvalidInput with every problem collected."""
        if self.problems:
            raise invalid(self.problems, self.more)


def invalid(problems: list[Problem], more: int = 0) -> InvalidInput:
    """The error that tells all `problems` of one specification; `more` were left out."""
    count = len(problems) + more
    if count == 1:
        message = text(
            "The job specification is wrong at {field}: {problem}",
            field=problems[0].field,
            problem=problems[0].message,
        )
    else:
        message = plural(
            "The job specification has {count} problem",
            "The job specification has {count} problems",
            count=count,
        )
    hint = (
        plural("{count} more problem is not listed", "{count} more problems are not listed", count=more)
        if more
        else None
    )
    return InvalidInput(message, problems=problems, hint=hint)
