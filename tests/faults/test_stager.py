"""Large outputs become artefacts without passing through the server, also when the stager is killed on the way."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from pathlib import Path

import pytest

from pearlstreet.app.settings import Settings
from pearlstreet.app.wiring import Assembled
from pearlstreet.base.money import parse_yuan
from pearlstreet.compute.engines.protocol import OutputFile
from pearlstreet.compute.execution.stored_files import NotYet, StoredFiles, store_files
from pearlstreet.compute.jobs import views
from pearlstreet.compute.jobs.model import ENDED, JobState
from pearlstreet.compute.jobs.service import submit_job
from pearlstreet.ledger.topups import top_up
from pearlstreet.objects.folder import FolderBlobs
from pearlstreet.tenancy.model import SYSTEM
from pearlstreet.tenancy.orgs import create_org
from pearlstreet.workload.spec.parse import parse_json
from tests.faults.test_backup_drill import running, until
from tests.unit.engines_local.kit import Bench

MIB = 1 << 20
WRITE = "yes pearlstreet | head -c {size} > $PEARL_OUTPUTS/{name}"


def test_a_gibibyte_of_output_does_not_pass_through_the_server(tmp_path: Path) -> None:
    size = 1 << 30
    with running(Settings(data=tmp_path / "data")) as made:
        before = io_bytes()
        job = _submit(made, WRITE.format(size=size, name="weights"))
        until(lambda: views.get_job(made.center.store, SYSTEM, job).state in ENDED)
        assert views.get_job(made.center.store, SYSTEM, job).state is JobState.SUCCEEDED
        (artefact,) = views.artefacts_of(made.center.store, SYSTEM, job)
        through = io_bytes() - before
        assert (artefact["path"], artefact["size_bytes"]) == ("weights", size)
        assert made.runtime.blobs.size_bytes(artefact["sha256"]) == size
        assert through < 16 * MIB, f"{through / MIB:.1f} MiB passed through the server"
        blob = made.runtime.blobs.path(artefact["sha256"])
        with blob.open("rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == artefact["sha256"]


def io_bytes() -> int:
    """Bytes that this process has read and written so far, by any system call."""
    lines = Path("/proc/self/io").read_text().splitlines()
    counters = dict(line.split(": ") for line in lines)
    return int(counters["rchar"]) + int(counters["wchar"])


def _submit(made: Assembled, script: str) -> str:
    store = made.center.store
    org = create_org(store, SYSTEM, "acme")
    top_up(store, SYSTEM, org.id, parse_yuan("9000"))
    spec = {"command": script, "time_limit": "10m", "per_task": {"cpus": 0.1, "memory_gib": 0.5}}
    return submit_job(store, SYSTEM, made.runtime, "acme", parse_json(spec)).id


def test_a_stager_that_is_killed_begins_again_and_leaves_nothing_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pearlstreet.compute.engines.staging import process

    monkeypatch.setattr(process, "DONE_WITHIN_S", 0.0)
    bench = Bench(tmp_path)
    try:
        size = 300 * MIB
        attempt_id = bench.start(WRITE.format(size=size, name="weights"))
        bench.ended(attempt_id)
        blobs = FolderBlobs(tmp_path / "blobs")
        files = [OutputFile("weights", size)]
        assert isinstance(store_files(bench.engine, blobs, attempt_id, files), NotYet)
        _kill(str(tmp_path))
        assert not list((tmp_path / "blobs").glob("??/*")), "nothing is stored before its end"
        deadline = time.monotonic() + 60
        while isinstance(stored := store_files(bench.engine, blobs, attempt_id, files), NotYet):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert isinstance(stored, StoredFiles)
        ((path, blob),) = stored.files
        assert (path, blob.size_bytes, blobs.size_bytes(blob.sha256)) == ("weights", size, size)
    finally:
        bench.engine.close()


def _kill(mark: str) -> None:
    """Kill the stager's process whose folder is beneath `mark`."""
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                words = (path / "cmdline").read_bytes().decode("utf-8", "replace")
            except OSError:
                continue
            if "staging/runner/entry.py" in words and mark in words:
                os.kill(int(path.name), signal.SIGKILL)
                return
    raise AssertionError("no stager runs")
