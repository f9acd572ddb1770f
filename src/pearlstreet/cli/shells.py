"""`pearl exec`: a command, or a shell, inside a running job."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from pearlstreet.cli.output import err, say
from pearlstreet.cli.profile import client
from pearlstreet.client.shells import INPUT_BYTES
from pearlstreet.client.transport import ApiError, Unreachable

if TYPE_CHECKING:
    from pearlstreet.client import Client, results

PATIENCE_S = 20.0
"""How long a lost connection is tried again."""
RECONNECT_S = 0.5


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("exec")(run_inside)


def run_inside(
    job_id: Annotated[str, typer.Argument(help="Job id", metavar="JOB")],
    command: Annotated[
        list[str] | None,
        typer.Argument(help="Command after --; by default a shell", metavar="[-- COMMAND...]"),
    ] = None,
    rank: Annotated[int, typer.Option(help="Which task")] = 0,
    terminal: Annotated[
        bool | None,
        typer.Option("--terminal/--no-terminal", help="Give it a terminal (default: if no command is named)"),
    ] = None,
) -> None:
    """Run a command inside a running job, or open a shell there."""
    has_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    wanted = not command if terminal is None else terminal
    with client() as center:
        columns, rows = shutil.get_terminal_size()
        shell = center.shells.open(
            job_id,
            command or (),
            rank=rank,
            terminal=wanted,
            columns=min(columns, 1000),
            rows=min(rows, 1000),
            term=os.environ.get("TERM") or None,
        )
        raw = _raw_terminal(center, shell) if wanted and has_terminal else contextlib.nullcontext()
        with raw:
            threading.Thread(target=_send_input, args=(center, shell), daemon=True).start()
            try:
                _show_output(center, shell)
            except KeyboardInterrupt:  # without a terminal: the key reaches us, not the command
                center.shells.close(job_id, shell["id"])
                raise
        code = center.shells.get(job_id, shell["id"])["exit_code"]
    if code is None:
        err.print(say("The shell was ended: the job stopped, or the center did"))
    raise typer.Exit(1 if code is None else code)


@contextlib.contextmanager
def _raw_terminal(center: Client, shell: results.Shell) -> Iterator[None]:
    """Within the context, send every key and every change of the window's size to the command; then restore the terminal."""
    handle = sys.stdin.fileno()
    before = termios.tcgetattr(handle)
    changed = threading.Event()

    def follow_size() -> None:
        while changed.wait():
            changed.clear()
            columns, rows = shutil.get_terminal_size()
            with contextlib.suppress(ApiError, Unreachable):
                center.shells.resize(shell["job_id"], shell["id"], min(columns, 1000), min(rows, 1000))

    threading.Thread(target=follow_size, daemon=True).start()
    handler = signal.signal(signal.SIGWINCH, lambda _number, _frame: changed.set())
    tty.setraw(handle, termios.TCSADRAIN)  # what was typed before stays
    try:
        yield
    finally:
        termios.tcsetattr(handle, termios.TCSADRAIN, before)
        signal.signal(signal.SIGWINCH, handler)


def _send_input(center: Client, shell: results.Shell) -> None:
    """Give standard input to the command, and its end."""
    with contextlib.suppress(ValueError):  # standard input is closed
        send_input(center, shell, lambda: os.read(sys.stdin.fileno(), INPUT_BYTES))


def send_input(center: Client, shell: results.Shell, read: Callable[[], bytes]) -> None:
    """Send what `read` returns, and the end when it returns nothing, until the command or connection has ended."""
    offset = 0
    with contextlib.suppress(ApiError, Unreachable, OSError):
        while True:
            data = read()
            until = offset + len(data)
            while True:
                left = data[len(data) - (until - offset) :]
                offset = center.shells.write(shell["job_id"], shell["id"], left, offset=offset, end=not data)
                if offset >= until:
                    break
            if not data:
                return


def _show_output(center: Client, shell: results.Shell) -> None:
    """Write what the command writes to standard output until its end; a lost connection is tried again."""
    offset, lost_s = 0, None
    while True:
        try:
            for part in center.shells.output(shell["job_id"], shell["id"], offset=offset):
                offset, lost_s = offset + len(part), None
                sys.stdout.buffer.write(part)
                sys.stdout.buffer.flush()
            return
        except Unreachable:
            lost_s = time.monotonic() if lost_s is None else lost_s
            if time.monotonic() - lost_s > PATIENCE_S:
                raise
            time.sleep(RECONNECT_S)
