"""Who pays when things go wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.store.jobs.harness import Center

from pearlstreet.compute.engines.protocol import EndReason
from pearlstreet.compute.execution.lifecycle import lost_since
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.ledger.funds import balance
from pearlstreet.tenancy.model import SYSTEM

NODE = {"accelerator": "H100", "count": 8, "cpus": 8, "memory_gib": 64}


def test_an_attempt_that_its_engine_forgot_is_run_again_and_not_billed(tmp_path: Path) -> None:
    center = Center(tmp_path)
    before = balance(center.store, SYSTEM, center.org.id).balance
    job = center.submit(per_task=NODE, simulate="600s", time_limit="1h")
    center.run(200)
    center.simulated.cluster.vanish(center.attempts(job)[0]["id"])
    center.run(5)
    assert center.attempts(job)[0]["state"] == "ended"
    assert balance(center.store, SYSTEM, center.org.id).balance == before
    assert center.finish(job)[0].state is JobState.SUCCEEDED
    center.check_books()


def _ended(stop: str | None) -> dict[str, Any]:
    return {"stop_reason": stop, "started_us": 1_000}


def test_work_that_the_center_ended_is_lost_from_the_last_checkpoint_on() -> None:
    stopped = EndReason.STOPPED
    assert lost_since(_ended("preempted"), EndReason.EXITED, 0, None) is None, (
        "it succeeded before the stop reached it"
    )
    assert lost_since(_ended("preempted"), stopped, 143, None) == 1_000
    assert lost_since(_ended("preempted"), stopped, 143, 5_000) == 5_000
    assert lost_since(_ended("resized"), stopped, 143, 5_000) == 5_000
    assert lost_since(_ended("preempted"), stopped, 143, 10) == 1_000, (
        "the checkpoint is of an earlier attempt"
    )
    assert lost_since(_ended(None), EndReason.ENGINE_LOST, None, 7_000) == 7_000
    assert lost_since(_ended("cancelled"), stopped, 143, 5_000) is None
    assert lost_since(_ended(None), EndReason.EXITED, 1, 5_000) is None, "a failure of its own is billed"
    assert lost_since(_ended(None), None, None, None) == 1_000
