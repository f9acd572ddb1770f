"""Starts the supervisor of an attempt as a process that belongs to nobody, and waits for its word that it has begun."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
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


def launch(folder: Path) -> Launch:
    """Start a supervisor for the attempt in `folder`. At most one ever gets to run its tasks."""
    read, write = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            process = _spawn(folder, write)
        except OSError:
            return Launch.NEVER
        finally:
            os.close(write)
        try:
            process.wait(ACKNOWLEDGE_WITHIN_S)  # the first process only forks
        except subprocess.TimeoutExpired:
            return Launch.SILENT
        return _listen(folder, read)
    finally:
        os.close(read)


def _spawn(folder: Path, write: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-S", str(ENTRY), str(folder), str(write)]
    log = os.open(folder / files.SUPERVISOR_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(write,),
            start_new_session=True,
            cwd="/",
            env=ENVIRONMENT,
        )
    finally:
        os.close(log)


def _listen(folder: Path, read: int) -> Launch:
    deadline = time.monotonic() + ACKNOWLEDGE_WITHIN_S
    heard = b""
    while True:
        ready, _, _ = select.select([read], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
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
