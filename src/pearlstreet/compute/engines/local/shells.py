"""Shells of the local engine: the supervisor starts the command and hands over the other end of its terminal or pipe."""

from __future__ import annotations

import array
import contextlib
import fcntl
import json
import os
import select
import socket
import struct
import termios
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pearlstreet.base.outcome import Done, Outcome, Refused, Retry
from pearlstreet.base.text import text
from pearlstreet.compute.engines.local.supervisor import files
from pearlstreet.compute.engines.shells import Shell, ShellOrder

ANSWER_WITHIN_S = 5.0
RETRY_S = 2.0
MESSAGE_BYTES = 4096
LAST_OUTPUT_S = 0.2
"""Time to wait for output that a command wrote just before its end."""


def open_shell(
    folder: Path, shell_id: str, rank: int, order: ShellOrder, wake: Callable[[Path], None]
) -> Outcome[Shell]:
    """Have the supervisor of the attempt in `folder` start a command in a running task. Raises OSError."""
    place = folder / files.SHELLS
    place.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(place, os.O_PATH)
    address = (
        f"/proc/self/fd/{handle}/{shell_id}.sock"  # the address of a socket is short, a path may be long
    )
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        listener.bind(address)
        listener.listen(1)
        listener.settimeout(ANSWER_WITHIN_S)
        files.write_json(str(place), f"{shell_id}.json", _as_json(rank, order), sync=False)
        wake(folder)
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            return Retry(RETRY_S, text("The attempt's supervisor does not answer"))
        return _receive(connection)
    finally:
        listener.close()
        os.close(handle)
        for name in (f"{shell_id}.sock", f"{shell_id}.json"):
            (place / name).unlink(missing_ok=True)


def _as_json(rank: int, order: ShellOrder) -> dict[str, object]:
    return {
        "rank": rank,
        "command": list(order.command),
        "terminal": order.terminal,
        "columns": order.columns,
        "rows": order.rows,
        "term": order.term,
    }


def _receive(connection: socket.socket) -> Outcome[Shell]:
    connection.settimeout(ANSWER_WITHIN_S)
    try:
        data, extra, _, _ = connection.recvmsg(
            MESSAGE_BYTES, socket.CMSG_SPACE(struct.calcsize("i")), socket.MSG_CMSG_CLOEXEC
        )
        answer: dict[str, Any] = json.loads(data) if data else {"problem": "ended"}
    except (TimeoutError, ValueError):
        connection.close()
        return Retry(RETRY_S, text("The attempt's supervisor does not answer"))
    if "problem" in answer or not extra:
        connection.close()
        if answer.get("problem") == "ended":
            return Refused("not_running", text("The task does not run"))
        return Refused(
            "shell_failed",
            text("The command cannot be run in the task: {reason}", reason=str(answer.get("problem", "?"))),
        )
    handles = array.array("i")
    handles.frombytes(extra[0][2])
    return Done(LocalShell(handles[0], connection))


class LocalShell:
    """One end of a command's terminal or pipe, and the connection on which the supervisor tells its exit code."""

    def __init__(self, handle: int, connection: socket.socket) -> None:
        self._handle, self._connection = handle, connection
        self._is_terminal = os.isatty(handle)
        self._code: int | None = None
        self._is_over = False
        self._guard = threading.Lock()
        os.set_blocking(handle, False)
        connection.setblocking(False)

    def read(self, limit: int, timeout_s: float) -> bytes | None:
        """Return output; a background process of the command that still holds the terminal does not keep the shell open."""
        if self._handle < 0:
            return None
        # The connection becomes readable when the command has ended; output that it wrote before its end is read first.
        told = self._connection.fileno()
        readable, _, _ = select.select([self._handle, told], [], [], timeout_s)
        if self._handle not in readable and told in readable:
            readable, _, _ = select.select([self._handle], [], [], LAST_OUTPUT_S)
            if not readable:
                return None
        if self._handle not in readable:
            return b""
        try:
            return os.read(self._handle, limit) or None
        except BlockingIOError:
            return b""
        except OSError:  # EIO: nothing holds the terminal any more
            return None

    def write(self, data: bytes, timeout_s: float) -> int:
        if self._handle < 0:
            return 0
        _, writable, _ = select.select([], [self._handle], [], timeout_s)
        if not writable:
            return 0
        try:
            return os.write(self._handle, data)
        except BlockingIOError:
            return 0
        except OSError:
            return 0

    def end_input(self) -> None:
        if not self._is_terminal and self._handle >= 0:
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self._handle)) as pipe:
                pipe.shutdown(socket.SHUT_WR)

    def resize(self, columns: int, rows: int) -> None:
        if self._is_terminal and self._handle >= 0:
            with contextlib.suppress(OSError):
                fcntl.ioctl(self._handle, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def exit_code(self) -> int | None:
        with self._guard:
            if self._code is None and not self._is_over:
                try:
                    data = self._connection.recv(MESSAGE_BYTES)
                except BlockingIOError:
                    return None
                except OSError:
                    data = b""
                self._is_over = not data
                if data:
                    self._code = json.loads(data).get("exit_code")
            # A supervisor that has died tells no code: SIGKILL has ended what ran under it.
            return 137 if self._code is None and self._is_over else self._code

    def close(self) -> None:
        self.exit_code()
        with self._guard:
            if self._handle >= 0:
                os.close(self._handle)
                self._handle = -1
                self._connection.close()
                self._is_over = True
