"""Entry point of the stager: `python -I -S entry.py FOLDER [ACK_FD]` carries out the task in FOLDER/task.json.

It leaves FOLDER/result.json and holds FOLDER/lock meanwhile; a second process for the same folder ends at once. With ACK_FD it goes
on in the background, and that descriptor is closed when it ends.
"""

from __future__ import annotations

import os
import sys

NICENESS = 10
"""Jobs and servers on the machine come first."""


def run(folder: str, *, in_background: bool = False) -> None:
    """Carry out the task in a folder unless another process does or it is done."""
    from runner.records import hold_lock, read_json, write_json  # type: ignore[import-not-found]
    from runner.tasks import carry_out  # type: ignore[import-not-found]

    # The lock is taken before the fork and shared by the child, so the caller sees it as soon as the first process has ended.
    lock = hold_lock(f"{folder}/lock", 1.0)
    if lock is None or read_json(folder, "result.json") is not None:
        return
    if in_background:
        if os.fork() != 0:
            os._exit(0)
        os.setsid()
    task = read_json(folder, "task.json")
    if task is not None:
        os.nice(NICENESS)
        write_json(folder, "result.json", carry_out(task))


if __name__ == "__main__":
    os.umask(0o077)
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    run(os.path.abspath(sys.argv[1]), in_background=len(sys.argv) > 2)
