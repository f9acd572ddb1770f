"""Runs tasks of the stager as processes of this machine, for engines whose files it reaches.

A task has a folder: `task.json`, `result.json` once it is done, `lock` while a process works on it. The process is detached, so that
a restart of the server does not end it and its I/O is not the server's.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

from pearlstreet.base.outcome import Done, Outcome, Retry
from pearlstreet.base.text import text
from pearlstreet.compute.engines.staging.model import StagerReport, StagerTask, read_result
from pearlstreet.compute.engines.staging.runner.records import is_locked, read_json, sync_folder, write_json

ENTRY = Path(__file__).parent / "runner" / "entry.py"
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
"""Environment of the stager. It does not inherit the server's, which holds secrets."""
TASK, RESULT, LOCK, LOG = "task.json", "result.json", "lock", "log"
FORK_WITHIN_S = 10.0
DONE_WITHIN_S = 1.0
"""Time to wait for a task that may be small; it often saves the caller another call."""
RETRY_S = 5.0
BUSY_RETRY_S = 1.0


def start_process(folder: Path, task: dict[str, Any]) -> Outcome[None]:
    """Start a process for a task unless one works on it or it is done for good."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        result = read_json(str(folder), RESULT)
        is_same = result is not None and result.get("task_id") == task["task_id"]
        if result is not None and is_same and not result.get("again"):
            return Done(None)
        if is_locked(str(folder / LOCK)):
            running = read_json(str(folder), TASK) or {}
            if result is None and running.get("task_id") == task["task_id"]:
                return Done(None)
            return Retry(BUSY_RETRY_S, text("The stager is busy with another task of the same files"))
        (folder / RESULT).unlink(missing_ok=True)
        write_json(str(folder), TASK, task)
        sync_folder(str(folder.parent))
        _launch(folder)
    except (OSError, subprocess.SubprocessError) as error:
        return Retry(RETRY_S, text("The stager cannot be started: {reason}", reason=str(error)))
    return Done(None)


def read_report(folder: Path, task: StagerTask) -> Outcome[StagerReport]:
    """Return the state of the task in a folder."""
    try:
        is_running = is_locked(str(folder / LOCK))
        # Read after the lock was looked at: a process writes its result before it ends.
        result = read_json(str(folder), RESULT)
        if result is not None and result.get("task_id") == task.task_id:
            return Done(StagerReport("done", read_result(task, result)))
    except OSError as error:
        return Retry(RETRY_S, text("The stager's folder cannot be read: {reason}", reason=str(error)))
    return Done(StagerReport("running" if is_running else "absent"))


def _launch(folder: Path) -> None:
    """Start the process and wait a moment for its end. Raises OSError, SubprocessError."""
    read, write = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            log = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                first = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(ENTRY), str(folder), str(write)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(write,),
                    cwd="/",
                    env=ENVIRONMENT,
                )
                first.wait(FORK_WITHIN_S)  # it only forks
            finally:
                os.close(log)
        finally:
            os.close(write)
        poller = select.poll()
        poller.register(read, select.POLLIN | select.POLLHUP)
        poller.poll(DONE_WITHIN_S * 1000)
    finally:
        with contextlib.suppress(OSError):
            os.close(read)
