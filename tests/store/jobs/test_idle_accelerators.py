"""Idle accelerators: the owner is warned, the job is stopped where the center has chosen that, and the saving is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.store.jobs.fakes import Working
from tests.store.jobs.harness import Center

from pearlstreet.base.clock import Clock
from pearlstreet.base.outcome import Done, Outcome
from pearlstreet.compute.engines.protocol import MetricSample
from pearlstreet.compute.engines.simulated import SimulatedEngine
from pearlstreet.compute.jobs.idle_report import idle_by_project
from pearlstreet.compute.jobs.idle_rules import Idleness, advance
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.runtime import JobsSettings
from pearlstreet.store.tables import outbox
from pearlstreet.tenancy.model import SYSTEM
from pearlstreet.tenancy.notices.kinds import kind_of, words_of

MINUTE_US = 60_000_000
CARD = {"accelerator": "H100", "count": 1, "cpus": 1, "memory_gib": 1}
SETTINGS = JobsSettings(idle_warn_s=600, idle_notice_s=300, idle_release_s=0)


class Idle(Working):
    """Its attempts use their devices by `percent`, sampled every minute."""

    percent = 1.0

    def __init__(self, inner: SimulatedEngine) -> None:
        super().__init__(inner)
        self._began: dict[str, int] = {}
        self.clock: Clock | None = None

    def read_metrics(self, attempt_id: str, *, since_us: int) -> Outcome[list[MetricSample]]:
        if self.clock is None:
            return Done([])
        now_us = self.clock.now_us()
        began_us = self._began.setdefault(attempt_id, now_us)
        first = max(since_us, began_us - MINUTE_US)
        times = range(first + MINUTE_US, now_us + 1, MINUTE_US)
        values = {"device_0_utilization_percent": self.percent, "cpu_percent": 50.0}
        return Done([MetricSample(at_us, 0, "use", values) for at_us in times])


def _center(folder: Path, **settings: object) -> tuple[Center, Idle]:
    center = Center(folder, cluster="1x4xH100-80G", wrap=Idle, settings=replace(SETTINGS, **settings))
    engine = center.runtime.engines["simulated"]
    assert isinstance(engine, Idle)
    engine.clock = center.clock
    center.tick_s = 10.0
    return center, engine


def _told(center: Center) -> list[dict[str, str]]:
    query = sa.select(outbox.c.topic, outbox.c.payload).where(outbox.c.topic.startswith("job.idle"))
    return [{"topic": row["topic"], **row["payload"]} for row in center.store.read(lambda tx: tx.rows(query))]


def test_an_owner_is_warned_once_and_nothing_is_stopped_unless_the_center_chose_it(tmp_path: Path) -> None:
    center, _ = _center(tmp_path)
    job = center.submit(per_task=CARD, simulate="3h", time_limit="4h")
    busy_cpu = center.submit(per_task={"cpus": 1, "memory_gib": 1}, simulate="3h", time_limit="4h")
    center.run(1500)
    told = _told(center)
    assert [one["job"] for one in told] == [job], "once, and nothing for a job without accelerators"
    kind = kind_of(told[0]["topic"], told[0])
    assert kind is not None and kind.name == "job.idle"
    for language in ("en", "zh_CN"):
        words = words_of(kind.name, told[0], language)
        assert job in words.body and "{" not in words.title + words.body
    assert center.job(job).state is JobState.RUNNING and center.job(busy_cpu).state is JobState.RUNNING
    found = idle_by_project(center.store, SYSTEM)
    assert [(one.org, one.project, one.attempts, one.warned, one.released) for one in found] == [
        ("acme", "default", 1, 1, 0)
    ]
    hours = found[0].hours
    assert 0.3 < hours < 0.45
    rate = center.attempts(job)[0]["hourly_micro"]
    assert found[0].cost.micro == pytest.approx(hours * rate, rel=0.01)


def test_an_idle_job_is_stopped_after_a_notice_and_the_saving_is_told(tmp_path: Path) -> None:
    center, _ = _center(tmp_path, idle_release_s=900)
    job = center.submit(per_task=CARD, simulate="3h", time_limit="4h")
    center.run(800)
    assert [one["topic"] for one in _told(center)] == ["job.idle_released"]
    assert center.job(job).state is JobState.RUNNING
    center.run(500)
    stopped = center.job(job)
    assert (stopped.state, stopped.reason_code) == (JobState.FAILED, "idle")
    assert "idle" in str(stopped.reason)
    found = idle_by_project(center.store, SYSTEM)[0]
    assert found.released == 1 and found.saved.micro > 3 * center.attempts(job)[0]["hourly_micro"]
    center.check_books()


def test_only_named_queues_are_released_and_a_busy_moment_starts_anew(tmp_path: Path) -> None:
    center, _ = _center(tmp_path, idle_release_s=900, idle_release_queues=("notebooks",))
    job = center.submit(per_task=CARD, simulate="3h", time_limit="4h")
    center.run(1800)
    assert center.job(job).state is JobState.RUNNING
    other, worker = _center(tmp_path / "busy", idle_release_s=900)
    job = other.submit(per_task=CARD, simulate="3h", time_limit="4h")
    other.run(540)
    worker.percent = 80.0
    other.run(120)
    worker.percent = 1.0
    other.run(480)
    assert _told(other) == [] and other.job(job).state is JobState.RUNNING


def _samples(*percents: tuple[int, float]) -> list[MetricSample]:
    return [
        MetricSample(minute * MINUTE_US, 0, "use", {"device_0_utilization_percent": used})
        for minute, used in percents
    ]


def test_idle_time_counts_between_idle_samples_whatever_the_pages() -> None:
    found = _samples((1, 0), (2, 0), (3, 50), (4, 0), (6, 0))
    whole = advance(Idleness(), found, 5)
    assert (whole.idle_us, whole.total_us) == (2 * MINUTE_US, 3 * MINUTE_US)
    parts = Idleness()
    for one in found:
        parts = advance(parts, [one], 5)
    assert parts == whole
    assert advance(whole, found, 5) == whole, "samples are not counted twice"


def test_one_busy_device_of_one_rank_makes_a_gang_busy_and_other_samples_tell_nothing() -> None:
    busy = [MetricSample(MINUTE_US, 1, "use", {"device_3_utilization_percent": 60.0})]
    assert advance(Idleness(), _samples((1, 0)) + busy, 5).idle_from_us is None
    silent = [
        MetricSample(MINUTE_US, 0, "use", {"cpu_percent": 1.0}),
        MetricSample(MINUTE_US, 0, "user", {"device_0_utilization_percent": 0.0}),
    ]
    assert advance(Idleness(), silent, 5) == Idleness()
