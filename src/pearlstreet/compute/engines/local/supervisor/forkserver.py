"""Fork server: an interpreter that has imported all modules once and forks a supervisor for each request.

It receives attempt folders only: no orders and no secrets. If it dies, running supervisors continue and the engine starts
an interpreter for each attempt. It exits when the server closes its end of the socket.
"""

from __future__ import annotations

import _socket
import gc
import os
import signal
import struct
import sys

from ...staging.runner import checkpoint, inputs  # noqa: F401  # imported here so that no supervisor has to
from . import linux, sources  # noqa: F401
from .main import main

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

REQUEST_BYTES = 8192
HANDLES = struct.Struct("2i")
NAME = b"pearl-attempt"
"""Name of supervisors in process lists (at most 15 bytes)."""


def serve(handle: int) -> None:
    """Fork a supervisor for each message: an attempt folder with descriptors of acknowledgement pipe and log."""
    requests = _socket.socket(fileno=handle)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps ended supervisors
    gc.collect()
    gc.freeze()  # a garbage collection in a supervisor then does not write to (and so copy) shared pages
    while True:
        folder, handles = _receive(requests)
        if not folder:
            return
        try:
            if len(handles) == 2 and _fork() == 0:
                requests.close()
                _supervise(folder.decode("utf-8", "surrogateescape"), *handles)
        finally:
            for (
                item
            ) in handles:  # to the engine a pipe closed without a byte means that no supervisor started
                os.close(item)


def _receive(requests: _socket.socket) -> tuple[bytes, tuple[int, ...]]:
    flags = _socket.MSG_CMSG_CLOEXEC
    folder, extra, _, _ = requests.recvmsg(REQUEST_BYTES, _socket.CMSG_SPACE(HANDLES.size), flags)
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
    """Run the supervisor of one attempt in a forked process; never return."""
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
    except BaseException:  # noqa: BLE001  # the traceback goes to supervisor.log
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)
