"""The drill: a backup of a busy center, taken while it works, is brought back elsewhere; its books prove, its jobs go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from pearlstreet.app.backup_commands import restore_backup
from pearlstreet.app.settings import Settings
from pearlstreet.app.wiring import Assembled, assemble
from pearlstreet.base.money import parse_yuan
from pearlstreet.compute.execution.inventory_loop import take_inventory
from pearlstreet.compute.jobs.model import ENDED, JobState
from pearlstreet.compute.jobs.service import submit_job
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.compute.jobs.views import get_job
from pearlstreet.ledger.proof import prove
from pearlstreet.ledger.topups import top_up
from pearlstreet.store import audit
from pearlstreet.store.loop import LoopRunner
from pearlstreet.tenancy.model import SYSTEM
from pearlstreet.tenancy.orgs import create_org
from pearlstreet.workload.spec.parse import parse_json

WITHIN_S = 120.0
JOB = {"command": ["true"], "time_limit": "30m", "simulate": "60s", "per_task": {"cpus": 1, "memory_gib": 1}}


@contextmanager
def running(settings: Settings) -> Iterator[Assembled]:
    """A center with its loops, as the server runs it, without the door."""
    made = assemble(settings)
    take_inventory(made.center.store, made.runtime.engines)
    runner = LoopRunner(made.center.store, made.loops)
    runner.start()
    try:
        yield made
    finally:
        made.runtime.stopping.set()
        runner.stop()
        for engine in made.runtime.engines.values():
            engine.close()
        made.center.store.close()
        made.lock.close()


def until(condition: Callable[[], bool]) -> None:
    """Wait for it."""
    ends = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.05)


@pytest.mark.slow  # a minute until attempts that nobody knows are planned again; make crash runs it
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_busy_center_comes_back_elsewhere(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    first = Settings(data=tmp_path / "one", simulate="2x8xH100-80G", simulate_speed=60)
    second = replace(first, data=tmp_path / "two")
    if kind == "postgresql":
        first = replace(first, database=request.getfixturevalue("postgres_database"))
    with running(first) as center:
        file, before = back_up_under_load(center, first)
    if kind == "postgresql":
        second = replace(second, database=request.getfixturevalue("another_postgres_database"))
    words = restore_backup(second, file, key_file=first.data / "secret.key", force=False)
    assert "proved" in str(words)
    with running(second) as center:
        store = center.center.store
        until(lambda: all(get_job(store, SYSTEM, job).state in ENDED for job in before))
        found = [get_job(store, SYSTEM, job) for job in before]
        assert [job for job in found if job.state is not JobState.SUCCEEDED] == []
        new = submit_job(store, SYSTEM, center.runtime, "acme", parse_json(JOB)).id
        until(lambda: get_job(store, SYSTEM, new).state is JobState.SUCCEEDED)
        report = store.read(prove)
        assert report.is_right, f"{report.row}: {report.problem}"
        assert store.read(audit.verify).problem is None


def back_up_under_load(center: Assembled, settings: Settings) -> tuple[Path, list[str]]:
    """A backup made while somebody submits on and on; and the jobs that had been taken on before it began."""
    store, runtime = center.center.store, center.runtime
    org = create_org(store, SYSTEM, "acme")
    top_up(store, SYSTEM, org.id, parse_yuan("9000"))
    taken: list[str] = []
    enough = threading.Event()

    def submit_on() -> None:
        while not enough.is_set():
            taken.append(submit_job(store, SYSTEM, runtime, "acme", parse_json(JOB)).id)
            time.sleep(0.1)

    submitter = threading.Thread(target=submit_on)
    submitter.start()
    try:
        done = sa.select(jobs.c.id).where(jobs.c.state == JobState.SUCCEEDED.value).limit(1)
        until(lambda: len(taken) >= 10 and store.read(lambda tx: tx.scalar(done)) is not None)
        before = list(taken)
        assert center.center.backup is not None
        made = center.center.backup("drill")
        until(lambda: len(taken) > len(before))
    finally:
        enough.set()
        submitter.join()
    return settings.data / "backups" / made.name, before
