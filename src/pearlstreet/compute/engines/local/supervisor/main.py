"""Main function of a supervisor: runs the attempt in a folder to its end, independent of the server."""

from __future__ import annotations

import contextlib
import os
import signal
import sys

from . import files
from .gang import Gang

TYPE_CHECKING = False
if TYPE_CHECKING:
    pass

LOCK_WAIT_S = 5.0


def main(folder: str, ack: int) -> None:
    """Supervise the attempt in `folder` until its end.

    The first byte written to `ack` means that this supervisor has taken over; the second, that the tasks run or have ended.
    """
    os.set_inheritable(ack, False)
    os.chdir("/")
    os.umask(0o077)
    lock = files.hold_lock(f"{folder}/{files.LOCK}", LOCK_WAIT_S)
    if lock is None:
        return  # another supervisor has the attempt
    try:
        # Not synced: after a power failure the boot id has changed, and the engine does not start the order again.
        files.write_json(folder, files.LAUNCHED, files.identity(), fresh=True, sync=False)
    except FileExistsError:
        return  # an earlier supervisor started the attempt and died; it must not start twice
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
        raise  # the traceback goes to supervisor.log; the engine sees the free lock and the missing end
    _acknowledge(ack)


def _leave_service(groups: list[str]) -> None:
    """Move to other control groups: a service manager kills the server's group when it restarts the server."""
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


def _catch_signals() -> dict[str, object]:
    """Install signal handlers and return their state; its `handle` becomes readable after each signal.

    SIGUSR1 means that there is a stop file; SIGTERM means that the machine shuts down.
    """
    read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    wake: dict[str, object] = {"handle": read, "shutdown": False}

    def shutdown(_number: int, _frame: object) -> None:
        wake["shutdown"] = True

    signal.signal(signal.SIGTERM, shutdown)
    signal.signal(signal.SIGUSR1, lambda _number, _frame: None)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    return wake
