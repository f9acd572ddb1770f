"""A training that the center preempts and resizes goes on from its checkpoints: same weights, little lost, lost work unbilled."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

from pearlstreet.app.settings import Settings
from pearlstreet.app.wiring import Assembled
from pearlstreet.base.money import parse_yuan
from pearlstreet.base.text import text
from pearlstreet.compute.execution.model import StopReason
from pearlstreet.compute.execution.owners import by_kind
from pearlstreet.compute.jobs import follow, views
from pearlstreet.compute.jobs.model import ENDED, JobState
from pearlstreet.compute.jobs.owner import JobOwner
from pearlstreet.compute.jobs.service import submit_job
from pearlstreet.compute.queueing.plan_applier import AttemptStop, stop_attempt
from pearlstreet.ledger.proof import prove
from pearlstreet.ledger.spans import spans_of
from pearlstreet.ledger.topups import top_up
from pearlstreet.store.core import Row
from pearlstreet.tenancy.model import SYSTEM
from pearlstreet.tenancy.orgs import create_org
from pearlstreet.workload.spec.parse import parse_json
from tests.faults.test_backup_drill import running, until

STEPS, EVERY = 240, 20
TRAINING = f"""
import json, os, pathlib, random, signal, sys, time
folder, rank = pathlib.Path(os.environ["PEARL_CHECKPOINT"]), os.environ.get("RANK", "0")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
if rank != "0":
    while not (folder / "done").exists():
        time.sleep(0.05)
    sys.exit(0)
saved = sorted(folder.glob("step-*"))
step, weights = json.loads(saved[-1].read_text()) if saved else (0, [0.0] * 8)
print("begin", step, flush=True)
while step < {STEPS}:
    chance = random.Random(step)
    x = [chance.uniform(-1, 1) for _ in weights]
    error = sum(w * v for w, v in zip(weights, x)) - sum(v * (i + 1) for i, v in enumerate(x))
    weights = [w - 0.1 * error * v for w, v in zip(weights, x)]
    step += 1
    print("step", step, flush=True)
    time.sleep(float(os.environ.get("PAUSE", "0")))
    if step % {EVERY} == 0:
        (folder / "next.tmp").write_text(json.dumps([step, weights]))
        (folder / "next.tmp").rename(folder / f"step-{{step:05d}}")
(folder / "done").write_text("")
pathlib.Path(os.environ["PEARL_OUTPUTS"], "weights").write_text(json.dumps(weights))
"""


def test_a_training_that_is_stopped_three_times_ends_with_the_same_weights(tmp_path: Path) -> None:
    with running(Settings(data=tmp_path / "data")) as made:
        job = _submit(made)
        for number, (why, tasks) in enumerate(
            [(StopReason.PREEMPTED, 0), (StopReason.RESIZED, 2), (StopReason.PREEMPTED, 0)], start=1
        ):
            until(partial(_has_trained, made, job, number, EVERY + EVERY // 2))
            _stop(made, job, why, tasks)
        until(lambda: views.attempts_of(made.center.store, SYSTEM, job)[2]["lost_us"] is not None)
        details = views.why(made.center.store, SYSTEM, made.runtime, job).details
        assert [detail["code"] for detail in details][-1:] == ["work_lost"]
        until(lambda: views.get_job(made.center.store, SYSTEM, job).state in ENDED)
        ended = views.get_job(made.center.store, SYSTEM, job)
        assert ended.state is JobState.SUCCEEDED, ended
        tried = views.attempts_of(made.center.store, SYSTEM, job)
        assert [row["stop_reason"] for row in tried] == ["preempted", "resized", "preempted", None]
        assert [len(row["placement"]["tasks"]) for row in tried][:3] == [1, 1, 2]
        for before, after in pairwise(tried):
            last, begun = _steps(made, job, before["id"])[-1], _begun(made, job, after["id"])
            assert 0 < begun <= last < begun + EVERY + 1, (begun, last)
            assert before["started_us"] < before["saved_us"] < before["ended_us"]
            assert before["lost_us"] == before["ended_us"] - before["saved_us"]
        assert tried[-1]["lost_us"] is None
        _was_billed_to_its_checkpoints(made, job, tried)
        (weights,) = views.artefacts_of(made.center.store, SYSTEM, job)
        blob = made.runtime.blobs.path(weights["sha256"])
        assert blob.read_text() == _undisturbed(tmp_path)


def _submit(made: Assembled) -> str:
    store = made.center.store
    org = create_org(store, SYSTEM, "acme")
    top_up(store, SYSTEM, org.id, parse_yuan("9000"))
    spec = {
        "command": ["python3", "-c", TRAINING],
        "time_limit": "10m",
        "preemptible": True,
        "per_task": {"cpus": 0.1, "memory_gib": 0.25},
        "elastic": {"min_tasks": 1, "max_tasks": 2},
        "variables": {"PAUSE": "0.03"},
    }
    return submit_job(store, SYSTEM, made.runtime, "acme", parse_json(spec)).id


def _stop(made: Assembled, job: str, why: StopReason, tasks: int) -> None:
    attempt = views.get_job(made.center.store, SYSTEM, job).attempt_id
    assert attempt is not None
    stop = AttemptStop(attempt, why, 5.0, text("For a test"), tasks)
    owners = by_kind(JobOwner(made.runtime))
    made.center.store.write(lambda tx: stop_attempt(tx, owners, stop))


def _log(made: Assembled, job: str, attempt_id: str) -> str:
    chunk = follow.read_log(made.center.store, SYSTEM, made.runtime, job, attempt_id, 0, 0, 1 << 20)
    return chunk.data.decode()


def _steps(made: Assembled, job: str, attempt_id: str) -> list[int]:
    return [int(step) for step in re.findall(r"^step (\d+)$", _log(made, job, attempt_id), re.M)]


def _begun(made: Assembled, job: str, attempt_id: str) -> int:
    found = re.search(r"^begin (\d+)$", _log(made, job, attempt_id), re.M)
    assert found is not None
    return int(found[1])


def _has_trained(made: Assembled, job: str, number: int, steps: int) -> bool:
    """Whether the attempt of that number runs and has made so many steps."""
    now = views.get_job(made.center.store, SYSTEM, job)
    assert now.state not in ENDED, now
    if now.attempts != number or now.attempt_id is None or now.state is not JobState.RUNNING:
        return False
    return len(_steps(made, job, now.attempt_id)) >= steps


def _was_billed_to_its_checkpoints(made: Assembled, job: str, tried: Sequence[Row]) -> None:
    """What was saved before the request to stop is billed, and nothing after it."""
    org_id = tried[0]["org_id"]
    used = made.center.store.read(lambda tx: spans_of(tx, org_id, job))
    for row in tried:
        kept_until_us = min(row["saved_us"], row["stop_asked_us"]) if row["stop_reason"] else row["ended_us"]
        mine = [use.span for use in used if use.span.external_id == row["id"]]
        assert mine
        for span in mine:
            assert span.billable == (span.end_us <= kept_until_us), (row["stop_reason"], span)
        billed = [span for span in mine if span.billable and span.resource == "cpu"]
        assert sum(span.end_us - span.start_us for span in billed) == kept_until_us - row["started_us"]
    report = made.center.store.read(prove)
    assert report.is_right, report.problem


def _undisturbed(folder: Path) -> str:
    """The weights of the same training without a stop."""
    for name in ("checkpoint", "outputs"):
        (folder / name).mkdir()
    told = {"PEARL_CHECKPOINT": str(folder / "checkpoint"), "PEARL_OUTPUTS": str(folder / "outputs")}
    subprocess.run(
        [sys.executable, "-c", TRAINING], env=os.environ | told, check=True, stdout=subprocess.DEVNULL
    )
    return (folder / "outputs" / "weights").read_text()
