"""A shell whose command has written something and ended, for centers whose engine runs no commands."""

from __future__ import annotations

from pearlstreet.base.clock import Clock
from pearlstreet.compute.engines.shells import ShellOrder
from pearlstreet.compute.execution.shells import OpenShell
from pearlstreet.compute.jobs.runtime import Runtime


class Written:
    """Gives its output once, and has ended."""

    def __init__(self, output: bytes) -> None:
        self._left = [output]

    def read(self, limit: int, timeout_s: float) -> bytes | None:
        return self._left.pop() if self._left else None

    def write(self, data: bytes, timeout_s: float) -> int:
        return 0

    def end_input(self) -> None: ...

    def resize(self, columns: int, rows: int) -> None: ...

    def exit_code(self) -> int | None:
        return 0

    def close(self) -> None: ...


def leave_shell(runtime: Runtime, clock: Clock, job: str, user: str, words: str, name: str) -> str:
    """Leave a shell of a user in a job, whose command and output are `words`; gives its id."""
    shell = OpenShell(f"shell_{name}", job, 0, user, ShellOrder(("echo", words)), clock)
    runtime.shells.add(shell)
    shell.start(Written(words.encode()), runtime.stopping)
    return shell.id
