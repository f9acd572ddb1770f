"""Processes of ours in the network namespace of a service: one passes on the bytes of its ports, others check it once."""

from __future__ import annotations

import _socket
import contextlib
import os
import select
import signal
import struct

from . import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

COUNT = struct.Struct("i")
PART_BYTES = 64 << 10
CONNECTIONS_MAX = 512
"""Connections to all ports of an attempt that are open at once; further ones wait."""
LOOPBACK = "127.0.0.1"
BACKLOG = 64


class _Pair:
    """Two connected sockets and the bytes on their way from each to the other."""

    def __init__(self, outer: _socket.socket, inner: _socket.socket) -> None:
        self.sockets = (outer, inner)
        self.pending = [b"", b""]
        """Bytes read from one socket and not yet written to the other."""
        self.ended = [False, False]
        """Whether a socket has ended its output."""

    def wanted(self, side: int) -> int:
        """Return the events to wait for on a socket."""
        reads = select.POLLIN if not self.pending[side] and not self.ended[side] else 0
        return reads | (select.POLLOUT if self.pending[1 - side] else 0)

    def move(self, side: int) -> bool:
        """Move bytes from and to one socket; False: the connection is over."""
        try:
            if not self.pending[side] and not self.ended[side]:
                self._read(side)
            for end in (side, 1 - side):
                self._write(end)
        except OSError:
            return False
        return not (all(self.ended) and not any(self.pending))

    def _read(self, side: int) -> None:
        try:
            data = self.sockets[side].recv(PART_BYTES)
        except BlockingIOError:
            return
        self.pending[side] = data
        if not data:
            self.ended[side] = True
            with contextlib.suppress(OSError):
                self.sockets[1 - side].shutdown(_socket.SHUT_WR)

    def _write(self, source: int) -> None:
        if self.pending[source]:
            with contextlib.suppress(BlockingIOError):
                sent = self.sockets[1 - source].send(self.pending[source], _socket.MSG_NOSIGNAL)
                self.pending[source] = self.pending[source][sent:]


def serve(folder: str, ports: list[tuple[str, int]], counts: int, parent: int) -> NoReturn:
    """Pass on the connections of Unix sockets NAME.sock in `folder` to ports on loopback, in a forked process."""
    try:
        _begin(parent)
        listeners: dict[int, tuple[_socket.socket, int]] = {}
        os.chdir(folder)  # the address of a socket is short, the path of a folder may be long
        for name, port in ports:
            listener = _socket.socket(
                _socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC
            )
            listener.bind(f"{name}.sock")
            listener.listen(BACKLOG)
            listeners[listener.fileno()] = listener, port
        _keep_open({counts, *listeners})
        _pass_on(listeners, counts)
    finally:
        os._exit(1)


def _pass_on(listeners: dict[int, tuple[_socket.socket, int]], counts: int) -> None:
    pairs: dict[int, tuple[_Pair, int]] = {}
    told = 0
    while True:
        poll = select.poll()
        for handle, (pair, side) in pairs.items():
            if wanted := pair.wanted(side):
                poll.register(handle, wanted)
        if len(pairs) < 2 * CONNECTIONS_MAX:
            for handle in listeners:
                poll.register(handle, select.POLLIN)
        for handle, _ in poll.poll():
            if handle in listeners:
                fresh = _accept(*listeners[handle])
                if fresh is not None:
                    pairs |= {end.fileno(): (fresh, side) for side, end in enumerate(fresh.sockets)}
            elif handle in pairs and not pairs[handle][0].move(pairs[handle][1]):
                for end in pairs[handle][0].sockets:
                    del pairs[end.fileno()]
                    end.close()
        if len(pairs) // 2 != told:
            told = len(pairs) // 2
            with contextlib.suppress(BlockingIOError):
                os.write(counts, COUNT.pack(told))


def _accept(listener: _socket.socket, port: int) -> _Pair | None:
    try:
        handle, _ = listener._accept()  # type: ignore[attr-defined]  # the module below `socket` has no other
    except OSError:
        return None
    outer = _socket.socket(fileno=handle)
    inner = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        inner.settimeout(1.0)
        inner.connect((LOOPBACK, port))
    except OSError:
        outer.close()
        inner.close()
        return None
    outer.setblocking(False)
    inner.setblocking(False)
    return _Pair(outer, inner)


def check(port: int, path: str | None, timeout_s: float, parent: int) -> NoReturn:
    """Exit with 0 if a connection to the port opens and, with a path, a GET request is answered below 400; in a forked process."""
    code = 1
    try:
        _begin(parent)
        _keep_open(set())
        connection = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        connection.settimeout(timeout_s)
        connection.connect((LOOPBACK, port))
        if path is None:
            code = 0
        else:
            request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: pearlstreet-probe\r\nConnection: close\r\n\r\n"
            connection.sendall(request.encode())
            answer = b""
            while b"\n" not in answer and len(answer) < 1024 and (part := connection.recv(1024)):
                answer += part
            words = answer.split()
            code = 0 if len(words) > 1 and words[0].startswith(b"HTTP/") and words[1] < b"400" else 1
    finally:
        os._exit(code)


def _begin(parent: int) -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    linux.prctl(linux.PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)


def _keep_open(kept: set[int]) -> None:
    """Close what the supervisor has open, so that its locks and pipes end with it."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in kept:
            with contextlib.suppress(OSError):
                os.close(int(name))
