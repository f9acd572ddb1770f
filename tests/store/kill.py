"""Runs a process that writes, kills it with SIGKILL, and answers what it had acknowledged."""

from __future__ import annotations

import multiprocessing.context
import os
import select
import signal
from collections.abc import Callable

from tests.conftest import KEY


def acknowledged_by(
    processes: multiprocessing.context.ForkServerContext,
    write: Callable[[str, str, bytes, str], None],
    url: str,
    run: str,
    until: int,
    more_s: float,
) -> set[str]:
    """Start `write(url, run, key, fifo)`, kill it a moment after it acknowledged `until` writes; the lines it wrote to `fifo`.

    A line that begins with `?` acknowledges nothing.
    """
    fifo = f"{url.removeprefix('sqlite:///')}.{run}"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    process = processes.Process(target=write, args=(url, run, KEY.secret, fifo))
    process.start()
    received = b""
    while received.count(b"\n") - received.count(b"?") < until:
        ready, _, _ = select.select([reader], [], [], 30)
        assert ready, f"no progress within 30 s; exit code {process.exitcode}"
        chunk = os.read(reader, 1 << 16)
        assert chunk, f"the writer ended by itself; exit code {process.exitcode}"
        received += chunk
    select.select([], [], [], more_s)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    while chunk := os.read(reader, 1 << 16):
        received += chunk
    os.close(reader)
    return {line.decode() for line in received.split(b"\n")[:-1]}
