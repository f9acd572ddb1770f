"""What execution records of services, tells their owners, and how it stops them; on the simulated engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.fakes.engines import Wrapped
from tests.store.jobs.harness import Center

from pearlstreet.base.outcome import Outcome
from pearlstreet.compute.engines.protocol import Engine
from pearlstreet.compute.jobs import service, views
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.tenancy.model import SYSTEM


class _Listening(Wrapped):
    """Notes how attempts are ended."""

    def __init__(self, inner: Engine) -> None:
        super().__init__(inner)
        self.ends: list[tuple[str, float]] = []

    def stop(self, attempt_id: str, *, grace_s: float) -> Outcome[None]:
        self.ends.append(("stop", grace_s))
        return super().stop(attempt_id, grace_s=grace_s)

    def drain(self, attempt_id: str, *, grace_s: float) -> Outcome[None]:
        self.ends.append(("drain", grace_s))
        return super().drain(attempt_id, grace_s=grace_s)


def listening(tmp_path: Path) -> tuple[Center, list[_Listening]]:
    made: list[_Listening] = []

    def wrap(engine: Engine) -> Engine:
        made.append(_Listening(engine))
        return made[0]

    return Center(tmp_path, wrap=wrap), made


def events(center: Center, job: str) -> list[str]:
    return [row.event for row in views.timeline(center.store, SYSTEM, job)]


def test_readiness_and_ports_are_recorded_and_told(tmp_path: Path) -> None:
    center, _ = listening(tmp_path)
    job = center.submit(service={"ports": {"web": 8080}, "readiness": {"port": "web"}}, simulate="1h")
    center.run(10)
    attempt: Any = center.attempts(job)[-1]
    assert (attempt["is_ready"], attempt["restarts"], attempt["drain_s"]) == (True, 0, 30.0)
    assert [(one["rank"], one["port"]) for one in attempt["endpoints"]] == [(0, "web")]
    assert events(center, job).count("ready") == 1


def test_restarts_are_counted_once_and_leave_the_attempt(tmp_path: Path) -> None:
    center, _ = listening(tmp_path)
    job = center.submit(service={"restarts": {"on": "always", "max": 3}}, simulate="5s")
    center.run(60)
    assert [row["restarts"] for row in center.attempts(job)] == [3]
    assert "restarted" in events(center, job)


def test_a_cancelled_service_is_drained_and_a_job_is_stopped(tmp_path: Path) -> None:
    center, made = listening(tmp_path)
    served = center.submit(service={"drain": "7s"}, simulate="1h")
    job = center.submit(simulate="1h")
    center.run(10)
    service.cancel_job(center.store, SYSTEM, served)
    center.run(20)
    assert {kind for kind, _ in made[0].ends} == {"drain"} and made[0].ends[0][1] == 7.0
    made[0].ends.clear()
    service.cancel_job(center.store, SYSTEM, job)
    center.run(20)
    assert {kind for kind, _ in made[0].ends} == {"stop"}


def test_a_service_beyond_its_time_limit_is_not_drained(tmp_path: Path) -> None:
    center, made = listening(tmp_path)
    job = center.submit(service={"drain": "1h"}, time_limit="20s", simulate="1h")
    center.run(60)
    assert center.job(job).state is not JobState.RUNNING
    assert all(kind == "stop" for kind, _ in made[0].ends)
