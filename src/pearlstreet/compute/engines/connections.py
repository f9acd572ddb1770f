"""Connections to the ports of services, read and written as shells are."""

from __future__ import annotations

import contextlib
import select
import socket
import threading

from pearlstreet.compute.engines.services import connect_unix
from pearlstreet.compute.engines.shells import Shell

CONNECT_WITHIN_S = 5.0
UNIX = "unix:"


def can_connect(address: str) -> bool:
    """Return whether the center can open a connection to an endpoint; a simulated one leads nowhere."""
    return address.startswith(UNIX)


def open_connection(address: str) -> Shell:
    """Return a connection to an endpoint. Raises OSError if nothing accepts it."""
    return Connection(connect_unix(address, CONNECT_WITHIN_S))


class Connection:
    """A socket with the methods of a shell: its output is what the service sends."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._is_over = False
        self._guard = threading.Lock()
        link.setblocking(False)

    def read(self, limit: int, timeout_s: float) -> bytes | None:
        if self._link.fileno() < 0:
            return None
        readable, _, _ = select.select([self._link], [], [], timeout_s)
        if not readable:
            return b""
        try:
            data = self._link.recv(limit)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        self._is_over = not data
        return data or None

    def write(self, data: bytes, timeout_s: float) -> int:
        if self._link.fileno() < 0:
            return 0
        _, writable, _ = select.select([], [self._link], [], timeout_s)
        if not writable:
            return 0
        try:
            return self._link.send(data)
        except OSError:
            return 0

    def end_input(self) -> None:
        with contextlib.suppress(OSError):
            self._link.shutdown(socket.SHUT_WR)

    def resize(self, columns: int, rows: int) -> None:
        """Do nothing: a connection has no terminal."""

    def exit_code(self) -> int | None:
        """Return 0 once the service has closed the connection; None before."""
        return 0 if self._is_over else None

    def close(self) -> None:
        with self._guard:
            self._link.close()
