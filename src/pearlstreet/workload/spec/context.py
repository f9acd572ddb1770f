"""State of parsing a specification: locations of values in the file, and the problems so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import Text, plural, text

Where = tuple[str | int, ...]
"""Path of keys and indices from the top to a value, such as `("files", 0, "path")`."""
Locations = Mapping[Where, tuple[int, int]]
"""Line and column (both from 1) of keys and list items, if the specification was given as text."""

Attributes = Mapping[str, Any]
"""Attributes of a section that were parsed without a problem, by name in the model."""

PROBLEMS_MAX = 50
"""Number of problems that are listed; more are only counted, so that the error stays readable."""


class Bad:
    """Type of `BAD`."""

    __slots__ = ()


BAD: Final = Bad()
"""Result of parsing an invalid value, whose problem is in the context."""


def dotted(where: Where) -> str:
    """Return a path in the notation `files[0].path`."""
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
    """Collects problems; parsing continues after each, so that all are reported at once."""

    locations: Locations = field(default_factory=dict)
    file: str | None = None
    local: bool = False
    """Whether paths on the submitter's machine are allowed, because the caller will upload them."""
    private_git: bool = False
    """Whether the operator allows git repositories in the internal network, also over http."""
    full_names: Mapping[str, str] = field(default_factory=dict)
    """Full name of every field by its name, such as `per_task.cpus` for `cpus`, for hints."""
    problems: list[Problem] = field(default_factory=list)
    more: int = 0

    def add(self, where: Where, message: Text, hint: Text | None = None) -> Bad:
        """Record a problem and return BAD, to be returned in place of a value."""
        if len(self.problems) >= PROBLEMS_MAX:
            self.more += 1
            return BAD
        line, column = self._place(where)
        self.problems.append(Problem(dotted(where), message, line, column, self.file, hint))
        return BAD

    def _place(self, where: Where) -> tuple[int | None, int | None]:
        """Return line and column of a value, else of the innermost enclosing value that has them."""
        for end in range(len(where), -1, -1):
            found = self.locations.get(where[:end])
            if found is not None:
                return found
        return None, None

    def raise_if_any(self) -> None:
        """Raise InvalidInput with all collected problems, if there are any."""
        if self.problems:
            raise invalid(self.problems, self.more)


def invalid(problems: list[Problem], more: int = 0) -> InvalidInput:
    """Return the error with all `problems` of one specification; `more` problems are not listed."""
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
