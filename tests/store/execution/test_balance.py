"""A running attempt's hold follows its run time; when the balance does not allow that, it is warned once and then stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.store.jobs.harness import Center

from pearlstreet.compute.execution.model import StopReason
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.runtime import JobsSettings
from pearlstreet.ledger.tables import holds
from pearlstreet.store.tables import outbox

WINDOW_S = 960.0
SETTINGS = JobsSettings(hold_window_s=WINDOW_S, stop_notice_s=120, meter_interval_s=40)
NODE = {"accelerator": "H100", "count": 8, "cpus": 8, "memory_gib": 64}
HOLD_SLACK = 1.1
"""A hold is at least the price of the covered time; rounding up may add a little."""


def _center(folder: Path, balance: str = "9000") -> Center:
    return Center(folder, settings=SETTINGS, balance=balance, tick_s=20)


def _held_micro(center: Center, hold_id: str) -> int:
    query = sa.select(holds.c.amount_micro).where(holds.c.id == hold_id)
    return int(center.store.read(lambda tx: tx.scalar(query)))


def _warnings(center: Center) -> int:
    query = sa.select(sa.func.count()).select_from(outbox).where(outbox.c.topic == "job.stopping")
    return int(center.store.read(lambda tx: tx.scalar(query)))


def test_the_hold_is_extended_before_the_covered_time_ends_and_never_past_the_time_limit(
    tmp_path: Path,
) -> None:
    center = _center(tmp_path)
    job = center.submit(per_task=NODE, simulate="3500s", time_limit="1h")
    covered, ran = [], []
    while center.job(job).state not in (JobState.SUCCEEDED, JobState.FAILED):
        center.step()
        (attempt,) = center.attempts(job) or [None]
        if attempt is None or attempt["started_us"] is None or attempt["ended_us"] is not None:
            continue
        ran_s = (center.clock.now_us() - attempt["started_us"]) / 1e6
        if not covered or covered[-1] != attempt["covered_s"]:
            covered.append(attempt["covered_s"])
            ran.append(ran_s)
            assert _held_micro(center, attempt["hold_id"]) >= attempt["hourly_micro"] * covered[-1] / 3600
        assert attempt["covered_s"] >= ran_s, "it runs uncovered"
    assert center.job(job).state is JobState.SUCCEEDED
    assert covered[0] == WINDOW_S
    assert covered == sorted(covered)
    assert covered[-1] == 3600
    assert 4 <= len(covered) <= 7, covered
    for before, at_s in zip(covered, ran[1:], strict=False):
        assert at_s >= before - WINDOW_S / 4, "it is extended only near the end"
    center.check_books()


@pytest.mark.parametrize("balance", ["45", "60"])
def test_who_cannot_pay_on_is_warned_once_and_stopped_before_the_covered_time_ends(
    tmp_path: Path, balance: str
) -> None:
    center = _center(tmp_path, balance)
    job = center.submit(per_task=NODE, simulate="3500s", time_limit="1h")
    center.finish(job)
    (attempt,) = center.attempts(job)
    assert attempt["stop_reason"] == StopReason.BALANCE.value
    ran_s = (attempt["stop_asked_us"] - attempt["started_us"]) / 1e6
    left_s = attempt["covered_s"] - ran_s
    assert 0 < left_s <= SETTINGS.stop_notice_s
    assert attempt["warned_us"] < attempt["stop_asked_us"]
    assert _warnings(center) == 1
    assert center.job(job).state is not JobState.SUCCEEDED
    center.check_books()
