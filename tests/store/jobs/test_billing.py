"""Who pays when things go wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.store.jobs.harness import Center

from pearlstreet.compute.engines.protocol import EndReason
from pearlstreet.compute.execution import lifecycle
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


def _ended(stop: str | None, code: int) -> dict[str, Any]:
    return {"stop_reason": stop, "exit_code": code}


def test_what_succeeded_before_the_stop_reached_it_is_billed() -> None:
    assert lifecycle._billable(_ended("preempted", 0), EndReason.EXITED, 0)
    assert not lifecycle._billable(_ended("preempted", 143), EndReason.STOPPED, 143)
    assert lifecycle._billable(_ended("cancelled", 143), EndReason.STOPPED, 143)
    assert not lifecycle._billable(_ended(None, 0), None, None)
