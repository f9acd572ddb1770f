"""From the order on disk to the last state on disk, whatever becomes of the server meanwhile."""

from __future__ import annotations

import contextlib
import os
import signal
import sys

from . import files
from .gang import Gang

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LOCK_WAIT_S = 5.0


def main(folder: str, ack: int) -> None:
    """Supervise the attempt in `folder`; a byte on `ack` says that it is ours, a second one that it runs or is over."""
    os.set_inheritable(ack, False)
    os.chdir("/")
    os.umask(0o077)
    lock = files.hold_lock(f"{folder}/{files.LOCK}", LOCK_WAIT_S)
    if lock is None:
        return  # another one watches it
    try:
        # not synced: after a power cut the machine's boot id is another one, and nothing of the order is begun
        files.write_json(folder, files.LAUNCHED, files.identity(), fresh=True, sync=False)
    except FileExistsError:
        return  # one before us began and died: never a second time
    with contextlib.suppress(OSError):
        os.write(ack, b"L")
    order = files.read_json(folder, files.ORDER)
    if order is None:
        print("The order is gone", file=sys.stderr)  # noqa: T201
        return
    _leave_service(order["supervisor_groups"])
    wake = _catch_signals()
    gang = Gang(folder, order, wake, lock)
    try:
        gang.run(lambda: _acknowledge(ack))
    except BaseException:
        gang.kill_everything()
        raise  # into supervisor.log; the engine finds the lock free and the end missing
    _acknowledge(ack)


def _leave_service(groups: list[str]) -> None:
    """A service manager ends what is in the server's group when the server restarts: so be elsewhere."""
    for parent in groups:
        folder = f"{parent}/supervisors"
        with contextlib.suppress(OSError):
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, 0o755)
            with open(f"{folder}/cgroup.procs", "w") as file:
                file.write("0")


def _acknowledge(ack: int) -> None:
    with contextlib.suppress(OSError):
        os.write(ack, b"R")
        os.close(ack)


def _catch_signals() -> dict[str, Any]:
    """SIGUSR1: look at the stop file. SIGTERM: the machine goes down. `handle` becomes readable for either."""
    read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    wake: dict[str, Any] = {"handle": read, "shutdown": False}

    def shutdown(_number: int, _frame: object) -> None:
        wake["shutdown"] = True

    signal.signal(signal.SIGTERM, shutdown)
    signal.signal(signal.SIGUSR1, lambda _number, _frame: None)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    return wake
