"""What a job's page says beside its state."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.store.jobs.fakes import Working
from tests.store.jobs.harness import Center

from pearlstreet.compute.jobs.uploads import keep_bytes, record_upload
from pearlstreet.tenancy.model import SYSTEM


@pytest.mark.parametrize(
    ("wall", "told"), [("landlock+seccomp", 1), ("rlimits", 1), ("bubblewrap+cgroup-v2", 0)]
)
def test_inputs_that_cannot_be_mounted_are_told_of(tmp_path: Path, wall: str, told: int) -> None:
    center = Center(tmp_path, wrap=Working)
    engine: Any = center.runtime.engines["simulated"]
    engine.distort = lambda report: replace(report, wall=wall)
    blob = keep_bytes(center.runtime, [b"the labels"], "labels.csv")
    upload = record_upload(center.store, SYSTEM, center.org.id, "labels.csv", blob)["id"]
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
