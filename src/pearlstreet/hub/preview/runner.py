"""Runs the process that reads a file, gives it the bytes it asks for, and ends it when it takes too long."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from typing import IO

from pearlstreet.base.errors import Unavailable
from pearlstreet.base.text import text
from pearlstreet.hub.preview.formats import Format

RUNNING_MAX = 2
"""Maximum number of previews that are made at a time."""
WAIT_S = 20.0
LIMIT_S = 20.0
LINE_BYTES_MAX = 2 << 20
READS_MAX = 10_000
READ_BYTES_MAX = 16 << 20
TOTAL_BYTES_MAX = 130 << 20
COMMAND = (sys.executable, "-I", "-m", "pearlstreet.hub.preview.worker")
ReadRange = Callable[[int, int], bytes]
"""Function that returns the bytes from a start with a length."""
_slots = threading.BoundedSemaphore(RUNNING_MAX)


def run_preview(read: ReadRange, size_bytes: int, chosen: Format) -> Mapping[str, object]:
    """Return what a file holds. Raises Unavailable if too many previews are being made."""
    if not _slots.acquire(timeout=WAIT_S):
        raise Unavailable(text("Too many previews are being made; try again soon"), retry_after_s=10)
    try:
        return _run(read, size_bytes, chosen)
    finally:
        _slots.release()


def _run(read: ReadRange, size_bytes: int, chosen: Format) -> Mapping[str, object]:
    process = subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={}, cwd="/"
    )
    ending = threading.Timer(LIMIT_S, process.kill)
    ending.start()
    try:
        assert process.stdin is not None and process.stdout is not None
        _send(process.stdin, json.dumps({"size_bytes": size_bytes, "format": chosen.value}).encode() + b"\n")
        return _serve(read, size_bytes, process.stdin, process.stdout)
    except BrokenPipeError:
        return {"kind": "too_large"}
    finally:
        ending.cancel()
        process.kill()
        process.communicate()


def _serve(read: ReadRange, size_bytes: int, to: IO[bytes], given: IO[bytes]) -> Mapping[str, object]:
    """Answer the process until it has a result. One that ends without a result was stopped by its limits."""
    left = TOTAL_BYTES_MAX
    for _ in range(READS_MAX):
        line = given.readline(LINE_BYTES_MAX)
        if not line.endswith(b"\n"):
            break
        said = json.loads(line)
        if "result" in said:
            result: Mapping[str, object] = said["result"]
            return result
        start, length = said["read"]
        length = min(length, size_bytes - start)
        left -= length
        if start < 0 or not 0 <= length <= READ_BYTES_MAX or left < 0:
            break
        data = read(start, length)
        _send(to, len(data).to_bytes(4, "little") + data)
    return {"kind": "too_large"}


def _send(to: IO[bytes], data: bytes) -> None:
    to.write(data)
    to.flush()
