"""Bytes that a large output adds to the server's I/O: stored by the stager, beside reading it through the server.

    python benchmarks/staging.py [--gib 4]

Bound: 16 MiB for 4 GiB, by rchar + wchar of /proc/PID/io. A job of the local engine writes the bytes; they are stored in a blob folder.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from results_table import record

from pearlstreet.base.clock import SystemClock
from pearlstreet.base.outcome import Done
from pearlstreet.compute.engines.local import LocalEngine
from pearlstreet.compute.engines.protocol import AttemptOrder, Limits, OutputFile, TaskOrder, TaskState
from pearlstreet.compute.execution.stored_files import NotYet, store_files
from pearlstreet.objects.folder import FolderBlobs

MIB = 1 << 20
CHUNK = MIB


def main() -> None:
    """Measure both ways and print bytes and times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=float, default=0.05 if os.environ.get("PEARL_BENCH_SMOKE") else 4)
    size = int(parser.parse_args().gib * 1024) * MIB
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        engine = LocalEngine(folder / "engine", clock=SystemClock())
        blobs = FolderBlobs(folder / "blobs")
        staged = _measure(lambda: _stage(engine, blobs, _run(engine, "att_staged", size), size))
        read = _measure(lambda: _read(engine, blobs, _run(engine, "att_read", size), size))
        for attempt in ("att_staged", "att_read"):
            engine.forget(attempt)
        engine.close()
    for way, (through, seconds) in (("stager", staged), ("read by the server", read)):
        print(
            f"{size / MIB:,.0f} MiB, {way}: {through / MIB:,.2f} MiB of server I/O, {seconds:.1f} s with the job"
        )
    print(f"the stager moves {staged[0] / max(read[0], 1):.6f} of the bytes through the server")
    record(f"server I/O of an output of {size / MIB:,.0f} MiB", staged[0] / MIB, "MiB", "at most", 16)


def _measure(work: Callable[[], None]) -> tuple[int, float]:
    """Return the bytes of this process's I/O and the seconds that some work takes."""
    before, began_s = _io_bytes(), time.monotonic()
    work()
    return _io_bytes() - before, time.monotonic() - began_s


def _io_bytes() -> int:
    counters = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counters["rchar"]) + int(counters["wchar"])


def _run(engine: LocalEngine, attempt_id: str, size: int) -> str:
    """Run a job that writes one output that is no hole, and wait for its end."""
    nodes = engine.nodes()
    assert isinstance(nodes, Done)
    script = f'yes "$PEARL_ATTEMPT_ID" | head -c {size} > "$PEARL_OUTPUTS/weights"'
    order = AttemptOrder(
        attempt_id,
        "job_1",
        "org_1",
        ("/bin/sh", "-c", script),
        (TaskOrder(0, nodes.value[0].name, 0.1, 0.5),),
        limits=Limits(disk_gib=size / 2**30 + 1),
    )
    assert isinstance(engine.start(order), Done)
    while True:
        seen = engine.probe(attempt_id)
        assert isinstance(seen, Done) and seen.value is not None
        if seen.value.state is TaskState.EXITED:
            assert seen.value.exit_code == 0, seen.value
            return attempt_id
        time.sleep(0.1)


def _stage(engine: LocalEngine, blobs: FolderBlobs, attempt_id: str, size: int) -> None:
    while isinstance(stored := store_files(engine, blobs, attempt_id, [OutputFile("weights", size)]), NotYet):
        time.sleep(min(stored.after_s, 1.0))
    assert [blob.size_bytes for _, blob in stored.files] == [size], stored


def _read(engine: LocalEngine, blobs: FolderBlobs, attempt_id: str, size: int) -> None:
    blob = blobs.keep(_chunks(engine, attempt_id, size), "read", limit_bytes=size)
    assert blob.size_bytes == size


def _chunks(engine: LocalEngine, attempt_id: str, size: int) -> Iterator[bytes]:
    offset = 0
    while offset < size:
        answer = engine.read_output(attempt_id, "weights", offset=offset, limit=CHUNK)
        assert isinstance(answer, Done) and answer.value
        offset += len(answer.value)
        yield answer.value


if __name__ == "__main__":
    main()
