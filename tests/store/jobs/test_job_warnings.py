"""What a job's page says beside its state."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.store.jobs.fakes import Working
from tests.store.jobs.harness import Center

from pearlstreet.base.clock import US_PER_S, to_rfc3339
from pearlstreet.compute.jobs import deadlines
from pearlstreet.compute.jobs.uploads import find_place, keep_bytes, record_upload
from pearlstreet.compute.jobs.views import timeline, why
from pearlstreet.store.tables import outbox
from pearlstreet.tenancy.model import SYSTEM


@pytest.mark.parametrize(
    ("wall", "told"), [("landlock+seccomp", 1), ("rlimits", 1), ("bubblewrap+cgroup-v2", 0)]
)
def test_inputs_that_cannot_be_mounted_are_told_of(tmp_path: Path, wall: str, told: int) -> None:
    center = Center(tmp_path, wrap=Working)
    engine: Any = center.runtime.engines["simulated"]
    engine.distort = lambda report: replace(report, wall=wall)
    with center.runtime.uploads.begin() as own:
        place = find_place(center.store, SYSTEM, center.runtime, center.org.id, None, None, own)
        blob = keep_bytes(center.store, center.runtime, [b"the labels"], "labels.csv", place, own)
        upload = record_upload(center.store, SYSTEM, center.runtime, place, "labels.csv", blob)["id"]
    inputs = {"LABELS": {"upload": upload, "mount": "/data/labels.csv"}, "OTHER": {"upload": upload}}
    job = center.submit(inputs=inputs)
    center.run(5)
    notices = [str(notice) for notice in center.job(job).notices]
    assert len(notices) == told
    assert all(
        wall in notice and "$PEARL_INPUT_LABELS" in notice and "OTHER" not in notice for notice in notices
    )
    (order,) = engine.orders
    assert [(binding.path, binding.target) for binding in order.bindings] == [
        ("inputs/LABELS/labels.csv", "/data/labels.csv")
    ]
    assert center.job(center.submit()).notices == ()


def _in(center: Center, seconds: float) -> str:
    return to_rfc3339(center.clock.now_us() + int(seconds * US_PER_S))


def _told(center: Center, job: str) -> list[tuple[str, str]]:
    rows = center.store.read(lambda tx: tx.rows(sa.select(outbox).order_by(outbox.c.seq)))
    found = [row for row in rows if row["payload"].get("job") == job and "deadline" in row["topic"]]
    return [(row["topic"], row["payload"]["name"]) for row in found]


def test_a_deadline_that_will_not_be_kept_is_told_of_once_and_again_when_it_has_passed(
    tmp_path: Path,
) -> None:
    center = Center(tmp_path, cluster="1x1xH100-80G")
    card = {"per_task": {"accelerator": "H100"}}
    center.submit(**card, simulate="50s")
    center.run(3)
    late = center.submit(**card, name="late", deadline=_in(center, 20), simulate="2s")
    calm = center.submit(**card, name="calm", deadline=_in(center, 86_400), simulate="2s")
    whole = center.submit(**card, name="whole", deadline=_in(center, 20), simulate="2s", array={"size": 2})
    center.run(13)
    assert [str(notice) for notice in center.job(late).notices] == [
        str(deadlines.words(deadlines.AT_RISK, center.job(late).ask.deadline_us))  # type: ignore[union-attr]
    ]
    assert "not expected to start before its deadline" in str(
        why(center.store, SYSTEM, center.runtime, late).sentence
    )
    assert "deadline" not in str(why(center.store, SYSTEM, center.runtime, calm).sentence)
    assert _told(center, late) == [("job.deadline_at_risk", "late")]
    center.loops = tuple(loop for loop in center.loops if loop.name != deadlines.LOOP)
    center.loops += (deadlines.deadline_loop(center.runtime),)  # a server that came back says nothing again
    center.run(27)
    assert _told(center, late) == [("job.deadline_at_risk", "late"), ("job.deadline_missed", "late")]
    assert _told(center, whole) == [("job.deadline_missed", "whole")]
    assert "not over by its deadline" in str(center.job(center.elements(whole)[1]).notices[0])
    center.finish(late, calm, whole)
    center.run(20)
    assert [row.event for row in timeline(center.store, SYSTEM, late) if "deadline" in row.event] == [
        deadlines.AT_RISK,
        deadlines.MISSED,
    ]
    assert len(_told(center, late)) == 2 and _told(center, calm) == []
    assert "not over by its deadline" in str(center.job(late).notices[0])
    assert center.job(calm).notices == ()
