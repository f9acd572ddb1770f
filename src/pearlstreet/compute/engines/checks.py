"""Checks of an engine: what its doctor looks at, with the problem and the fix for each that fails.

An engine brings checks of its own through the optional method `checks`; an engine without it is only asked for its nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pearlstreet.base.text import Text


@dataclass(frozen=True, slots=True)
class EngineCheck:
    """Result of one check. `problem` None: it passed."""

    name: str
    """Short name that scripts may compare, such as `bubblewrap`."""
    title: Text
    problem: Text | None = None
    fix: Text | None = None
    """What to do about the problem."""
    blocking: bool = False
    """Whether jobs cannot run while it fails; otherwise they run with less isolation, or some kinds of them do not."""


@runtime_checkable
class CheckedEngine(Protocol):
    """An engine that has checks of its own."""

    def checks(self) -> Sequence[EngineCheck]:
        """Run the checks now, within seconds and without touching attempts."""
        ...
