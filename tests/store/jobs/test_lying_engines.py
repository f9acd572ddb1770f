"""What an engine tells wrongly for a moment changes nothing that counts: limits, use, money."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from tests.store.jobs.fakes import Working
from tests.store.jobs.harness import ORG, Center

from pearlstreet.compute.engines.protocol import AttemptReport
from pearlstreet.compute.engines.simulated import Fault, FaultPlan, FaultRule
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.queueing.quotas import QuotaWish, set_quota
from pearlstreet.ledger.tables import spans
from pearlstreet.store.core import Tx
from pearlstreet.tenancy.model import SYSTEM

CARD = {"accelerator": "H100", "count": 1, "cpus": 1, "memory_gib": 1}


def _lag(report: AttemptReport) -> AttemptReport:
    ended_us = None if report.ended_us is None else report.ended_us - 600_000_000
    return replace(report, ended_us=ended_us)


def test_an_end_told_by_a_clock_that_lags_is_not_before_what_was_metered(tmp_path: Path) -> None:
    center = Center(tmp_path, wrap=Working)
    engine = center.runtime.engines["simulated"]
    assert isinstance(engine, Working)
    engine.distort = _lag
    job = center.submit(per_task=CARD, simulate="200s")
    center.finish(job)
    (attempt,) = center.attempts(job)
    metered_until = center.store.read(lambda tx: tx.scalar(sa.select(sa.func.max(spans.c.end_us))))
    assert attempt["ended_us"] == metered_until > attempt["started_us"]
    center.check_books()


def test_time_before_a_later_start_that_the_engine_reports_is_not_billed(tmp_path: Path) -> None:
    """The engine lost the attempt, and an order that arrived late began it anew."""
    center = Center(tmp_path, wrap=Working)
    engine = center.runtime.engines["simulated"]
    assert isinstance(engine, Working)
    job = center.submit(per_task=CARD, simulate="30s")
    center.run(10)
    (attempt,) = center.attempts(job)
    began_us = attempt["started_us"] + 7_000_000
    engine.distort = lambda report: replace(report, started_us=began_us)
    center.finish(job)
    assert center.store.read(lambda tx: tx.scalar(sa.select(sa.func.min(spans.c.start_us)))) == began_us
    center.check_books()


def test_what_runs_on_a_node_that_is_missing_for_a_moment_counts_for_the_quota(tmp_path: Path) -> None:
    center = Center(tmp_path, cluster="2x1xH100-80G")
    set_quota(center.store, SYSTEM, ORG, QuotaWish("cards", maximum=1.0))
    center.submit(per_task=CARD, simulate="300s")
    center.run(5)
    (node,) = {task["node"] for task in center.store.read(_placements)[0]["tasks"]}
    center.simulated.set_faults(FaultPlan((FaultRule(Fault.NODE_FLAPS, only=frozenset({node})),)))
    second = center.submit(per_task=CARD)
    center.run(10)
    assert center.job(second).state is JobState.QUEUED
    center.simulated.set_faults(None)
    center.run(10)
    assert center.job(second).state is JobState.QUEUED


def _placements(tx: Tx) -> Sequence[Any]:
    return tx.execute(sa.select(attempts.c.placement)).scalars().all()
