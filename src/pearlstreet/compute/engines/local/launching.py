"""Starts the supervisor of an attempt as a detached process and waits for its acknowledgement.

The engine's fork server forks itself, which takes a tenth of the time of a fresh interpreter. If it is dead or does not
answer, a fresh interpreter is started. Trying both is safe: a second supervisor of an attempt exits by itself.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from pearlstreet.compute.engines.local.supervisor import files

ENTRY = Path(__file__).parent / "supervisor" / "entry.py"
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
"""Environment of supervisors. They do not inherit the server's, which holds secrets."""
ACKNOWLEDGE_WITHIN_S = 10.0
RUNNING_WITHIN_S = 0.25
"""Time to wait, after the acknowledgement, for the tasks to run; it often saves the caller a probe."""


class Launch(StrEnum):
    """Result of starting a supervisor."""

    BEGUN = "begun"
    """A supervisor, this one or another, has taken over the attempt."""
    NEVER = "never"
    """No process was started, or it ended before it took over the attempt."""
    SILENT = "silent"
    """A process was started but has not acknowledged within ACKNOWLEDGE_WITHIN_S."""


class ForkServer:
    """Client of the engine's fork server; starts the server on first use and again after it died."""

    def __init__(self, root: Path) -> None:
        self._log = root / "forkserver.log"
        self._guard = threading.Lock()
        self._socket: socket.socket | None = None

    def fork(self, folder: Path, ack: int, log: int) -> None:
        """Request a supervisor for the attempt in `folder`. Raises OSError if the fork server cannot be reached."""
        with self._guard:
            try:
                if self._socket is None:
                    self._socket = self._start()
                socket.send_fds(self._socket, [os.fsencode(folder)], [ack, log])
            except OSError:
                self._hang_up()
                raise

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
                try:
                    _interpreter(["--fork-server", str(theirs.fileno())], theirs.fileno(), log)
                finally:
                    os.close(log)
                ours.settimeout(ACKNOWLEDGE_WITHIN_S)
            except BaseException:
                ours.close()
                raise
        return ours

    def close(self) -> None:
        """End the fork server; supervisors continue. It may still carry out a request of a moment ago."""
        with self._guard:
            self._hang_up()

    def __del__(self) -> None:
        self._hang_up()  # an engine that is garbage-collected without `close` leaves no process behind

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


Begin = Callable[[Path, int, int], None]
"""Start a supervisor process, given (attempt folder, write end of the acknowledgement pipe, log descriptor)."""


def launch(folder: Path, forks: ForkServer | None = None) -> Launch:
    """Start a supervisor for the attempt in `folder`. At most one supervisor ever runs its tasks."""
    if forks is not None:
        result = _begin(folder, forks.fork)
        if result is Launch.SILENT:
            forks.close()  # it hangs, or the machine is very slow: the next attempt starts another fork server
        if result is not Launch.NEVER:
            return result
    return _begin(folder, _fresh)


def _begin(folder: Path, begin: Begin) -> Launch:
    read, write = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            log = os.open(
                folder / files.SUPERVISOR_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
            )
            try:
                begin(folder, write, log)
            finally:
                os.close(log)
        except OSError:
            return Launch.NEVER
        except subprocess.TimeoutExpired:
            return Launch.SILENT
        finally:
            os.close(write)
        return _listen(folder, read)
    finally:
        os.close(read)


def _fresh(folder: Path, write: int, log: int) -> None:
    _interpreter([str(folder), str(write)], write, log)


def _interpreter(arguments: list[str], handle: int, log: int) -> None:
    """Start a detached Python that inherits `handle`. Raises OSError, TimeoutExpired."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(ENTRY), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=(handle,),
        start_new_session=True,
        cwd="/",
        env=ENVIRONMENT,
    )
    process.wait(ACKNOWLEDGE_WITHIN_S)  # the first process only forks


def _listen(folder: Path, read: int) -> Launch:
    deadline = time.monotonic() + ACKNOWLEDGE_WITHIN_S
    heard = b""
    poller = select.poll()  # select() fails for descriptors of 1,024 and more, which a busy server has
    poller.register(read, select.POLLIN)
    while True:
        if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
            return Launch.BEGUN if heard else Launch.SILENT
        data = os.read(read, 8)
        heard += data
        if not data or b"R" in heard:
            break
        deadline = time.monotonic() + RUNNING_WITHIN_S
    return Launch.BEGUN if heard or (folder / files.LAUNCHED).exists() else Launch.NEVER


def last_words(folder: Path) -> str:
    """Return the last line of a supervisor's own log, "" if there is none."""
    with contextlib.suppress(OSError):
        lines = (folder / files.SUPERVISOR_LOG).read_text("utf-8", "replace").strip().splitlines()
        return lines[-1][:300] if lines else ""
    return ""
