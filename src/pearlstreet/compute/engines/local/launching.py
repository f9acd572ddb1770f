"""Starts the supervisor of an attempt as a process that belongs to nobody, and waits for its word that it has begun.

The engine's fork server copies itself, which costs a tenth of a fresh interpreter; where it is dead or dumb, a fresh
interpreter does it. Whoever comes second to an attempt goes away by itself, so trying both is safe.
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
"""The server's own variables hold secrets a supervisor has no need of."""
ACKNOWLEDGE_WITHIN_S = 10.0
RUNNING_WITHIN_S = 0.25
"""A little more patience often saves the caller a probe."""


class Launch(StrEnum):
    """What is known of a supervisor that was asked to start."""

    BEGUN = "begun"
    """It has taken the attempt for good, or another one has."""
    NEVER = "never"
    """No process was started, or it ended before it took the attempt."""
    SILENT = "silent"


class ForkServer:
    """An engine's end of its fork server, which is started when it is first needed and again when it has died."""

    def __init__(self, root: Path) -> None:
        self._log = root / "forkserver.log"
        self._guard = threading.Lock()
        self._socket: socket.socket | None = None

    def fork(self, folder: Path, ack: int, log: int) -> None:
        """Ask for a supervisor. Raises OSError when nobody was there to ask."""
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
        """Let it end; supervisors are not touched. What it was asked for a moment ago it may still do."""
        with self._guard:
            self._hang_up()

    def __del__(self) -> None:
        self._hang_up()  # an engine that was dropped without a close leaves no process behind

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


Begin = Callable[[Path, int, int], None]
"""(folder, the end of the pipe for its word, the handle of its log): start a process."""


def launch(folder: Path, forks: ForkServer | None = None) -> Launch:
    """Start a supervisor for the attempt in `folder`. At most one ever gets to run its tasks."""
    if forks is not None:
        told = _begin(folder, forks.fork)
        if told is Launch.SILENT:
            forks.close()  # it hangs, or its machine is very slow: the next attempt gets another one
        if told is not Launch.NEVER:
            return told
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
    """Start a Python that belongs to nobody, keeping `handle`. Raises OSError, TimeoutExpired."""
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
    word = select.poll()  # a busy server's handles have numbers that select() cannot take
    word.register(read, select.POLLIN)
    while True:
        if not word.poll(max(0.0, deadline - time.monotonic()) * 1000):
            return Launch.BEGUN if heard else Launch.SILENT
        data = os.read(read, 8)
        heard += data
        if not data or b"R" in heard:
            break
        deadline = time.monotonic() + RUNNING_WITHIN_S
    return Launch.BEGUN if heard or (folder / files.LAUNCHED).exists() else Launch.NEVER


def last_words(folder: Path) -> str:
    """The last line a supervisor left in its own log."""
    with contextlib.suppress(OSError):
        lines = (folder / files.SUPERVISOR_LOG).read_text("utf-8", "replace").strip().splitlines()
        return lines[-1][:300] if lines else ""
    return ""
