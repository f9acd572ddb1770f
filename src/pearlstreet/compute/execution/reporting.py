"""Brings an attempt's row up to date with its engine's report. No engine is called here."""

from __future__ import annotations

from pearlstreet.base.text import Text
from pearlstreet.compute.engines.protocol import AttemptReport, EndReason, TaskState
from pearlstreet.compute.execution import lifecycle
from pearlstreet.compute.execution.lifecycle import find_attempt
from pearlstreet.compute.execution.model import AttemptState
from pearlstreet.compute.execution.owners import Owner
from pearlstreet.compute.execution.service_reports import record_service
from pearlstreet.store.core import Row, Tx


def apply_report(tx: Tx, owner: Owner, attempt: Row, report: AttemptReport, *, collect: bool = True) -> None:
    """Update an attempt's row from its engine's report. A report of an earlier state changes nothing."""
    state = AttemptState(attempt["state"])
    if report.started_us is not None:
        lifecycle.record_placement(tx, attempt, report)
    began = state is not AttemptState.RUNNING and report.started_us is not None
    if began and report.state in (TaskState.RUNNING, TaskState.EXITED):
        lifecycle.mark_running(
            tx, owner, attempt, started_us=report.started_us or tx.now_us, wall=report.wall
        )
        attempt = find_attempt(tx, attempt["id"]) or attempt
    elif state is AttemptState.RUNNING and report.started_us is not None:
        lifecycle.correct_start(tx, attempt, started_us=report.started_us)
        attempt = find_attempt(tx, attempt["id"]) or attempt
    record_service(tx, owner, attempt, report)
    if report.state is TaskState.EXITED:
        lifecycle.close_attempt(
            tx,
            owner,
            attempt,
            end_reason=report.end_reason or EndReason.EXITED,
            exit_code=report.exit_code,
            ended_us=report.ended_us or tx.now_us,
            message=_message(attempt, report),
            collect=collect and report.started_us is not None,
            saved_us=report.saved_us,
        )


def _message(attempt: Row, report: AttemptReport) -> Text | None:
    return (
        report.message
        if report.end_reason is not EndReason.STOPPED or attempt["stop_reason"] is None
        else None
    )
