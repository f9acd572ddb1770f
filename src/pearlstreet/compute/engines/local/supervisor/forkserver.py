"""Makes supervisors by forking: an interpreter that has imported everything once, and then only copies itself.

It knows nothing but folders: no order, no secret, no attempt that runs. Killing it harms no supervisor, and while it is
dead the engine starts an interpreter for each attempt. It ends when the server's end of the socket is closed.
"""

from __future__ import annotations

import _socket
import gc
import os
import signal
import struct
import sys

from . import linux, sources  # noqa: F401  # imported here so that no supervisor has to
from .main import main

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

REQUEST_BYTES = 8192
HANDLES = struct.Struct("2i")
NAME = b"pearl-attempt"
"""How a supervisor is called in lists of processes (at most 15 bytes)."""


def serve(handle: int) -> None:
    """Fork a supervisor for each message on the socket: a folder, with the ends of its pipe and of its log."""
    asked = _socket.socket(fileno=handle)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    gc.collect()
    gc.freeze()  # so that no collection in a copy writes to the pages it shares with us
    while True:
        folder, handles = _receive(asked)
        if not folder:
            return
        try:
            if len(handles) == 2 and _fork() == 0:
                asked.close()
                _supervise(folder.decode("utf-8", "surrogateescape"), *handles)
        finally:
            for item in handles:  # a pipe that is closed unused says that nothing was started
                os.close(item)


def _receive(asked: _socket.socket) -> tuple[bytes, tuple[int, ...]]:
    flags = _socket.MSG_CMSG_CLOEXEC
    folder, extra, _, _ = asked.recvmsg(REQUEST_BYTES, _socket.CMSG_SPACE(HANDLES.size), flags)
    if not extra or len(extra[0][2]) != HANDLES.size:
        return folder, ()
    return folder, HANDLES.unpack(extra[0][2])


def _fork() -> int:
    try:
        return os.fork()
    except OSError as error:
        print(f"No supervisor could be forked: {error}", file=sys.stderr)  # noqa: T201
        return -1


def _supervise(folder: str, ack: int, log: int) -> NoReturn:
    """In the copy: become the supervisor of one attempt, and never return."""
    code = 1
    try:
        os.setsid()
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        linux.prctl(linux.PR_SET_NAME, NAME)
        main(folder, ack)
        code = 0
    except BaseException:  # noqa: BLE001  # into supervisor.log
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)
