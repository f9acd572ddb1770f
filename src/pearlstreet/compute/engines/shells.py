"""Shells: commands that a person runs inside a running task, on a terminal or on a pipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

COLUMNS, ROWS = 80, 24
"""Size of a terminal unless its user names another."""


@dataclass(frozen=True, slots=True)
class ShellOrder:
    """A command to run inside a task, beside the task's own command and within its limits."""

    command: tuple[str, ...]
    terminal: bool = False
    """Whether the command gets a terminal; otherwise its input is a pipe, and its output and errors one other."""
    columns: int = COLUMNS
    rows: int = ROWS
    term: str = "xterm-256color"
    """Value of $TERM, for a terminal."""


class Shell(Protocol):
    """An open shell. One thread reads and another writes; the others may call the rest."""

    def read(self, limit: int, timeout_s: float) -> bytes | None:
        """Return at most `limit` bytes of output; empty if none came within `timeout_s`; None at the end."""
        ...

    def write(self, data: bytes, timeout_s: float) -> int:
        """Give input to the command; how many bytes it took within `timeout_s`. 0 for a command that has ended."""
        ...

    def end_input(self) -> None:
        """Tell the command that its input has ended. On a terminal this does nothing: there, the key Ctrl-D does it."""
        ...

    def resize(self, columns: int, rows: int) -> None:
        """Tell the command the size of its terminal; without a terminal this does nothing."""
        ...

    def exit_code(self) -> int | None:
        """Return the exit code as a shell gives it; None while the command runs."""
        ...

    def close(self) -> None:
        """End the command, if it still runs, and release what the shell holds."""
        ...
