"""A job that is preempted on one engine goes on from its checkpoint on another, also when the upload is killed on the way."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from pearlstreet.app import wiring
from pearlstreet.app.settings import Settings
from pearlstreet.app.wiring import Assembled
from pearlstreet.base.money import parse_yuan
from pearlstreet.compute.engines.local import LocalEngine, SandboxPolicy
from pearlstreet.compute.engines.staging import process
from pearlstreet.compute.execution.model import StopReason
from pearlstreet.compute.execution.stored_checkpoints import drop_stored
from pearlstreet.compute.execution.tables import checkpoint_files, checkpoints
from pearlstreet.compute.jobs import follow, views
from pearlstreet.compute.jobs.model import ENDED, JobState
from pearlstreet.compute.jobs.retention import drop_orphans
from pearlstreet.compute.jobs.service import submit_job
from pearlstreet.compute.pool.inventory import all_nodes, drain
from pearlstreet.ledger.topups import top_up
from pearlstreet.storage.levels import stored_bytes
from pearlstreet.store.core import Store
from pearlstreet.tenancy.model import SYSTEM
from pearlstreet.tenancy.orgs import create_org
from pearlstreet.workload.spec.parse import parse_json
from tests.faults.test_backup_drill import running, until
from tests.faults.test_checkpoints import _stop as stop_job
from tests.faults.test_stager import _kill as kill_stager

SCRIPT = """
cd $PEARL_CHECKPOINT; echo found $(ls | tr '\\n' ' ')
if [ -e step-1 ]; then [ "$(cksum < weights)" = "$(cat sum)" ] && echo same; exit 0; fi
head -c 300000000 /dev/urandom > weights.tmp; mv weights.tmp weights; cksum < weights > sum.tmp; mv sum.tmp sum
echo half > half.tmp; echo one > step-1; echo saved; sleep 300
"""


def test_a_preempted_job_goes_on_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "DONE_WITHIN_S", 0.0)
    monkeypatch.setattr(wiring, "make_engines", _two_nodes)
    with running(Settings(data=tmp_path / "data")) as made:
        store = made.center.store
        org = create_org(store, SYSTEM, "acme")
        top_up(store, SYSTEM, org.id, parse_yuan("9000"))
        spec = {
            "command": ["/bin/sh", "-c", SCRIPT],
            "time_limit": "10m",
            "preemptible": True,
            "per_task": {"cpus": 0.1, "memory_gib": 0.25},
        }
        job = submit_job(store, SYSTEM, made.runtime, "acme", parse_json(spec)).id
        until(partial(_says, made, job, "saved"))
        (first,) = views.attempts_of(store, SYSTEM, job)
        for node in store.read(all_nodes):
            if node.engine == first["engine"]:
                drain(store, SYSTEM, node.report.name, "for a test")
        stop_job(made, job, StopReason.PREEMPTED, 0)
        until(partial(_killed, str(tmp_path)))
        assert _files(made, job) == set(), "a save that was killed leaves no half checkpoint"
        until(lambda: views.get_job(store, SYSTEM, job).state in ENDED)
        assert views.get_job(store, SYSTEM, job).state is JobState.SUCCEEDED, views.get_job(
            store, SYSTEM, job
        )
        *_, second = views.attempts_of(store, SYSTEM, job)
        assert {first["engine"], second["engine"]} == {"a", "b"}
        log = _log(made, job, second["id"])
        assert re.search(r"found step-1 sum weights\s", log) and "same" in log, log
        assert _files(made, job) == {"step-1", "sum", "weights"}

        stored = store.read(lambda tx: stored_bytes(tx, org.id))
        assert 300_000_000 < stored < 300_001_000, "it counts towards the organisation's storage"
        monkeypatch.setattr("pearlstreet.compute.jobs.retention.ORPHAN_S", -60.0)
        assert _collect(made) == 0, "what a checkpoint names is not collected"
        store.write(lambda tx: drop_stored(tx, job))
        assert store.read(lambda tx: stored_bytes(tx, org.id)) == 0
        assert _collect(made) == 3


def _two_nodes(settings: Settings, store: Store) -> dict[str, LocalEngine]:
    """Two local engines over folders of their own stand for two nodes."""
    return {
        name: LocalEngine(
            settings.data / name,
            name=name,
            clock=store.clock,
            node_name=f"{name}:node",
            policy=SandboxPolicy(hidden=(str(settings.data),)),
        )
        for name in ("a", "b")
    }


def _collect(made: Assembled) -> int:
    return sum(drop_orphans(made.runtime, made.center.store, shard) for shard in range(256))


def _says(made: Assembled, job: str, word: str) -> bool:
    attempt_id = views.get_job(made.center.store, SYSTEM, job).attempt_id
    return attempt_id is not None and word in _log(made, job, attempt_id).split()


def _log(made: Assembled, job: str, attempt_id: str) -> str:
    chunk = follow.read_log(made.center.store, SYSTEM, made.runtime, job, attempt_id, 0, 0, 1 << 20)
    return chunk.data.decode()


def _killed(mark: str) -> bool:
    try:
        kill_stager(mark)
    except AssertionError:
        return False
    return True


def _files(made: Assembled, job: str) -> set[str]:
    here = checkpoint_files.c.owner_id == job
    rows = made.center.store.read(lambda tx: tx.rows(sa.select(checkpoint_files.c.path).where(here)))
    known = made.center.store.read(lambda tx: tx.rows(sa.select(checkpoints).where(checkpoints.c.id == job)))
    assert known
    return {row["path"] for row in rows}
